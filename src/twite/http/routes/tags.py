"""`/g/collect`, `/mp/collect`, `/data`: GA4 hits, the Measurement Protocol and the Data Tag.

Pages are identified by their origin, servers by a source key: as `api_secret` in the query, like
the secret of Google's Measurement Protocol, or as `Authorization: Bearer`. `/debug/mp/collect`
stores nothing; its response has the format of Google's endpoint. [doc]
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final
from uuid import UUID

import msgspec

from twite.consent.verdict import judging
from twite.domain.destination import Destination, Source
from twite.domain.errors import MalformedRequest
from twite.domain.submission import Endpoint, Ignored
from twite.domain.times import SECOND
from twite.formats.data_tag import read as data_tag
from twite.formats.data_tag.event import new_client_id
from twite.formats.event_data.consent import signals_of
from twite.formats.event_data.conversions import (
    KEY_IN_PAGE,
    REASONS,
    Tagged,
    click_of,
    parse_events,
)
from twite.formats.event_data.values import first_text
from twite.formats.ga4 import client_cookie as fpid
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.native import read as native
from twite.formats.native.answers import ErrorBody, ErrorDetail
from twite.formats.page_visit import Visitor
from twite.formats.parsed_request import Event
from twite.gateway.ingest.receipts import AcceptReceipt
from twite.gateway.ports.tags import BrowserWait, EventOrigin
from twite.http.authorization import WRONG_KEY, bearer
from twite.http.cookies import BrowserCookies, Headers, called
from twite.http.origins import PageVisit
from twite.http.responses import JSON, HttpRefusal, HttpResponse
from twite.http.route import HttpRequest, RouteAuthentication, incoming_of, visitor_of
from twite.http.routes.beacon import GIF

# The query parameter of a script that expects a stream of messages.
STREAMS: Final = "richsstsse"
# Request headers for which Stape's tag needs a preflight. [seen DC]
_READS: Final = (
    b"content-type,set-cookie,x-robots-tag,x-gtm-server-preview,x-stape-preview,x-stape-app-version"
)
_FORM: Final = re.compile(rb"\s*application/x-www-form-urlencoded\b", re.IGNORECASE)
_ENCODER: Final = msgspec.json.Encoder()
# Counted for each request of a page with the source's secret key; twite check warns about it.
_KEY_IN_PAGE: Final = Ignored(name="source key", reason=KEY_IN_PAGE)
_NEVER_KEPT: Final = (b"cache-control", b"no-store")
_EMPTY: Final = HttpResponse(
    status=200, body=b"", headers=((b"content-type", b"text/plain"), _NEVER_KEPT)
)
_NO_CONTENT: Final = HttpResponse(status=204, body=b"", headers=(_NEVER_KEPT,))
_IMAGE: Final = HttpResponse(
    status=200, body=GIF, headers=((b"content-type", b"image/gif"), _NEVER_KEPT)
)


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """The response for one event of Stape's Data Tag. `timestamp` is in seconds. [seen DC]"""

    timestamp: int
    unique_event_id: str


class TagFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A tag format: functions that read a request and build the response.

    `reply` also receives the time. `keeps_client` is whether the client id is stored in a cookie,
    `refuses` whether the response to a request is 422 if nothing of it was accepted.
    """

    endpoint: Endpoint
    read: Callable[[HttpRequest, Visitor, Source], Tagged]
    reply: Callable[[HttpRequest, AcceptReceipt, Tagged, int], HttpResponse]
    keeps_client: bool = False
    refuses: bool = True


async def _page_or_key(request: HttpRequest) -> Source | PageVisit:
    """Return the source whose key the request carries, or the visit, if the page may post.

    Raises HttpRefusal (401, 403, 429).
    """
    services, query = request.services, request.query()
    secret = query.get("api_secret")
    key = bearer(request.headers) if secret is None else secret.encode("utf-8", "surrogateescape")
    request.remove_keys()
    if key is None:
        return services.origins.visit(request.scope, _named(request, query))
    source = services.keys.find(key)
    if source is None:
        raise HttpRefusal(WRONG_KEY)
    return source


page_or_key: Final = RouteAuthentication(
    check=_page_or_key, refused=403, sample={"Origin": "https://shop.example"}
)


def preflight(request: HttpRequest) -> HttpResponse:
    """Answer a browser's CORS preflight. Raises HttpRefusal (403)."""
    named = _named(request, request.query())
    return request.services.origins.preflight(request.headers, named, reads=_READS)


