"""`POST /debug/mp/collect`: validate Measurement Protocol events; nothing is stored.

The response has the shape of Google's own route of that name. [doc]
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from twite.consent.verdict import judging
from twite.domain.destination import Destination, Source
from twite.domain.errors import MalformedRequest
from twite.formats.event_data.conversions import REASONS, Tagged, found_of
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.native import read as native
from twite.formats.page_visit import Visitor
from twite.http.responses import HttpResponse


class DebugMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A finding about one place. `validation_code` is one of our codes."""

    field_path: str
    description: str
    validation_code: str


class DebugMessages(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Empty if every event would be accepted."""

    validation_messages: tuple[DebugMessage, ...]


def judged(
    body: bytes,
    *,
    query: str,
    source: Source,
    destinations: Mapping[str, Destination],
    visitor: Visitor,
) -> HttpResponse:
    """Return the errors of a request, and the events that would be ignored or not be sent."""
    try:
        tagged = measurement_protocol.read(body, query=query, measurement="")
        messages = tuple(_said(tagged, source, destinations, visitor))
    except MalformedRequest as wrong:
        messages = (_message(wrong.path, wrong.message, wrong.code),)
    return HttpResponse(
        status=200, body=_ENCODER.encode(DebugMessages(validation_messages=messages))
    )


def _said(
    tagged: Tagged, source: Source, destinations: Mapping[str, Destination], visitor: Visitor
) -> Iterator[DebugMessage]:
    for place, event in enumerate(tagged.events):
        path = f"events[{place}]"
        wrong = tagged.unread.get(place)
        if wrong is not None:
            yield _message(wrong.path, wrong.message, wrong.code)
            continue
        found = found_of([event], source=source, destinations=destinations, visitor=visitor)
        for ignored in found.ignored:
            yield _message(f"{path}.name", f"ignored: {REASONS[ignored.reason]}", ignored.reason)
        reading = native.judge(
            found,
            source=source,
            destinations=destinations,
            now=visitor.now,
            salt=b"",
            consent=judging(policy=source.consent, now=visitor.now),
        )
        for result in reading.results:
            for fault in result.faults:
                where = f"{path}.{fault.path}" if fault.path else path
                yield _message(where, fault.message, fault.code)
            if result.suppressed is not None:
                yield _message(path, f"it would not be sent: {result.suppressed}", "suppressed")


def _message(path: str, description: str, code: str) -> DebugMessage:
    return DebugMessage(field_path=path, description=description, validation_code=code)


_ENCODER: Final = msgspec.json.Encoder()
