"""Decode `gcs`, the short form of Google's Consent Mode: `G1`, ad, analytics. [seen V35]"""

import re
from typing import Final

from twite.consent.malformed import MalformedSignal

_GCS: Final = re.compile(r"G1([01-])[01-]", re.ASCII)


def decode(text: str) -> MalformedSignal | bool | None:
    """Return whether ad_storage is granted, or None if it is not given."""
    match = _GCS.fullmatch(text.strip())
    if match is None:
        return MalformedSignal(why="not of the form G111")
    return None if match[1] == "-" else match[1] == "1"
