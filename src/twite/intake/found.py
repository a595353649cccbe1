"""What a door other than our own found in a request: conversions in our own words, and the rest."""

import msgspec

from twite.domain.submission import Ignored
from twite.intake.native_shape import Native


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a request.

    `conversions` name events as the source's pixel does; their `consent` holds every signal that
    came with them, raw, by its name. `hit` is the request as JSON, persons scrubbed, for whoever
    asks later how it was read. `repeated` has, for each conversion that comes without an id, what
    its client says again when it sends it again, as in `GA4 <page> <count>`; None where nothing but
    the conversion itself. It holds persons: it does not print.
    """

    conversions: tuple[Native, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    hit: msgspec.Raw | None = None
    repeated: tuple[str | None, ...] = ()

    def __repr__(self) -> str:
        return f"Found({len(self.conversions)} conversions, {len(self.ignored)} ignored)"
