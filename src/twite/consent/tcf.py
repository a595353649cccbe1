"""Decode TC strings of the IAB's Transparency and Consent Framework (TCF), version 2. [doc V37]"""

import base64
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Self

import msgspec

# Real strings are far shorter. Without a limit, a client could make decoding slow.
LONGEST: Final = 16_384
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
# A longer Fibonacci code would be a number beyond the largest possible id.
_LONGEST_CODE: Final = 24
# In milliseconds. Since 30 September 2023, new strings with a policy older than 4 are invalid;
# before 21 August 2019, version 2 did not exist.
_POLICY_4_SINCE: Final = 1_696_032_000_000
_BEGINNING: Final = 1_566_345_600_000
_DAY: Final = 86_400_000
# The widths of the fields up to the publisher's country, in bits. The one before the special
# features is UseNonStandardTexts. [doc V37]
_CORE_WIDTHS: Final = (6, 36, 36, 12, 12, 6, 12, 12, 6, 1, 1, 12, 24, 24, 1, 12)
_CORE_WIDTH: Final = sum(_CORE_WIDTHS)


class MalformedSignal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`why` describes the error without quoting the text."""

    why: str


class UnreadableBits(Exception):
    """The text is invalid or too short."""


class Bits:
    __slots__ = ("_at", "_bytes", "_length")

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST or not _BASE64URL.fullmatch(text):
            raise UnreadableBits("not base64url")
        self._bytes = base64.urlsafe_b64decode(text + "A" * (-len(text) % 4))
        self._length = 6 * len(text)
        self._at = 0

    def take(self, count: int) -> int:
        start, end = self._at, self._at + count
        if end > self._length:
            raise UnreadableBits("too short")
        self._at = end
        piece = int.from_bytes(self._bytes[start >> 3 : (end + 7) >> 3])
        return (piece >> (-end & 7)) & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.take(1) == 1

    def flags(self, count: int) -> frozenset[int]:
        """Return the positions, from 1, of the bits that are set."""
        return _positions(self.take(count), count)

    def fibonacci(self) -> int:
        """Read a number in Fibonacci coding, which ends with two set bits."""
        number, before = 0, False
        this, following = 1, 2
        for _ in range(_LONGEST_CODE):
            bit = self.flag()
            if bit and before:
                return number
            number += this if bit else 0
            this, following, before = following, this + following, bit
        raise UnreadableBits("a number that is too large")


@lru_cache(maxsize=1_024)
def _positions(flags: int, count: int) -> frozenset[int]:
    """Return the positions of set bits. Most visitors allow all purposes, or the same few."""
    return frozenset(place for place in range(1, count + 1) if flags >> (count - place) & 1)


@lru_cache(maxsize=1_024)
def _letters(code: int) -> str:
    """Return two letters of 6 bits each."""
    first, second = code >> 6, code & 63
    if first > 25 or second > 25:
        raise UnreadableBits("not a letter")
    return chr(ord("A") + first) + chr(ord("A") + second)


class Ranges(msgspec.Struct, frozen=True):
    """Ids as ranges, which may be long: they are expanded only on demand."""

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def fixed(cls, bits: Bits) -> Self:
        """Read a range section of TCF: 12 bits of count, and 16 for each id. [doc V37]"""
        ranges = []
        for _ in range(bits.take(12)):
            several = bits.flag()
            first = bits.take(16)
            last = bits.take(16) if several else first
            if not 0 < first <= last:
                raise UnreadableBits("an invalid range")
            ranges.append((first, last))
        return cls(tuple(ranges))

    @classmethod
    def fibonacci(cls, bits: Bits) -> Self:
        """Read a range section of GPP: 12 bits of count, then offsets. [doc V38]"""
        ranges = []
        before = 0
        for _ in range(bits.take(12)):
            several = bits.flag()
            first = before + bits.fibonacci()
            before = first + bits.fibonacci() if several else first
            ranges.append((first, before))
        return cls(tuple(ranges))

    def __contains__(self, id_: int) -> bool:
        return any(first <= id_ <= last for first, last in self.ranges)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)


class IdBits(msgspec.Struct, frozen=True):
    """Ids as one number of `highest` bits, of which the first is that of the id 1.

    A string names up to a thousand vendors, and at most one of them is asked for.
    """

    highest: int
    bits: int

    def __contains__(self, id_: int) -> bool:
        return 0 < id_ <= self.highest and self.bits >> (self.highest - id_) & 1 == 1

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __iter__(self) -> Iterator[int]:
        return (id_ for id_ in range(1, self.highest + 1) if id_ in self)


Vendors = Ranges | IdBits


def _vendors(bits: Bits) -> Vendors:
    """Read vendors in TCF's form: the highest id, then one bit for each vendor, or ranges."""
    first = bits.take(16 + 1)
    highest, has_ranges = first >> 1, first & 1
    return Ranges.fixed(bits) if has_ranges else IdBits(highest, bits.take(highest))


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """A publisher's restriction of a purpose for some vendors.

    `kind` is 0 not allowed, 1 consent needed, 2 legitimate interest needed, 3 undefined.
    """

    purpose: int
    kind: int
    vendors: Ranges


