"""An unreadable consent signal: a value of its own, and never consent."""

from typing import Final

import msgspec

# No real string comes near it; without a limit, a client could make decoding slow.
LONGEST: Final = 16_384


class MalformedSignal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`why` names the place, never the text."""

    why: str
