"""A signal that cannot be read: a value of its own, and never consent."""

from typing import Final

import msgspec

# No real string comes near it; without a bound, reading one could take as long as its writer likes.
LONGEST: Final = 16_384


class MalformedSignal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`why` names the place, never the text."""

    why: str