class TcString(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded TC string. Times are milliseconds; `disclosed` is None if the string lacks it."""

    created: int
    updated: int
    cmp: int
    cmp_version: int
    screen: int
    language: str
    vendor_list: int
    policy_version: int
    service_specific: bool
    special_features: frozenset[int]
    purposes: frozenset[int]
    legitimate_interests: frozenset[int]
    purpose_one_treatment: bool
    publisher_country: str
    vendors: Vendors
    vendor_interests: Vendors
    restrictions: tuple[Restriction, ...]
    disclosed: Vendors | None = None

    def allowed(self, vendor: int | None) -> frozenset[int]:
        """Return the purposes with consent, without those that a restriction excludes."""
        if vendor is None or not self.restrictions:
            return self.purposes
        # A restriction that requires consent (1) changes nothing; any other rules consent out.
        return self.purposes.difference(
            restriction.purpose
            for restriction in self.restrictions
            if restriction.kind != 1 and vendor in restriction.vendors
        )


def decode_tcf(text: str) -> TcString | MalformedSignal:
    core, *others = text.strip().split(".")
    try:
        found = _core(Bits(core))
        for other in others:
            bits = Bits(other)
            match bits.take(3):
                case 1:
                    found = msgspec.structs.replace(found, disclosed=_vendors(bits))
                case 2:
                    _vendors(bits)
                case 3:
                    _publisher(bits)
                case _:
                    return MalformedSignal(why="a segment of an unknown type")
    except UnreadableBits as error:
        return MalformedSignal(why=str(error))
    return found


def doubt(string: TcString, *, now: int) -> str | None:
    """Return why a decodable string must not be trusted, or None.

    A random string that begins with C often decodes to consent: without these checks, 648 of 3,000
    were accepted.
    """
    if not string.service_specific:
        return "not service-specific, and therefore no longer valid"
    if not _BEGINNING <= string.created <= string.updated <= now + _DAY:
        return "created at an impossible time"
    # Since policy 4 the two times are the same day. [doc V37]
    if string.policy_version >= 4 and string.created // _DAY != string.updated // _DAY:
        return "created and updated on different days"
    if string.policy_version < (4 if string.created >= _POLICY_4_SINCE else 2):
        return "created under a policy that had expired"
    if string.cmp < 2 or string.vendor_list == 0:
        return "created without a CMP or a vendor list"
    return None


_NO_VENDORS: Final = IdBits(0, 0)


def _core(bits: Bits) -> TcString:
    return msgspec.structs.replace(
        _fields(bits.take(_CORE_WIDTH)),
        vendors=_vendors(bits),
        vendor_interests=_vendors(bits),
        restrictions=_restrictions(bits),
    )


@lru_cache(maxsize=4_096)
def _fields(number: int) -> TcString:
    """Read the fields of fixed width. Many visitors of a day have the same ones."""
    left = _CORE_WIDTH
    fields = []
    for width in _CORE_WIDTHS:
        left -= width
        fields.append(number >> left & ((1 << width) - 1))
    (version, created, updated, cmp, cmp_version, screen, language, vendor_list, policy_version,
     service_specific, _, special_features, purposes, legitimate_interests, purpose_one_treatment,
     country) = fields  # fmt: skip
    if version != 2:
        raise UnreadableBits("not version 2")
    return TcString(
        created=created * 100,
        updated=updated * 100,
        cmp=cmp,
        cmp_version=cmp_version,
        screen=screen,
        language=_letters(language),
        vendor_list=vendor_list,
        policy_version=policy_version,
        service_specific=service_specific == 1,
        special_features=_positions(special_features, 12),
        purposes=_positions(purposes, 24),
        legitimate_interests=_positions(legitimate_interests, 24),
        purpose_one_treatment=purpose_one_treatment == 1,
        publisher_country=_letters(country),
        vendors=_NO_VENDORS,
        vendor_interests=_NO_VENDORS,
        restrictions=(),
    )


def _publisher(bits: Bits) -> None:
    """Skip a publisher's own purposes, which do not concern X."""
    bits.take(24 + 24)
    bits.take(2 * bits.take(6))


def _restrictions(bits: Bits) -> tuple[Restriction, ...]:
    many = bits.take(12)
    if not many:
        return ()
    return tuple(
        Restriction(purpose=bits.take(6), kind=bits.take(2), vendors=Ranges.fixed(bits))
        for _ in range(many)
    )


class CanadaString(msgspec.Struct, frozen=True, kw_only=True):
    """Purposes with express consent, and with implied consent. Times are milliseconds."""

    created: int
    updated: int
    express: frozenset[int]
    implied: frozenset[int]

    def allows(self, purpose: int) -> bool:
        return purpose in self.express or purpose in self.implied


def decode_canada(text: str) -> CanadaString | MalformedSignal:
    """Decode the core's purposes; the rest concerns vendors, and X is not one of them."""
    try:
        bits = Bits(text.partition(".")[0])
        if bits.take(6) != 1:
            return MalformedSignal(why="tcfca of an unknown version")
        created, updated = bits.take(36) * 100, bits.take(36) * 100
        # CMP, its version, screen, language, vendor list, policy, stacks, special features.
        bits.take(12 + 12 + 6 + 12 + 12 + 6 + 1 + 12)
        return CanadaString(
            created=created, updated=updated, express=bits.flags(24), implied=bits.flags(24)
        )
    except UnreadableBits as error:
        return MalformedSignal(why=f"tcfca: {error}")
