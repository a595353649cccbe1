"""Data Tag format (`/data`): requests from Stape's Data Tag to event data. [seen DC, DT]

GET     ?v=2&event=NAME and either `dtdc` (base64 of JSON), `dtcd` (JSON), or the fields themselves
POST    ?v=2&event=NAME and a body: JSON of any content type (text/plain avoids a preflight), a
        list of events in JSON, or a form whose dotted keys (`items.0.item_id`) are paths

If a name is in both query and body, the body's value counts; for a consent signal, the strictest
value. Each event of a list is read separately.
"""

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault
from twite.formats.data_tag.event import client_id_in, event_of
from twite.formats.event_data.consent import merged, said_in
from twite.formats.event_data.conversions import Tagged
from twite.formats.event_data.dotted_keys import expanded
from twite.formats.event_data.values import first_text
from twite.formats.strict_json import (
    decode,
    each_by_itself,
    refuse_more,
    with_replacements,
    wrong_shape,
)

MAX_EVENTS: Final = 100
MAX_PARAMETERS: Final = 2_000
MAX_ASKED: Final = 500  # the most parameters of a query, as they apply to each event of a list

_DECODER: Final = msgspec.json.Decoder(object)
_EACH: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ALL_READ: Final[Mapping[int, Fault]] = MappingProxyType({})
_NO_COOKIES: Final[Mapping[str, str]] = MappingProxyType({})
_REPEATED: Final = (
    "x-ga-measurement_id", "client_id", "ga_session_id", "x-ga-page_id", "x-ga-request_count",
)  # fmt: skip
_ONE_ALPHABET: Final = str.maketrans("-_", "+/")


def read(
    query: str,
    body: bytes,
    *,
    form: bool,
    cookies: Mapping[str, str] = _NO_COOKIES,
    otherwise: str = "",
) -> Tagged:
    """Read one request. `form` says whether the body is form-encoded.

    `cookies` are the browser's cookies; `otherwise` is the client id for a browser without one.
    Raises MalformedRequest for a body that is neither a form nor JSON.
    """
    given, listed, unread = given_of(query, body, form=form)
    client = client_id_in(given, cookies)
    events = [
        {} if place in unread else event_of(fields, client=client)
        for place, fields in enumerate(given)
    ]
    # Computed before a generated id is added, because a retry without the cookie gets another id.
    repeated = [_repeated(event, place) for place, event in enumerate(events)]
    if otherwise and not client:
        events = [{**event, "client_id": otherwise} for event in events]
    return Tagged(
        events=tuple(events),
        repeated=tuple(repeated),
        listed=listed,
        client=client or otherwise,
        unread=unread,
    )


def given_of(
    query: str, body: bytes, *, form: bool
) -> tuple[list[dict[str, object]], bool, Mapping[int, Fault]]:
    """Return the fields of each event, and whether the events arrived as a list.

    For a list, also return the faults of unreadable events, by index.
    """
    if not body.strip():
        return [_asked(query)], False, _ALL_READ
    asked = _first(_pairs(query, most=MAX_ASKED))
    if form:
        pairs = _pairs(body.decode("utf-8", "replace"))
        return [merged(asked, expanded(pairs), said_in(pairs))], False, _ALL_READ
    body = with_replacements(body)
    if not body.lstrip().startswith(b"["):
        sent = decode(_DECODER, body)
        if not isinstance(sent, Mapping):
            raise wrong_shape("", "the body must be an event, or a list of events, in JSON")
        return [merged(asked, sent)], False, _ALL_READ
    given = decode(_EACH, body, frame=True)
    if not given:
        raise wrong_shape("", "the body must be an event, or a list of events, in JSON")
    refuse_more(len(given), MAX_EVENTS, "events", path="")

    def read_one(event: msgspec.Raw) -> dict[str, object]:
        return merged(asked, _table(decode(_DECODER, bytes(event)), ""))

    events, unread = each_by_itself(given, read_one, within="[{}]")
    return events, True, unread


def _asked(query: str) -> dict[str, object]:
    """Read an event from the query. JSON in the query overrides its other keys."""
    asked = _first(_pairs(query))
    packed, plain = asked.pop("dtdc", None), asked.pop("dtcd", None)
    if isinstance(packed, str):
        return merged(asked, _table(_unpacked(packed), "dtdc"))
    if isinstance(plain, str):
        return merged(asked, _table(decode(_DECODER, with_replacements(plain.encode())), "dtcd"))
    return asked


def _unpacked(text: str) -> object:
    """Decode base64 of either alphabet; a plus sign may have been changed to a space."""
    plain = text.strip().replace(" ", "+").translate(_ONE_ALPHABET).rstrip("=")
    try:
        packed = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise wrong_shape("dtdc", "dtdc is not base64") from None
    return decode(_DECODER, with_replacements(packed))


def _pairs(text: str, *, most: int = MAX_PARAMETERS) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=most)
    except ValueError:
        raise MalformedRequest(
            code="too_many", path="", message=f"at most {most} keys in one request"
        ) from None


def _first(pairs: list[tuple[str, str]]) -> dict[str, object]:
    """Return the first value of each key; for a consent signal, the strictest."""
    return {**dict(reversed(pairs)), **said_in(pairs)}


def _table(value: object, path: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise wrong_shape(path, "an event must be an object")
    return value


def _repeated(event: Mapping[str, object], place: int) -> str | None:
    """Return the fields that the tag repeats on a retry, if it adds GA4's own fields."""
    if first_text(event, ("x-ga-page_id",)) is None or not event.get("x-ga-request_count"):
        return None
    return "\0".join(("DT", *(first_text(event, (key,)) or "" for key in _REPEATED), str(place)))
