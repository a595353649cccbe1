"""Decode the US sections of a GPP string: opt-outs by state. [doc V38, checked]

A value of two bits is 0 not applicable, 1 opted out, 2 did not opt out.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from twite.consent.bits import Bits, UnreadableBits
from twite.consent.malformed import MalformedSignal


class _Layout(msgspec.Struct, frozen=True, gc=False):
    """The positions of the opt-outs in the core segment (bit offsets).

    `gpc` says whether sub-section 1 is the browser's own signal; `newest` is the highest version
    known to have this layout.
    """

    name: str
    sale: int
    advertising: int | None = None
    sharing: int | None = None
    gpc: bool = True
    newest: int = 1


LAYOUTS: Final[Mapping[int, _Layout]] = MappingProxyType(
    {
        7: _Layout("usnat", 18, 22, 20, newest=2),
        8: _Layout("usca", 12, None, 14),
        9: _Layout("usva", 12, 14, gpc=False),
        10: _Layout("usco", 12, 14),
        11: _Layout("usut", 14, 16, gpc=False),
        12: _Layout("usct", 12, 14),
        13: _Layout("usfl", 12, 14, gpc=False),
        14: _Layout("usmt", 12, 14),
        15: _Layout("usor", 12, 14),
        16: _Layout("ustx", 12, 14),
        17: _Layout("usde", 12, 14),
        18: _Layout("usia", 14, 16),
        19: _Layout("usne", 12, 14),
        20: _Layout("usnh", 12, 14),
        21: _Layout("usnj", 12, 14),
        22: _Layout("ustn", 12, 14),
        23: _Layout("usmn", 12, 14),
        24: _Layout("usmd", 16, 18),
        25: _Layout("usin", 16, 18, gpc=False),
        26: _Layout("usky", 16, 18, gpc=False),
        27: _Layout("usri", 16, 18, gpc=False),
    }
)
# From this version on, a segment that names the section may precede the core.
_WITH_HEADER: Final = 24
_GPC: Final = 1


class UsSection(msgspec.Struct, frozen=True, kw_only=True):
    """The values as encoded; None if the section has none of that kind."""

    name: str
    sale: int
    sharing: int | None
    advertising: int | None
    gpc: bool | None

    @property
    def opt_out(self) -> str | None:
        """The person's opt-out, in a word, if any."""
        for word in ("sale", "sharing", "advertising"):
            if getattr(self, word) == 1:
                return word
        return "gpc" if self.gpc else None


def decode(section: int, text: str) -> UsSection | MalformedSignal:
    """Read a section of LAYOUTS."""
    layout = LAYOUTS[section]
    core, *others = text.split(".")
    try:
        if section >= _WITH_HEADER and others and Bits(core).take(6) == section:
            core, *others = others
        version = Bits(core).take(6)
        if not 0 < version <= layout.newest:
            return MalformedSignal(why=f"{layout.name} of an unknown version")
        sale, sharing, advertising = (
            _value(core, offset) for offset in (layout.sale, layout.sharing, layout.advertising)
        )
        gpc = _gpc(others) if layout.gpc else None
    except UnreadableBits as error:
        return MalformedSignal(why=f"{layout.name}: {error}")
    if sale is None or 3 in (sale, sharing, advertising):
        return MalformedSignal(why=f"{layout.name}: a value that means nothing")
    return UsSection(name=layout.name, sale=sale, sharing=sharing, advertising=advertising, gpc=gpc)


def _value(core: str, offset: int | None) -> int | None:
    if offset is None:
        return None
    bits = Bits(core)
    bits.take(offset)
    return bits.take(2)


def _gpc(segments: list[str]) -> bool | None:
    for segment in segments:
        bits = Bits(segment)
        if bits.take(2) == _GPC:
            return bits.flag()
    return None