def taking(
    tag_format: TagFormat,
) -> Callable[[HttpRequest, Source | PageVisit], Awaitable[HttpResponse]]:
    """Return a handler for events of a format."""

    async def answer(request: HttpRequest, caller: Source | PageVisit) -> HttpResponse:
        source, visit = _whose(caller)
        visitor = visitor_of(request, visit)
        tagged = tag_format.read(request, visitor, source)
        tagged, fpid_cookies = _with_fpid(request, visit, tag_format, tagged, visitor)
        found = parse_events(
            tagged.events,
            source=source,
            destinations=request.services.destinations,
            visitor=visitor,
            repeated=tagged.repeated,
            unread=tagged.unread,
        )
        if visit is not None and visit.has_secret_key:
            found = msgspec.structs.replace(found, ignored=(*found.ignored, _KEY_IN_PAGE))
        seen = incoming_of(
            request.scope,
            request.body,
            request.services.settings,
            address=visit.address if visit else None,
        )
        receipt = await request.services.accept.parsed(
            found,
            source=source,
            endpoint=tag_format.endpoint,
            origin=EventOrigin(
                request=seen,
                waits=None
                if visit is None
                else BrowserWait(pixels=_reads_stream(request, tag_format)),
                from_page=visit is not None,
            ),
        )
        taken = receipt.accepted or receipt.duplicates or receipt.suppressed or receipt.held
        if tag_format.refuses and receipt.rejected and not taken:
            answer = _refused(receipt)
        else:
            answer = tag_format.reply(request, receipt, tagged, visitor.now)
        if visit is None:
            return answer
        browser = _browser_cookies(request, visit, tagged, visitor)
        answer = request.services.with_additions(answer, receipt.responses, browser)
        cookies = browser.of_click(click_of(tagged.events, visitor))
        if tag_format.keeps_client:
            cookies += browser.of_client(tagged.client)
        return msgspec.structs.replace(answer, headers=(*answer.headers, *cookies, *fpid_cookies))

    return answer


async def debug(request: HttpRequest, caller: Source | PageVisit) -> HttpResponse:
    """Report what would happen to the events, and store nothing."""
    source, visit = _whose(caller)
    return judged(
        request.body,
        query=request.query_string,
        source=source,
        destinations=request.services.destinations,
        visitor=visitor_of(request, visit),
    )


def _whose(caller: Source | PageVisit) -> tuple[Source, PageVisit | None]:
    return (caller.source, caller) if isinstance(caller, PageVisit) else (caller, None)


def _named(request: HttpRequest, query: Mapping[str, str]) -> str | None:
    """Return the query's `s` if it names a source: GA4 uses this parameter for other data."""
    name = query.get("s")
    return name if name and request.services.origins.named(name) else None


def _read_measurement_protocol(request: HttpRequest, _visitor: Visitor, _source: Source) -> Tagged:
    measurement = request.query().get("measurement_id", "")
    return measurement_protocol.read(
        request.body, query=request.query_string, measurement=measurement
    )


def _read_data_tag(request: HttpRequest, visitor: Visitor, _source: Source) -> Tagged:
    # The client id that Twite creates for a browser without one of Stape's Data Tag.
    made = new_client_id(now=visitor.now, digits=_nine_digits())
    return data_tag.read(
        request.query_string,
        request.body,
        form=_FORM.match(request.headers.get(b"content-type", b"")) is not None,
        cookies=visitor.cookies,
        otherwise="" if visitor.trusted else made,
    )


def _reply_to_data_tag(
    request: HttpRequest, receipt: AcceptReceipt, tagged: Tagged, now: int
) -> HttpResponse:
    if request.method == "GET":
        return _IMAGE
    names = [_name_of(event, place, receipt, now) for place, event in enumerate(tagged.events)]
    body = _ENCODER.encode(names if tagged.listed else names[0])
    return HttpResponse(status=200, body=body, headers=(JSON, _NEVER_KEPT))


