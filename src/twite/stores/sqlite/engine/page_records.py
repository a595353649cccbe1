"""Read the rows of a database page without SQLite. [sqlite.org/fileformat2.html#record_format]"""

import struct
from typing import Final

Value = int | float | str | bytes | None

TABLE_LEAF: Final = 0x0D
_SIZES: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_FLOAT: Final = 7
_FIRST_BLOB: Final = 12


class DamagedPage(Exception):
    """A page is damaged or of the wrong type."""


def varint(page: bytes, place: int) -> tuple[int, int]:
    """Return a variable-length integer and the offset after it. Raises IndexError."""
    found = 0
    for _ in range(8):
        byte = page[place]
        place += 1
        found = found << 7 | byte & 0x7F
        if byte < 0x80:
            return found, place
    found = found << 8 | page[place]
    return (found - (1 << 64) if found >= 1 << 63 else found), place + 1


def record_values(record: bytes) -> tuple[Value, ...]:
    """Return the values of a record. Raises DamagedPage, IndexError, UnicodeDecodeError."""
    size, place = varint(record, 0)
    kinds = []
    while place < size:
        kind, place = varint(record, place)
        kinds.append(kind)
    if place != size:
        raise DamagedPage
    found: list[Value] = []
    for kind in kinds:
        width = _SIZES[kind] if kind < len(_SIZES) else (kind - _FIRST_BLOB) // 2
        part = record[place : place + width]
        if kind in {10, 11} or len(part) != width:
            raise DamagedPage
        found.append(_value(kind, part))
        place += width
    if place != len(record):
        raise DamagedPage
    return tuple(found)


def _value(kind: int, part: bytes) -> Value:
    if kind == 0:
        return None
    if kind in {8, 9}:
        return kind - 8
    if kind == _FLOAT:
        return float(struct.unpack(">d", part)[0])
    if kind < _FIRST_BLOB:
        return int.from_bytes(part, "big", signed=True)
    return part.decode() if kind % 2 else part
