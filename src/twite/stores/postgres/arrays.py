"""Arrays and UUIDs in PostgreSQL's binary format, for asyncpg.

Twite passes rows as one array for each column. asyncpg's own codecs are slower: they look for
nested arrays in each element, and query the types of arrays on each new connection. The arrays here
have one dimension.
"""

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncpg

_HEAD: Final = struct.Struct(">iiIii")  # dimensions, flags, type of elements, length, first index
_SIZE: Final = struct.Struct(">i")
_SIZED_INTEGER: Final = struct.Struct(">iq")
_INTEGER: Final = struct.Struct(">q")
_NULL: Final = _SIZE.pack(-1)
# The ids of PostgreSQL's built-in types never change.
_UUID, _UUIDS, _BYTES, _INTEGERS, _TEXT = 2950, 2951, 17, 20, 25


def use_on(driver: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Let a connection encode and decode lists of int, str and bytes. A UUID is 16 bytes."""
    settings = driver.get_settings()

    def use(
        oid: int, name: str, encode: Callable[[Any], bytes], decode: Callable[[Any], Any]
    ) -> None:
        settings.add_python_codec(oid, name, "pg_catalog", (), "scalar", encode, decode, "binary")

    use(_UUID, "uuid", bytes, bytes)
    use(_UUIDS, "_uuid", _of_uuids, _reader(bytes))
    use(1001, "_bytea", _of_bytes, _reader(bytes))
    use(1009, "_text", _of_texts, _reader(bytes.decode))
    use(1016, "_int8", of_integers, integers)


def of_integers(values: Sequence[int | None]) -> bytes:
    pack = _SIZED_INTEGER.pack
    parts = [_NULL if value is None else pack(8, value) for value in values]
    return _array(_INTEGERS, len(values), parts)


def integers(data: bytes) -> list[int | None]:
    count = _count(data)
    if len(data) == _HEAD.size + count * _SIZED_INTEGER.size:
        return [value for _, value in _SIZED_INTEGER.iter_unpack(data[_HEAD.size :])]
    return _read(data, _integer)


def _of_texts(values: Sequence[str | None]) -> bytes:
    return _of(_TEXT, [None if value is None else value.encode() for value in values])


def _of_bytes(values: Sequence[bytes | None]) -> bytes:
    return _of(_BYTES, values)


def _of_uuids(values: Sequence[bytes | None]) -> bytes:
    return _of(_UUID, values)


def _of(kind: int, values: Sequence[bytes | None]) -> bytes:
    size = _SIZE.pack
    parts = []
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(size(len(value)))
            parts.append(value)
    return _array(kind, len(values), parts)


def _array(kind: int, count: int, parts: Sequence[bytes]) -> bytes:
    return _HEAD.pack(1, 0, kind, count, 1) + b"".join(parts)


def _count(data: bytes) -> int:
    """Return the length of an array. An empty array has zero dimensions."""
    dimensions, *_ = _SIZE.unpack_from(data)
    return int(_HEAD.unpack_from(data)[3]) if dimensions else 0


def _reader(convert: Callable[[bytes], Any]) -> Callable[[bytes], list[Any]]:
    return lambda data: _read(data, convert)


def _read(data: bytes, convert: Callable[[bytes], Any]) -> list[Any]:
    size = _SIZE.unpack_from
    place = _HEAD.size
    found: list[Any] = []
    for _ in range(_count(data)):
        (length,) = size(data, place)
        place += _SIZE.size
        if length < 0:
            found.append(None)
        else:
            found.append(convert(data[place : place + length]))
            place += length
    return found


def _integer(data: bytes) -> int:
    return int(_INTEGER.unpack(data)[0])