def _reads_stream(request: HttpRequest, tag_format: TagFormat) -> bool:
    """Return whether the script expects a stream. Stape's Data Tag expects one only for POST."""
    reads = tag_format.endpoint is Endpoint.GA4 or request.method == "POST"
    return reads and STREAMS in request.query()


def _browser_cookies(
    request: HttpRequest, visit: PageVisit, tagged: Tagged, visitor: Visitor
) -> BrowserCookies:
    return BrowserCookies(
        signal_sets=[signals_of(event, opted_out=visitor.opted_out) for event in tagged.events],
        visit=visit,
        hosts=(called(request.headers), request.services.public_host),
        cookies=visitor.cookies,
        now=visitor.now,
    )


def _with_fpid(
    request: HttpRequest,
    visit: PageVisit | None,
    tag_format: TagFormat,
    tagged: Tagged,
    visitor: Visitor,
) -> tuple[Tagged, Headers]:
    """Return the hits with the client id of the cookie FPID, and the headers that store it."""
    if (
        visit is None
        or visit.source.cookie.fpid == "off"
        or tag_format.endpoint is not Endpoint.GA4
    ):
        return tagged, ()
    client, cookies = _browser_cookies(request, visit, tagged, visitor).of_ga4_client(
        fpid.sent_client_id(tagged), key=request.services.accept.salt
    )
    return (tagged if client is None else fpid.with_client_id(tagged, client)), cookies


def _nine_digits() -> int:
    return 100_000_000 + secrets.randbelow(900_000_000)


def _refused(receipt: AcceptReceipt) -> HttpResponse:
    errors = tuple(
        ErrorDetail(path=fault.path, code=fault.code, message=fault.message)
        for refusal in receipt.rejected
        for fault in refusal.errors
    )
    return HttpResponse(status=422, body=_ENCODER.encode(ErrorBody(errors=errors)))


def _name_of(event: Event, place: int, receipt: AcceptReceipt, now: int) -> Named:
    """Return the event's id, or a generated id in Stape's form: milliseconds and nine digits."""
    own = first_text(event, ("unique_event_id",))
    digits = (UUID(receipt.receipt).int + place) % 1_000_000_000
    return Named(timestamp=now // SECOND, unique_event_id=own or f"{now}_{digits:09d}")


GA4: Final = TagFormat(
    endpoint=Endpoint.GA4,
    read=lambda request, *_: ga4.read(request.query_string, request.body),
    reply=lambda *_: _EMPTY,
)
MEASUREMENT_PROTOCOL: Final = TagFormat(
    endpoint=Endpoint.MEASUREMENT_PROTOCOL,
    read=_read_measurement_protocol,
    reply=lambda *_: _NO_CONTENT,
)
DATA_TAG: Final = TagFormat(
    endpoint=Endpoint.DATA_TAG, read=_read_data_tag, reply=_reply_to_data_tag, keeps_client=True
)


class DebugMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A finding about one place in the request. `validation_code` is one of Twite's fault codes."""

    field_path: str
    description: str
    validation_code: str


class DebugMessages(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The findings; empty if every event would be accepted."""

    validation_messages: tuple[DebugMessage, ...]


def judged(
    body: bytes,
    *,
    query: str,
    source: Source,
    destinations: Mapping[str, Destination],
    visitor: Visitor,
) -> HttpResponse:
    """Report the errors of a request, and the events that would be ignored or not sent."""
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
        found = parse_events([event], source=source, destinations=destinations, visitor=visitor)
        for ignored in found.ignored:
            yield _message(f"{path}.name", f"ignored: {REASONS[ignored.reason]}", ignored.reason)
        reading = native.read_parsed(
            found,
            source=source,
            destinations=destinations,
            now=visitor.now,
            salt=b"",
            judge=judging(policy=source.consent, now=visitor.now),
        )
        for result in reading.results:
            for fault in result.faults:
                where = f"{path}.{fault.path}" if fault.path else path
                yield _message(where, fault.message, fault.code)
            if result.suppressed is not None:
                yield _message(
                    path, f"the event would not be sent: {result.suppressed}", "suppressed"
                )


def _message(path: str, description: str, code: str) -> DebugMessage:
    return DebugMessage(field_path=path, description=description, validation_code=code)
