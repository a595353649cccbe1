"""`gcs`, Google's Consent Mode in short: `G1`, ad_storage, analytics_storage. [seen V35]"""

import re
from typing import Final

from twite.consent.malformed import MalformedSignal

_GCS: Final = re.compile(r"G1([01-])[01-]", re.ASCII)


def decode(text: str) -> MalformedSignal | bool | None:
    """Return whether ad_storage is granted, or None where it is not said."""
    match = _GCS.fullmatch(text.strip())
    if match is None:
        return MalformedSignal(why="not of the form G111")
    return None if match[1] == "-" else match[1] == "1"
