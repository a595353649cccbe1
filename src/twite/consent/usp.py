"""Decode `us_privacy`, the IAB's first US string: version, notice, opt-out, LSPA."""

import re
from typing import Final

from twite.consent.malformed import MalformedSignal

_USP: Final = re.compile(r"1[YN-]([YN-])[YN-]", re.ASCII | re.IGNORECASE)


def decode(text: str) -> MalformedSignal | bool | None:
    """Return whether the person opted out of the sale of data; None if not applicable."""
    match = _USP.fullmatch(text.strip())
    if match is None:
        return MalformedSignal(why="not of the form 1YNN")
    return None if match[1] == "-" else match[1] in "Yy"
