"""Key filters: they show which dedup keys cannot be in the tables.

Almost every key is new. In a table of ten million keys, each search for a new key would read a page
from the file. To avoid this, there is a bitmap for each 256th of the key space, in memory and in
the database. Each key in the two tables sets one bit, so a key whose bit is not set is in neither
table. Bits are written in the transaction that adds the keys. A bit that is set without a key only
costs a search.
"""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

from twite.stores.sql.database import WantedKey
from twite.stores.sql.statements import RunsStatements

_PARTS: Final = 256
# With sixteen bits per key, at most one new key in eight is searched for in vain before the bitmap
# is rebuilt for twice as many keys.
_BYTES_PER_KEY: Final = 2
# Three bytes of a key select the bit.
_LEAST_BYTES, _MOST_BYTES = 64, 65_536
# The bitmap of a part without a filter: any key may be in the table.
_ANY: Final = b"\xff"
# A part with more keys has no filter: too many bits would be set, and a rebuild would take too
# long.
_MOST_KEYS: Final = 131_072


class KeyFilters:
    """The bitmaps. `room` is how many keys a part may get before its bitmap is rebuilt."""

    def __init__(self, run: RunsStatements) -> None:
        self._run = run
        self._bitmaps = [bytearray(_ANY) for _ in range(_PARTS)]
        self._room = [0] * _PARTS
        self._changed: set[int] = set()
        # Bitmaps that the running transaction has rebuilt, as they were before.
        self._before: dict[int, tuple[bytearray, int]] = {}
        for part, room, bitmap, checksum in run("key_filters").fetchall():
            if checksum == _checksum(part, room, bitmap):
                self._bitmaps[part] = bytearray(bitmap)
                self._room[part] = room

    def possible(self, wanted: Iterable[WantedKey]) -> list[WantedKey]:
        """Return the requests whose key may be in the table."""
        bitmaps = self._bitmaps
        found = []
        for wish in wanted:
            key = wish.key
            bitmap = bitmaps[key[0]]
            if bitmap[(key[1] << 8 | key[2]) & (len(bitmap) - 1)] >> (key[3] & 7) & 1:
                found.append(wish)
        return found

    def add(self, part: int, keys: bytes) -> None:
        """Set the bits of a part's keys (joined bytes), which the table already contains."""
        self._room[part] -= len(keys) // 16
        if self._room[part] < 0:
            self.rebuild(part)
            return
        self._changed.add(part)
        _set_bits(self._bitmaps[part], keys)

    def write(self) -> None:
        """Write the changed bitmaps."""
        for part in self._changed:
            room, bitmap = self._room[part], self._bitmaps[part]
            checksum = _checksum(part, room, bitmap)
            self._run("put_key_filter", part=part, room=room, bitmap=bitmap, checksum=checksum)
        self._changed.clear()

    def committed(self) -> None:
        self._before.clear()

    def rolled_back(self) -> None:
        """Restore rebuilt bitmaps. Bits set by the transaction stay: each only costs a search."""
        for part, (bitmap, room) in self._before.items():
            self._bitmaps[part], self._room[part] = bitmap, room
        self._changed.clear()
        self._before.clear()

    def rebuild(self, part: int) -> None:
        """Build a bitmap from the table, large enough for twice as many keys."""
        self._changed.add(part)
        self._before.setdefault(part, (self._bitmaps[part], self._room[part]))
        found = self._run("keys_of_part", **range_of(part), limit=_MOST_KEYS).fetchone()
        keys = found[0] or b""
        many = len(keys) // 16
        bitmap = bytearray(_ANY)
        if many < _MOST_KEYS:
            least = 1 << (max(1, many * _BYTES_PER_KEY) - 1).bit_length()
            bitmap = bytearray(min(max(_LEAST_BYTES, least), _MOST_BYTES))
            _set_bits(bitmap, keys)
        self._bitmaps[part] = bitmap
        self._room[part] = max(many, _LEAST_BYTES // _BYTES_PER_KEY)


def range_of(part: int) -> dict[str, bytes]:
    """Return the lowest and the highest key of a part, as parameters for statements."""
    return {"first": bytes([part]), "last": bytes([part]) + b"\xff" * 15}


def _checksum(part: int, room: int, bitmap: bytes | bytearray) -> int:
    return crc32(bitmap, crc32(f"{part} {room}".encode()))


def _set_bits(bitmap: bytearray, keys: bytes) -> None:
    last = len(bitmap) - 1
    for high, low, bit in zip(keys[1::16], keys[2::16], keys[3::16], strict=True):
        bitmap[(high << 8 | low) & last] |= 1 << (bit & 7)
