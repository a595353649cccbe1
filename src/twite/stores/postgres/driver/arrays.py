"""Arrays and UUIDs in PostgreSQL's binary format, for asyncpg.

Twite passes rows as one array for each column. asyncpg's own codecs are slower: they look for
nested arrays in each element, and query the types of arrays on each new connection. The arrays here
have one dimension.
"""

import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncpg

_HEAD: Final = struct.Struct(">iiIii")  # dimensions, flags, type of elements, length, first index
_SIZE: Final = struct.Struct(">i")
_SIZED_INTEGER: Final = struct.Struct(">iq")
_INTEGER: Final = struct.Struct(">q")
_NULL: Final = _SIZE.pack(-1)
# The ids of PostgreSQL's built-in types never change.
_UUID, _BYTES, _INTEGERS, _TEXT = 2950, 17, 20, 25


def use_on(driver: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Let a connection encode and decode lists of int, str and bytes. A UUID is 16 bytes."""
    settings = driver.get_settings()
    codecs: Sequence[tuple[int, str, Callable[[Any], bytes], Callable[[bytes], Any]]] = (
        (_UUID, "uuid", bytes, bytes),
        (2951, "_uuid", partial(_of_bytes, _UUID), partial(_read, bytes)),
        (1001, "_bytea", partial(_of_bytes, _BYTES), partial(_read, bytes)),
        (1009, "_text", _of_texts, partial(_read, bytes.decode)),
        (1016, "_int8", of_integers, integers),
    )
    for oid, name, encode, decode in codecs:
        settings.add_python_codec(oid, name, "pg_catalog", (), "scalar", encode, decode, "binary")


def of_integers(values: Sequence[int | None]) -> bytes:
    pack = _SIZED_INTEGER.pack
    parts = [_NULL if value is None else pack(8, value) for value in values]
    return _array(_INTEGERS, len(values), parts)


def integers(data: bytes) -> list[int | None]:
    if len(data) == _HEAD.size + _count(data) * _SIZED_INTEGER.size:
        return [value for _, value in _SIZED_INTEGER.iter_unpack(data[_HEAD.size :])]
    return _read(lambda value: int(_INTEGER.unpack(value)[0]), data)


def _of_texts(values: Sequence[str | None]) -> bytes:
    return _of_bytes(_TEXT, [None if value is None else value.encode() for value in values])


def _of_bytes(kind: int, values: Sequence[bytes | None]) -> bytes:
    size = _SIZE.pack
    parts = [_NULL if value is None else size(len(value)) + value for value in values]
    return _array(kind, len(values), parts)


def _array(kind: int, count: int, parts: Sequence[bytes]) -> bytes:
    return _HEAD.pack(1, 0, kind, count, 1) + b"".join(parts)


def _count(data: bytes) -> int:
    """Return the length of an array. An empty array has zero dimensions."""
    return int(_HEAD.unpack_from(data)[3]) if _SIZE.unpack_from(data)[0] else 0


def _read(convert: Callable[[bytes], Any], data: bytes) -> list[Any]:
    size, place = _SIZE.unpack_from, _HEAD.size
    found: list[Any] = []
    for _ in range(_count(data)):
        (length,) = size(data, place)
        place += 4
        if length < 0:
            found.append(None)
        else:
            found.append(convert(data[place : place + length]))
            place += length
    return found
