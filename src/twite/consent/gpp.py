"""Decode the IAB's GPP string: a header, and a section for each law. [doc V38]"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from twite.consent import tcf, tcf_canada, us_sections, usp
from twite.consent.bits import Bits, Ranges, UnreadableBits
from twite.consent.malformed import LONGEST, MalformedSignal
from twite.consent.tcf import TcString
from twite.consent.tcf_canada import CanadaString
from twite.consent.us_sections import UsSection

EUROPE: Final = 2
CANADA: Final = 5
US_PRIVACY: Final = 6
_TYPE: Final = 3
_VERSION: Final = 1
_HIGHEST: Final = 4_095
_SID: Final = re.compile(r"-?[0-9]{1,4}", re.ASCII)

# A decoded section; `bool | None` is section 6, opted out or not.
Section = TcString | CanadaString | UsSection | MalformedSignal | bool | None


class GppString(msgspec.Struct, frozen=True, kw_only=True):
    """The sections, by id. Unknown sections are left out."""

    sections: Mapping[int, Section]


def decode(text: str) -> GppString | MalformedSignal:
    """Read a GPP string."""
    if len(text) > LONGEST:
        return MalformedSignal(why="too long")
    header, *parts = text.strip().split("~")
    try:
        ids = _ids(Bits(header))
    except UnreadableBits as error:
        return MalformedSignal(why=f"header: {error}")
    if len(ids) != len(parts):
        return MalformedSignal(why="fewer sections than the header names")
    sections: dict[int, Section] = {}
    for id_, part in zip(ids, parts, strict=True):
        if not part:
            return MalformedSignal(why="an empty section")
        if id_ == EUROPE:
            sections[id_] = tcf.decode(part)
        elif id_ == CANADA:
            sections[id_] = tcf_canada.decode(part)
        elif id_ == US_PRIVACY:
            sections[id_] = usp.decode(part)
        elif id_ in us_sections.LAYOUTS:
            sections[id_] = us_sections.decode(id_, part)
    return GppString(sections=sections)


def decode_sid(text: str) -> frozenset[int] | MalformedSignal:
    """Read which sections apply, as in `7`, `2_6` and `2,6`; -1 and 0 are none."""
    words = re.split(r"[\s,_.;\[\]]+", text.strip(" []")) if len(text) <= LONGEST else ["too long"]
    if not all(_SID.fullmatch(word) for word in words):
        return MalformedSignal(why="not numbers of sections")
    return frozenset(number for number in map(int, words) if number > 0)


def _ids(bits: Bits) -> tuple[int, ...]:
    if bits.take(6) != _TYPE or bits.take(6) != _VERSION:
        raise UnreadableBits("not a GPP string of version 1")
    ranges = Ranges.fibonacci(bits)
    if len(ranges) > _HIGHEST:
        raise UnreadableBits("more sections than there are")
    return tuple(ranges)
