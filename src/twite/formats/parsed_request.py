"""What a door other than our own found in a request: conversions in our own words, and the rest."""

from collections.abc import Mapping

import msgspec

from twite.domain.fault import Fault
from twite.domain.submission import Ignored
from twite.formats.native_shape import Native
from twite.formats.visitor import SERVER, Visitor

Event = Mapping[str, object]


class TagEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as tags see it. It holds persons: it does not print.

    `event` is in the shape of common event data, as `visitor` claimed it. `conversion` is its place
    among what X is told, None where X is told nothing of it; `repeated` is as in Found.
    """

    event: Event
    visitor: Visitor = SERVER
    conversion: int | None = None
    repeated: str | None = None

    def __repr__(self) -> str:
        return "Heard(***)"


class ParsedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a request.

    `conversions` name events as the source's pixel does; their `consent` holds every signal that
    came with them, raw, by its name. `hit` is the request as JSON, persons scrubbed, for whoever
    asks later how it was read. `repeated` has, for each conversion that comes without an id, what
    its client says again when it sends it again, as in `GA4 <page> <count>`; None where nothing but
    the conversion itself. `heard` are the events that tags may fire for, whether or not X is told
    of them. `faults` has, for each conversion, what was wrong with it beside what our own
    rules will say, or is empty where nothing was. It holds persons: it does not print.
    """

    conversions: tuple[Native, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    hit: msgspec.Raw | None = None
    repeated: tuple[str | None, ...] = ()
    heard: tuple[TagEvent, ...] = ()
    faults: tuple[tuple[Fault, ...], ...] = ()

    def __repr__(self) -> str:
        return f"Found({len(self.conversions)} conversions, {len(self.ignored)} ignored)"
