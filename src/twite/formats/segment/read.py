"""Segment format (`/v1/track`, `/v1/batch`, …): the calls of SDKs to event data. [doc SG, ran]

track   {"event": "Order Completed", "properties": {…}, "context": {…}, "userId": …, "messageId": …}
batch   {"batch": [{"type": "track", …}, …], "sentAt": …, "context": {…}, "integrations": {…}}

The batch's `context` and `integrations` apply to each of its calls. The body may contain the
`writeKey`. Calls other than track are events with the name of their type; an `identify` also
describes a person.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.secret import Masked
from twite.formats.event_data.conversions import Tagged
from twite.formats.event_data.values import MAX_ITEMS_IN_ALL, items_of, text_of
from twite.formats.parsed_request import Event
from twite.formats.segment.event import (
    CallContext,
    event_of,
    identified,
    table_in,
    without_items,
)
from twite.formats.segment.persons import IdentifiedPerson, PersonIndex
from twite.formats.strict_json import (
    as_fault,
    decode,
    joined,
    refuse_more,
    with_replacements,
    wrong_shape,
)

if TYPE_CHECKING:
    from twite.domain.fault import Fault

T = TypeVar("T")

MAX_CALLS: Final = 2_500  # Segment's limit for a batch [doc SG]
MAX_CALL: Final = 32 * 1024  # bytes: Segment's limit for a call [doc SG]
BATCH: Final = "batch"
# The calls, with the event_call-letter routes of analytics.js. [seen SGN]
CALLS: Final = {
    "track": "t", "identify": "i", "page": "p", "screen": "s", "group": "g", "alias": "a",
    BATCH: "b",
}  # fmt: skip
# Up to this length, a decimal number keeps all its digits as a float.
_EXACT: Final = 16
# A string as a whole, so that no match begins inside it; or a constant that is not JSON.
_NO_NUMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?(?:NaN|Infinity))', re.DOTALL)
# What Python's SDKs send and is not JSON, and JSON in its place. A key with such a part is not
# found.
_RIGHT: Final = (
    (b"NaN", b"1.0"), (b"Infinity", b"1.000000"), (b"\\ud", b"\\u0"), (b"\\uD", b"\\u0"),
)  # fmt: skip
_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_FRAME: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EACH: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NO_CALLS: Final = msgspec.Raw(b"null")


def _number(text: str) -> float | str:
    """Return a decimal number; as text if a float would change its digits."""
    return float(text) if len(text) <= _EXACT else text


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    writeKey: str | None = None  # noqa: N815  as in the body


_KEY: Final = msgspec.json.Decoder(_Body)
_DECODER: Final = msgspec.json.Decoder(object, float_hook=_number)


class SegmentRequest(Masked, frozen=True, kw_only=True):
    """The calls of a request as event data, and the persons that its `identify` calls describe."""

    tagged: Tagged
    identified: tuple[IdentifiedPerson, ...] = ()


def write_key(body: bytes) -> str | None:
    """Return the key in a body; None if it has none, or is not JSON.

    Anyone can send the body, so this must be fast also if other values are not JSON.
    """
    with suppress(*_NOT_JSON):
        return _KEY.decode(body).writeKey
    given = body
    for wrong, right in _RIGHT:
        body = body.replace(wrong, right)
    with suppress(*_NOT_JSON):
        key = _KEY.decode(body).writeKey
        if key is not None and key.encode() in given:
            return key
    return None


def read(body: bytes, *, call: str, call_context: CallContext) -> SegmentRequest:
    """Read a request. `call` is one of CALLS.

    Raises MalformedRequest if the body is not JSON or has no calls. A call that cannot be read does
    not affect the others.
    """
    body = _readable(body)
    frame = decode(_FRAME, body, frame=True)
    given = [msgspec.Raw(body)]
    if call == BATCH:
        given = decode(_EACH, bytes(frame.get("batch", _NO_CALLS)), frame=True)
        refuse_more(len(given), MAX_CALLS, "calls", path="batch")
        call_context = msgspec.structs.replace(
            call_context,
            context=_shared(frame, "context") or {},
            integrations=_shared(frame, "integrations"),
            sent_at=text_of(_value(frame, "sentAt")),
        )
    events: list[Event] = [{} for _ in given]
    unread: dict[int, Fault] = {}

    def each(values: Sequence[T], read_part: Callable[[T], Event]) -> None:
        for place, value in enumerate(values):
            if place not in unread:
                try:
                    events[place] = read_part(value)
                except MalformedRequest as wrong:
                    path = f"batch[{place}]" if call == BATCH else ""
                    unread[place] = as_fault(wrong, joined(path, wrong.path))
                    events[place] = {}

    each(given, _call)
    persons = tuple(_persons(events, call, call_context))
    index = PersonIndex(persons)
    each(
        events,
        lambda given: event_of(
            given,
            _name(given, call),
            call_context,
            index,
            is_identify=_kind(given, call) == "identify",
        ),
    )
    return SegmentRequest(
        tagged=Tagged(
            events=_with_fewer_items(events), repeated=(None,) * len(events), unread=unread
        ),
        identified=persons,
    )


def _readable(body: bytes) -> bytes:
    """Return JSON with texts in place of NaN and Infinity, which Python's SDKs send. [ran]

    So such a value costs only its own call.
    """
    body = with_replacements(body)
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _NO_NUMBER.sub(lambda found: b'"%b"' % found[1] if found[1] else found[0], body)


def _persons(
    calls: Iterable[Event], call: str, call_context: CallContext
) -> Iterator[IdentifiedPerson]:
    for given in calls:
        if _kind(given, call) == "identify":
            person = identified(given, call_context)
            if person is not None:
                yield person


def _with_fewer_items(events: Iterable[Event]) -> tuple[Event, ...]:
    """Leave out the items of further events, if the request has too many items."""
    kept: list[Event] = []
    items = 0
    for event in events:
        items += len(items_of(event))
        kept.append(event if items <= MAX_ITEMS_IN_ALL else without_items(event))
    return tuple(kept)


def _shared(frame: dict[str, msgspec.Raw], name: str) -> Event | None:
    """Return an object of the batch. Raises MalformedRequest."""
    value = _value(frame, name)
    return None if value is None else table_in({name: value}, name)


def _value(frame: dict[str, msgspec.Raw], name: str) -> object:
    raw = frame.get(name)
    return None if raw is None else decode(_DECODER, bytes(raw))


def _call(raw: msgspec.Raw) -> Event:
    if len(raw) > MAX_CALL:
        raise MalformedRequest(
            code="text_too_long", path="", message=f"a call may have at most {MAX_CALL:,} bytes"
        )
    given = decode(_DECODER, bytes(raw))
    if not isinstance(given, dict):
        raise wrong_shape("", "a call must be an object")
    return given


def _kind(given: Event, call: str) -> str:
    return (text_of(given.get("type")) or "track") if call == BATCH else call


def _name(given: Event, call: str) -> str:
    kind = _kind(given, call)
    return text_of(given.get("event")) or "" if kind == "track" else kind
