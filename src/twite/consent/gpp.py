"""Decode the IAB's GPP string, its sections, and the strings sent with TC strings. [doc V38]"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from twite.consent.tcf import (
    LONGEST,
    Bits,
    CanadaString,
    MalformedSignal,
    Ranges,
    TcString,
    UnreadableBits,
    decode_canada,
    decode_tcf,
)

_USP: Final = re.compile(r"1[YN-]([YN-])[YN-]", re.ASCII | re.IGNORECASE)
# From this section on, a segment with the section's number may precede the core.
_WITH_HEADER: Final = 24
_GPC: Final = 1
EUROPE: Final = 2
CANADA: Final = 5
US_PRIVACY: Final = 6
_TYPE: Final = 3
_VERSION: Final = 1
_HIGHEST: Final = 4_095
_SID: Final = re.compile(r"-?[0-9]{1,4}", re.ASCII)
_AC: Final = re.compile(r"([12])~([0-9.]*)(?:~dv\.([0-9.]*))?", re.ASCII)
_BETWEEN: Final = re.compile(r"[\s,;]+")


def decode_usp(text: str) -> MalformedSignal | bool | None:
    """Return whether the person opted out of the sale of data; None if US law does not apply."""
    match = _USP.fullmatch(text.strip())
    if match is None:
        return MalformedSignal(why="not of the form 1YNN")
    return None if match[1] == "-" else match[1] in "Yy"


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


class UsSection(msgspec.Struct, frozen=True, kw_only=True):
    """Opt-outs by kind: 0 not applicable, 1 opted out, 2 did not opt out, None if absent."""

    name: str
    sale: int
    sharing: int | None
    advertising: int | None
    gpc: bool | None

    @property
    def opt_out(self) -> str | None:
        for word in ("sale", "sharing", "advertising"):
            if getattr(self, word) == 1:
                return word
        return "gpc" if self.gpc else None


def decode_us_section(section: int, text: str) -> UsSection | MalformedSignal:
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
        return MalformedSignal(why=f"{layout.name}: an undefined value")
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


# A decoded section. Section 6 is a bool (opted out or not), or None if US law does not apply.
Section = TcString | CanadaString | UsSection | MalformedSignal | bool | None


class GppString(msgspec.Struct, frozen=True, kw_only=True):
    sections: Mapping[int, Section]


def decode_gpp(text: str) -> GppString | MalformedSignal:
    if len(text) > LONGEST:
        return MalformedSignal(why="too long")
    header, *parts = text.strip().split("~")
    try:
        ids = _section_ids(Bits(header))
    except UnreadableBits as error:
        return MalformedSignal(why=f"header: {error}")
    if len(ids) != len(parts):
        return MalformedSignal(why="fewer sections than the header names")
    sections: dict[int, Section] = {}
    for id_, part in zip(ids, parts, strict=True):
        if not part:
            return MalformedSignal(why="an empty section")
        if id_ == EUROPE:
            sections[id_] = decode_tcf(part)
        elif id_ == CANADA:
            sections[id_] = decode_canada(part)
        elif id_ == US_PRIVACY:
            sections[id_] = decode_usp(part)
        elif id_ in LAYOUTS:
            sections[id_] = decode_us_section(id_, part)
    return GppString(sections=sections)


def decode_sid(text: str) -> frozenset[int] | MalformedSignal:
    """Read which sections apply, such as `7`, `2_6` and `2,6`; -1 and 0 mean none."""
    words = re.split(r"[\s,_.;\[\]]+", text.strip(" []")) if len(text) <= LONGEST else ["too long"]
    if not all(_SID.fullmatch(word) for word in words):
        return MalformedSignal(why="not section numbers")
    return frozenset(number for number in map(int, words) if number > 0)


def _section_ids(bits: Bits) -> tuple[int, ...]:
    if bits.take(6) != _TYPE or bits.take(6) != _VERSION:
        raise UnreadableBits("not a GPP string of version 1")
    ranges = Ranges.fibonacci(bits)
    if len(ranges) > _HIGHEST:
        raise UnreadableBits("more sections than the standard defines")
    return tuple(ranges)


class Additional(msgspec.Struct, frozen=True, kw_only=True):
    """Providers with consent, and providers disclosed without it (version 2)."""

    consented: frozenset[int]
    disclosed: frozenset[int]


def decode_additional(text: str) -> Additional | MalformedSignal:
    match = _AC.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if match is None:
        return MalformedSignal(why="not of the form 2~1.35~dv.9")
    consented, disclosed = (_ids(part or "") for part in (match[2], match[3]))
    if consented is None or disclosed is None:
        return MalformedSignal(why="an invalid id")
    return Additional(consented=consented, disclosed=disclosed)


def decode_names(text: str) -> frozenset[str] | MalformedSignal:
    if len(text) > LONGEST:
        return MalformedSignal(why="too long")
    return frozenset(name for name in _BETWEEN.split(text.strip()) if name)


def _ids(text: str) -> frozenset[int] | None:
    parts = text.split(".") if text else []
    if not all(0 < len(part) <= 9 for part in parts):
        return None
    return frozenset(map(int, parts))
