"""`/v1/track`, `/v1/batch`, …: Segment's tracking API, for Segment's and RudderStack's SDKs.

The key is the user of `Authorization: Basic`, a Bearer token, `writeKey` in the query or in the
body. A request with an `Origin` is a page's, whichever key it has; other requests are a server's,
and need a source's secret key. SDKs accept 200 with any body; older ones accept no other status,
and need `code` and `message` in a refusal. [ran, seen SGN, RS]
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.types import Message, Receive

from twite.domain.destination import Source
from twite.domain.submission import Endpoint
from twite.formats.event_data.conversions import Tagged
from twite.formats.native.answers import ErrorBody
from twite.formats.page_visit import Visitor
from twite.formats.segment import read as segment
from twite.formats.segment.event import CallContext
from twite.http.authorization import NO_KEY, WRONG_KEY, basic_user, bearer
from twite.http.bodies import read_body
from twite.http.origins import PageVisit, allowing, page_origin
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest, RouteAuthentication, in_our_shape
from twite.http.routes import tags

# Request headers of the SDKs for which a browser asks in a preflight. [seen SGN, RS] New versions
# of the SDKs add others, so a page of a known origin may send those that it asks for. [ran]
_READS: Final = b"authorization,content-type,x-retry-count,anonymousid"
_ASKED: Final = re.compile(rb"[A-Za-z0-9, -]{1,512}")
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ErrorBody)
_KEY: Final = "writeKey"
CALLS: Final = segment.CALLS


class SegmentSuccess(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every success, as Segment sends it. [guess]"""

    success: bool = True


_SUCCESS: Final = HttpResponse(status=200, body=_ENCODER.encode(SegmentSuccess()))


