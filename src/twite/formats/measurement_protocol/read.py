"""Measurement Protocol format (`POST /mp/collect`): Google's JSON to event data.

Each event is read separately. Google does not document how it flattens a request [unknown]; here,
the parameters of an event override those of the request. For a consent signal, the strictest value
in the URL, the request, the event and its parameters counts.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from twite.domain.fault import Fault
from twite.formats.event_data.consent import is_signal, merged, said_in
from twite.formats.event_data.conversions import Tagged
from twite.formats.event_data.values import first_text
from twite.formats.strict_json import (
    decode,
    each_by_itself,
    refuse_more,
    with_replacements,
    wrong_shape,
)

MAX_EVENTS: Final = 100  # Google's limit is 25 [doc]

_SHARED: Final = (
    "client_id", "user_id", "timestamp_micros", "user_data", "ip_override", "user_agent",
    "user_location", "device", "validation_behavior",
)  # fmt: skip
_FRAME: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_DECODER: Final = msgspec.json.Decoder(object)
_NOTHING: Final = msgspec.Raw(b"null")


def read(body: bytes, *, measurement: str, query: str = "") -> Tagged:
    """Read one request.

    `measurement` is the request's measurement id, which identifies the data stream. In the URL's
    `query`, only consent signals are read. Raises MalformedRequest if it is not JSON, or not of
    this shape.
    """
    events, unread = events_of(body, query=query)
    return Tagged(
        events=tuple(events),
        repeated=tuple(
            [_repeated(event, place, measurement) for place, event in enumerate(events)]
        ),
        unread=unread,
    )


def events_of(
    body: bytes, *, query: str = ""
) -> tuple[list[dict[str, object]], Mapping[int, Fault]]:
    """Return each event as event data, and the errors by index. Raises MalformedRequest."""
    frame = decode(_FRAME, with_replacements(body), frame=True)
    given = _each(frame.pop("events", _NOTHING))
    if not given:
        raise wrong_shape("events", "events must be a list of events")
    refuse_more(len(given), MAX_EVENTS, "events", path="events")
    request = {key: decode(_DECODER, bytes(raw)) for key, raw in frame.items()}
    shared = {
        key: value
        for key, value in request.items()
        if value is not None and (key in _SHARED or is_signal(key))
    }
    shared = merged(said_in(parse_qsl(query, keep_blank_values=True, errors="replace")), shared)
    people = _properties(request.get("user_properties"))
    if people:
        shared["x-ga-mp2-user_properties"] = people

    def read_one(event: msgspec.Raw) -> dict[str, object]:
        return _event(decode(_DECODER, bytes(event)), shared)

    return each_by_itself(given, read_one, within="events[{}]")


def _each(events: msgspec.Raw) -> list[msgspec.Raw]:
    plain = bytes(events)
    return decode(_LIST, plain, frame=True) if plain.lstrip().startswith(b"[") else []


def _event(given: object, shared: Mapping[str, object]) -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise wrong_shape("", "an event must be an object with a name")
    name, params = given.get("name"), given.get("params")
    if not isinstance(name, str):
        raise wrong_shape("name", "an event must have a name (text)")
    if not isinstance(params, Mapping | None):
        raise wrong_shape("params", "the parameters of an event must be an object")
    event = merged(shared, said_in(given.items()), params or {})
    event["event_name"] = name
    if given.get("timestamp_micros") is not None:
        event["timestamp_micros"] = given["timestamp_micros"]
    return event


def _properties(given: object) -> dict[str, object]:
    """Unwrap the values of `{"plan": {"value": "gold"}}`."""
    if not isinstance(given, Mapping):
        return {}
    return {
        str(name): held.get("value") if isinstance(held, Mapping) else held
        for name, held in given.items()
    }


def _repeated(event: Mapping[str, object], place: int, measurement: str) -> str | None:
    """Return the fields that a program repeats on a retry: the user and the microseconds."""
    whose = first_text(event, ("client_id", "user_id"))
    stamp = first_text(event, ("timestamp_micros",))
    if whose is None or stamp is None:
        return None
    return "\0".join(("MP", measurement, whose, stamp, str(place)))
