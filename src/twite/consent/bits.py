"""Read bits from base64url text, most significant first, for TCF and GPP strings."""

import base64
import re
from collections.abc import Iterator
from typing import Final, Self

from twite.consent.malformed import LONGEST

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
# Fibonacci numbers beyond the largest possible id.
_LONGEST_CODE: Final = 24


class UnreadableBits(Exception):
    """The text is invalid or too short. Does not leave this module."""


class Bits:
    """Reads from the front; every read raises UnreadableBits past the end."""

    __slots__ = ("_at", "_bytes", "length")

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST or not _BASE64URL.fullmatch(text):
            raise UnreadableBits("not base64url")
        self._bytes = base64.urlsafe_b64decode(text + "A" * (-len(text) % 4))
        self.length = 6 * len(text)
        self._at = 0

    @property
    def left(self) -> int:
        """How many bits have not been read."""
        return self.length - self._at

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        start, end = self._at, self._at + count
        if end > self.length:
            raise UnreadableBits("too short")
        self._at = end
        piece = int.from_bytes(self._bytes[start >> 3 : (end + 7) >> 3])
        return (piece >> (-end & 7)) & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.take(1) == 1

    def letters(self, count: int) -> str:
        """Return letters of six bits each."""
        codes = [self.take(6) for _ in range(count)]
        if max(codes) > 25:
            raise UnreadableBits("not a letter")
        return "".join(chr(ord("A") + code) for code in codes)

    def flags(self, count: int) -> frozenset[int]:
        """Return the positions, from 1, of the bits that are set."""
        written = f"{self.take(count):0{count}b}" if count else ""
        return frozenset(place for place, bit in enumerate(written, 1) if bit == "1")

    def fibonacci(self) -> int:
        """Return a number in Fibonacci coding, which ends with two set bits."""
        number, before = 0, False
        this, following = 1, 2
        for _ in range(_LONGEST_CODE):
            bit = self.flag()
            if bit and before:
                return number
            number += this if bit else 0
            this, following, before = following, this + following, bit
        raise UnreadableBits("too large a number")


class Ranges:
    """Ids as ranges, which may be long: they are expanded only on demand."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: tuple[tuple[int, int], ...]) -> None:
        self._ranges = ranges

    @classmethod
    def fixed(cls, bits: Bits) -> Self:
        """Read a range section of TCF: 12 bits of count, and 16 for each id. [doc V37]"""
        ranges = []
        for _ in range(bits.take(12)):
            several = bits.flag()
            first = bits.take(16)
            last = bits.take(16) if several else first
            if not 0 < first <= last:
                raise UnreadableBits("a range that is none")
            ranges.append((first, last))
        return cls(tuple(ranges))

    @classmethod
    def fibonacci(cls, bits: Bits) -> Self:
        """Read a range section of GPP: 12 bits of count, and offsets. [doc V38]"""
        ranges = []
        before = 0
        for _ in range(bits.take(12)):
            several = bits.flag()
            first = before + bits.fibonacci()
            before = first + bits.fibonacci() if several else first
            ranges.append((first, before))
        return cls(tuple(ranges))

    @classmethod
    def vendors(cls, bits: Bits) -> Self:
        """Read vendors as TCF writes them: the highest id, then a bit for each, or ranges."""
        highest = bits.take(16)
        if bits.flag():
            return cls.fixed(bits)
        return cls(tuple((id_, id_) for id_ in sorted(bits.flags(highest))))

    def __contains__(self, id_: int) -> bool:
        return any(first <= id_ <= last for first, last in self._ranges)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._ranges)

    def __iter__(self) -> Iterator[int]:
        for first, last in self._ranges:
            yield from range(first, last + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __repr__(self) -> str:
        return f"Ranges({self._ranges!r})"
