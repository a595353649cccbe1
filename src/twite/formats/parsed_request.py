"""The result of reading a request of any format but the native one: conversions and tag events."""

from collections.abc import Mapping

import msgspec

from twite.domain.fault import Fault
from twite.domain.submission import Ignored
from twite.formats.native_shape import Native
from twite.formats.visitor import SERVER, Visitor

Event = Mapping[str, object]


class TagEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as tags see it. It holds personal data: its repr is masked.

    `event` has the shape of common event data, as `visitor` claimed it. `conversion` is its index
    among the conversions, None if it is not one; `repeated` is as in ParsedRequest.
    """

    event: Event
    visitor: Visitor = SERVER
    conversion: int | None = None
    repeated: str | None = None

    def __repr__(self) -> str:
        return "Heard(***)"


class ParsedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a request.

    `conversions` name events as the source's pixel does; their `consent` holds every signal of the
    request, raw, by name. `hit` is the request as JSON, scrubbed, stored to explain later how it
    was read. `repeated` has, for each conversion without an id, the fields that its client repeats
    on a retry, as in `GA4 <page> <count>`; None if only the conversion itself repeats. `heard` are
    the events for which tags may fire, whether or not X is told of them. `faults` has the faults of
    each conversion beside those of the native rules, or is empty if there are none. It holds
    personal data: its repr is masked.
    """

    conversions: tuple[Native, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    hit: msgspec.Raw | None = None
    repeated: tuple[str | None, ...] = ()
    heard: tuple[TagEvent, ...] = ()
    faults: tuple[tuple[Fault, ...], ...] = ()

    def __repr__(self) -> str:
        return f"Found({len(self.conversions)} conversions, {len(self.ignored)} ignored)"
