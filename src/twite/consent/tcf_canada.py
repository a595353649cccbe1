"""Decode `tcfca`, section 5 of a GPP string: Canada's form of the TCF. [doc V38]"""

import msgspec

from twite.consent.bits import Bits, UnreadableBits
from twite.consent.malformed import MalformedSignal


class CanadaString(msgspec.Struct, frozen=True, kw_only=True):
    """Purposes with express consent, and with implied consent. Times are milliseconds."""

    created: int
    updated: int
    express: frozenset[int]
    implied: frozenset[int]

    def allows(self, purpose: int) -> bool:
        return purpose in self.express or purpose in self.implied


def decode(text: str) -> CanadaString | MalformedSignal:
    """Decode the core's purposes; the rest names vendors, of which X is not one."""
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
