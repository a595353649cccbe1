"""Decode vendor lists beside a TC string: Google's Additional Consent, and a CMP's own vendors."""

import re
from typing import Final

import msgspec

from twite.consent.malformed import LONGEST, MalformedSignal

_AC: Final = re.compile(r"([12])~([0-9.]*)(?:~dv\.([0-9.]*))?", re.ASCII)
_BETWEEN: Final = re.compile(r"[\s,;]+")


class Additional(msgspec.Struct, frozen=True, kw_only=True):
    """Providers with consent, and providers disclosed without it (version 2)."""

    consented: frozenset[int]
    disclosed: frozenset[int]


def decode_additional(text: str) -> Additional | MalformedSignal:
    """Decode `2~1.35~dv.9.21`: providers with consent, then those without."""
    match = _AC.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if match is None:
        return MalformedSignal(why="not of the form 2~1.35~dv.9")
    consented, disclosed = (_ids(part or "") for part in (match[2], match[3]))
    if consented is None or disclosed is None:
        return MalformedSignal(why="an invalid id")
    return Additional(consented=consented, disclosed=disclosed)


def decode_names(text: str) -> frozenset[str] | MalformedSignal:
    """Decode the names or ids of a CMP's own vendors with consent, separated by commas."""
    if len(text) > LONGEST:
        return MalformedSignal(why="too long")
    return frozenset(name for name in _BETWEEN.split(text.strip()) if name)


def _ids(text: str) -> frozenset[int] | None:
    parts = text.split(".") if text else []
    if not all(0 < len(part) <= 9 for part in parts):
        return None
    return frozenset(map(int, parts))