class SegmentError(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a refusal. Segment's SDK for Python 2.3 fails if a field is missing. [ran]"""

    code: str
    message: str


async def _page_or_server(request: HttpRequest) -> Source | PageVisit:
    """Return the source of a server's key, or the visit of a page.

    Raises HttpRefusal (401, 403, 429).
    """
    key = _key_in_head(request)
    body = None
    if key is None and request.method == "POST":
        body = await _read_early(request)
        found = segment.write_key(body)
        key = found.encode("utf-8", "surrogatepass") if found else None
    caller = _caller(request, key)
    if body is not None:
        request.receive = _received(body)
        request.headers.pop(b"content-encoding", None)
        request.headers[b"content-length"] = b"%d" % len(body)
    return caller


page_or_server: Final = RouteAuthentication(
    check=_page_or_server, sample={"Authorization": "Bearer a-source-key"}
)


async def _key_in_path(request: HttpRequest) -> Source | PageVisit:
    """Return the source of the key in the path, or a visit of its pages.

    Raises HttpRefusal (401, 403, 429).
    """
    return _caller(request, request.parameters["source_key"].encode())


key_in_path: Final = RouteAuthentication(check=_key_in_path)


def _caller(request: HttpRequest, key: bytes | None) -> Source | PageVisit:
    services, is_page = request.services, b"origin" in request.headers
    query = request.query()
    request.remove_keys()
    source = public = None
    if key is not None:
        source, public = services.keys.find(key), services.keys.with_write_key(key)
        if source is None and public is None:
            raise HttpRefusal(WRONG_KEY)
    elif not is_page:
        raise HttpRefusal(NO_KEY)
    if source is not None and not is_page:
        return source
    named = source or public
    if named is not None and not named.origins:
        raise HttpRefusal(_no_origins(named))
    visit = services.origins.visit(request.scope, query.get("s") if named is None else named.name)
    return msgspec.structs.replace(visit, has_secret_key=source is not None)


def _no_origins(source: Source) -> HttpResponse:
    return error(
        403,
        "origin_wrong",
        f"source {source.name} accepts no requests from pages: add the page's origin to its "
        "origins, and give the page its write_key",
    )


def _key_in_head(request: HttpRequest) -> bytes | None:
    named = request.query().get(_KEY)
    if named:
        return named.encode("utf-8", "surrogateescape")
    return basic_user(request.headers) or bearer(request.headers)


async def _read_early(request: HttpRequest) -> bytes:
    """Read the body of a request without a key in its head.

    Anyone can send it, so it is limited together with other requests without a key.
    """
    services = request.services
    is_page = b"origin" in request.headers
    limit = services.limits.page_body if is_page else services.limits.body
    declared = request.headers.get(b"content-length")
    is_open = declared is None or b"content-encoding" in request.headers
    weight = limit if is_open else min(int(declared or 0), limit)
    gate = services.page_gate if is_page else services.signature_gate
    gate.enter_first(weight)
    try:
        return await gate.arrived(weight, read_body(request.headers, request.receive, limit))
    finally:
        gate.leave(weight)


def _received(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def preflight(request: HttpRequest) -> HttpResponse:
    """Answer a browser's CORS preflight. Raises HttpRefusal (403)."""
    asked = request.headers.get(b"access-control-request-headers", b"")
    return request.services.origins.preflight(
        request.headers,
        request.query().get("s"),
        reads=asked if _ASKED.fullmatch(asked) else _READS,
    )


def taking(call: str) -> Callable[[HttpRequest, Source | PageVisit], Awaitable[HttpResponse]]:
    """Return a handler for a call of the API; `call` is one of `segment.CALLS`."""

    def read(request: HttpRequest, visitor: Visitor, source: Source) -> Tagged:
        call_context = CallContext(
            named=source.consent.segment_categories,
            now=visitor.now,
            from_page=not visitor.trusted,
        )
        return segment.read(request.body, call=call, call_context=call_context).tagged

    return tags.taking(
        tags.TagFormat(
            endpoint=Endpoint.SEGMENT, read=read, reply=lambda *_: _SUCCESS, refuses=False
        )
    )


async def discard(_request: HttpRequest, _caller: Source | PageVisit) -> HttpResponse:
    """Accept metrics of analytics.js about itself, which nobody needs."""
    return _SUCCESS


async def project(request: HttpRequest, _caller: Source | PageVisit) -> HttpResponse:
    """Answer with the settings that analytics.js loads first: its only destination is Twite."""
    scheme, _, host = _base(request).partition("://")
    prefix, _, _ = request.path.partition("/projects/")
    destination = {
        "apiKey": request.parameters["source_key"],
        "apiHost": f"{host}{prefix}",
        "protocol": scheme,
    }
    settings = {
        "integrations": {"Segment.io": destination},
        "metrics": {"sampleRate": 0},
    }
    return HttpResponse(status=200, body=_ENCODER.encode(settings))


async def source_config(_request: HttpRequest, caller: Source | PageVisit) -> HttpResponse:
    """Answer with the settings that RudderStack's SDK for browsers loads first."""
    source = caller.source if isinstance(caller, PageVisit) else caller
    config = {
        "source": {
            "id": source.name, "name": source.name, "config": {}, "enabled": True,
            "workspaceId": "twite", "destinations": [],
        }
    }  # fmt: skip
    return HttpResponse(status=200, body=_ENCODER.encode(config))


def _base(request: HttpRequest) -> str:
    services = request.services
    if services.settings.public_url is not None:
        return services.settings.public_url.rstrip("/")
    host = request.headers.get(b"host", b"").decode("latin-1")
    return f"{request.scope['scheme']}://{host}"


def refused(
    request: HttpRequest, caller: Source | PageVisit | None, fault: Exception, where: str
) -> HttpResponse:
    """Return the response to an exception in the form that the SDKs read.

    Any page may read it: analytics.js repeats a request whose response it cannot read.
    """
    answer = in_our_shape(request, caller, fault, where)
    first = _DECODER.decode(answer.body).errors[0]
    body = _ENCODER.encode(SegmentError(code=first.code, message=first.message))
    origin = page_origin(request.headers)
    cors = allowing(origin) if caller is None and origin else ()
    return msgspec.structs.replace(answer, body=body, headers=(*answer.headers, *cors))
