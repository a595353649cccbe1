"""Decode a TC string of the IAB's Transparency and Consent Framework, version 2. [doc V37]"""

from typing import Final

import msgspec

from twite.consent.bits import Bits, Ranges, UnreadableBits
from twite.consent.malformed import MalformedSignal

# Milliseconds: from then on, a new string of an older policy than 4 is invalid; and before that,
# there was no version 2 at all (21 August 2019).
_POLICY_4_SINCE: Final = 1_696_032_000_000  # 30 September 2023
_BEGINNING: Final = 1_566_345_600_000
_DAY: Final = 86_400_000


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """A publisher's restriction of a purpose for some vendors.

    `kind` is 0 not allowed, 1 consent needed, 2 legitimate interest needed, 3 undefined.
    """

    purpose: int
    kind: int
    vendors: Ranges


class TcString(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded TC string. Times are milliseconds; `disclosed` is None if it is not given."""

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
    vendors: Ranges
    vendor_interests: Ranges
    restrictions: tuple[Restriction, ...]
    disclosed: Ranges | None = None

    def asked(self, purpose: int) -> bool:
        """Whether the person was asked: about purpose 1, this differs by country."""
        return purpose != 1 or not self.purpose_one_treatment

    def allows(self, purpose: int, vendor: int | None) -> bool:
        """Whether a purpose has consent, and no publisher restriction excludes the vendor."""
        if purpose not in self.purposes:
            return False
        # A restriction to consent changes nothing; all others leave no consent to rely on.
        return vendor is None or not any(
            restriction.purpose == purpose
            and restriction.kind != 1
            and vendor in restriction.vendors
            for restriction in self.restrictions
        )


def decode(text: str) -> TcString | MalformedSignal:
    """Read a TC string."""
    core, *others = text.strip().split(".")
    try:
        found = _core(Bits(core))
        for other in others:
            bits = Bits(other)
            match bits.take(3):
                case 1:
                    found = msgspec.structs.replace(found, disclosed=Ranges.vendors(bits))
                case 2:
                    Ranges.vendors(bits)
                case 3:
                    _publisher(bits)
                case _:
                    return MalformedSignal(why="a segment of an unknown type")
    except UnreadableBits as error:
        return MalformedSignal(why=str(error))
    return found


def doubt(found: TcString, *, now: int) -> str | None:
    """Return why a decodable string must not be trusted, or None.

    A random string that begins with C often decodes to consent: a reader accepted 648 of 3,000.
    """
    if not found.service_specific:
        return "not service-specific, which is no longer valid"
    if not _BEGINNING <= found.created <= found.updated <= now + _DAY:
        return "created at an impossible time"
    # Since policy 4 the two times are the same day. [doc V37]
    if found.policy_version >= 4 and found.created // _DAY != found.updated // _DAY:
        return "made on two days"
    if found.policy_version < (4 if found.created >= _POLICY_4_SINCE else 2):
        return "made under a policy that had expired"
    if found.cmp < 2 or found.vendor_list == 0:
        return "made by nobody"
    return None


def _core(bits: Bits) -> TcString:
    if bits.take(6) != 2:
        raise UnreadableBits("not of version 2")
    return TcString(
        created=bits.take(36) * 100,
        updated=bits.take(36) * 100,
        cmp=bits.take(12),
        cmp_version=bits.take(12),
        screen=bits.take(6),
        language=bits.letters(2),
        vendor_list=bits.take(12),
        policy_version=bits.take(6),
        service_specific=bits.flag(),
        special_features=_after_texts(bits),
        purposes=bits.flags(24),
        legitimate_interests=bits.flags(24),
        purpose_one_treatment=bits.flag(),
        publisher_country=bits.letters(2),
        vendors=Ranges.vendors(bits),
        vendor_interests=Ranges.vendors(bits),
        restrictions=_restrictions(bits),
    )


def _after_texts(bits: Bits) -> frozenset[int]:
    """Skip UseNonStandardTexts, and read the special features."""
    bits.flag()
    return bits.flags(12)


def _publisher(bits: Bits) -> None:
    """Skip a publisher's own purposes, which do not concern X."""
    bits.take(24 + 24)
    bits.take(2 * bits.take(6))


def _restrictions(bits: Bits) -> tuple[Restriction, ...]:
    return tuple(
        Restriction(purpose=bits.take(6), kind=bits.take(2), vendors=Ranges.fixed(bits))
        for _ in range(bits.take(12))
    )
