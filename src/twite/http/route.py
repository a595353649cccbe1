"""A route: path, methods, authentication, limits and handler. The table is in route_table.py."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope

from twite.domain.destination import X_SOURCE, Source
from twite.domain.incoming_request import IncomingRequest
from twite.domain.people.users import KeyScope
from twite.domain.submission import Endpoint
from twite.formats.data_tag.read import MAX_PARAMETERS
from twite.formats.page_visit import Visitor, cookies_of
from twite.gateway.ports.events import Observer, TurnedAway
from twite.http.addresses import comes_from
from twite.http.authorization import Requester
from twite.http.bodies import read_body, require_json
from twite.http.origins import PageVisit
from twite.http.responses import (
    CODES,
    FOR_GOOD,
    ClientGone,
    HttpRefusal,
    HttpResponse,
    answer_to,
    error,
)
from twite.http.services import HttpServices, HttpSettings
from twite.http.webhook_call import WebhookCall
from twite.redaction.mask_tree import masked_words

# The caller: a source, a visitor of a page, or a requester. None for a public route.
CallerT = TypeVar("CallerT")

_PARAMETER: Final = re.compile(r"\\\{(\w+)(:path)?\\\}")


# The maximum size of a body, in bytes. All routes have the same time limit: `body_seconds` of
# HttpLimits.
NO_BODY: Final = 0  # the body is not read
SMALL_BODY: Final = 64 * 1024
FULL_BODY: Final = 1 << 62  # only HttpLimits applies; its limit for pages is lower
SAMPLE_KEY: Final = MappingProxyType({"Authorization": "Bearer a-source-key"})
_LONGEST: Final = 64  # characters of a query parameter in an error
_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
# Stape's hosts and Google's preview use these headers to name the container, its domain and its
# key. A visitor who set them could choose where other tags send.
_OF_THE_CONTAINER: Final = "x-gtm-"


class HttpRequest(msgspec.Struct):
    """A request as routes see it.

    `parameters` come from the path; `body` is complete and decompressed.
    """

    scope: Scope
    receive: Receive
    services: HttpServices
    parameters: Mapping[str, str]
    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes = b""

    def remove_keys(self) -> None:
        """Remove source keys from the query and the headers, so that tags and clients see none."""
        self.scope = self.services.keys.removed(self.scope)
        self.headers = dict(self.scope["headers"])

    def query(self) -> dict[str, str]:
        """Return the first query parameter of each name; {} if there are too many parameters."""
        return dict(reversed(self.query_pairs()))

    def query_pairs(self) -> list[tuple[str, str]]:
        """Return the query parameters in their original order; [] if there are too many."""
        try:
            query: bytes = self.scope["query_string"]
            return parse_qsl(
                query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS
            )
        except ValueError:
            return []

    @property
    def query_string(self) -> str:
        query: bytes = self.scope["query_string"]
        return query.decode("latin-1")

    def text(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class RouteAuthentication(msgspec.Struct, Generic[CallerT], frozen=True, kw_only=True):
    """How a route recognizes its caller before the body is read.

    `check` returns the caller, or raises HttpRefusal with the status `refused`. `verify` raises
    HttpRefusal if a signature in the headers does not fit the decompressed body: with webhooks,
    only the body proves the caller. `sample` are the headers of an admitted request in the tests
    of all rows.
    """

    check: Callable[[HttpRequest], Awaitable[CallerT]]
    verify: Callable[[CallerT, Mapping[bytes, bytes], bytes], None] | None = None
    refused: int = 401
    sample: Mapping[str, str] = MappingProxyType({})


async def _anyone(_request: HttpRequest) -> None:
    """Accept every request without authentication."""


async def _source_key(request: HttpRequest) -> Source:
    """Return the source of `Authorization: Bearer <key>`. Raises HttpRefusal (401)."""
    return request.services.keys.require(request.headers)


anyone: Final = RouteAuthentication(check=_anyone)
source_key: Final = RouteAuthentication(check=_source_key, sample=SAMPLE_KEY)


def reads(scope: KeyScope) -> RouteAuthentication[Requester]:
    """Require a source key, or an API key with this scope. Raises HttpRefusal (401, 403)."""

    async def requester(request: HttpRequest) -> Requester:
        return await request.services.authorization.require(request.headers, scope)

    return RouteAuthentication(check=requester, sample=SAMPLE_KEY)


def in_our_shape(
    request: HttpRequest, _caller: object, fault: Exception, where: str
) -> HttpResponse:
    """Return the response to an exception in the common error format."""
    return answer_to(fault, where=where, observer=request.services.observer)


class Route(msgspec.Struct, Generic[CallerT], frozen=True, kw_only=True):
    """One row of the table.

    `path` has parameters in braces; `{name:path}` may hold slashes. `methods` is empty for all
    methods. `authenticate` recognizes the caller for `answer`. `label` names
    the route in metrics and the log; `endpoint` is the endpoint of its conversions, and has its own
    limit of concurrent requests. `refused` converts an exception to a response; its caller is None
    if the request was not authenticated. `preflight` answers OPTIONS. `operations` are the ids of
    the public methods in `openapi/openapi.yaml`. Client templates may claim a `claimable` path.
    `query_parameters` are those that a request may have; None for any, as in intake.
    """

    path: str
    methods: tuple[str, ...]
    label: str
    answer: Callable[[HttpRequest, CallerT], Awaitable[HttpResponse]]
    authenticate: RouteAuthentication[CallerT]
    body: int = NO_BODY
    takes_json: bool = False
    endpoint: Endpoint | None = None
    refused: Callable[[HttpRequest, CallerT | None, Exception, str], HttpResponse] = in_our_shape
    preflight: Callable[[HttpRequest], HttpResponse] | None = None
    operations: Mapping[str, str] = MappingProxyType({})
    claimable: bool = False
    query_parameters: tuple[str, ...] | None = None


class RouteFinder:
    """Finds the row for a path.

    Rows without parameters have priority; the others follow the table's order.
    """

    def __init__(self, routes: Iterable[Route[Any]]) -> None:
        routes = tuple(routes)
        self._literal = {route.path: route for route in routes if "{" not in route.path}
        self._prefixes = [
            (route.path.partition("{")[0], route) for route in routes if "{" in route.path
        ]

    def find(self, path: str) -> tuple[Route[Any] | None, Mapping[str, str]]:
        """Return the row (or None) and the path's parameters."""
        literal = self._literal.get(path)
        if literal is not None:
            return literal, _NO_PARAMETERS
        for prefix, route in self._prefixes:
            if path.startswith(prefix) and (match := _pattern(route.path).fullmatch(path)):
                return route, match.groupdict()
        return None, _NO_PARAMETERS


async def answered(route: Route[CallerT], request: HttpRequest) -> HttpResponse:
    """Handle a request by its route: authenticate, admit, read the body, respond.

    Raises ClientGone; every other outcome is a response.
    """
    caller: CallerT | None = None
    try:
        if request.method != "POST" or "POST" not in route.methods:
            _require_method(route, request.method)
            if request.method == "OPTIONS" and route.preflight is not None:
                return route.preflight(request)
        caller = await route.authenticate.check(request)
        if route.query_parameters is not None:
            _require_known_parameters(route.query_parameters, request)
        answer = await _admitted(route, request, caller)
    except ClientGone:
        raise
    except Exception as fault:  # noqa: BLE001 here the caller is still known
        answer = route.refused(request, caller, fault, route.label)
        if caller is not None and route.endpoint is not None:
            report_refusal(answer, caller, route.endpoint, request.services.observer)
    if type(caller) is not PageVisit:  # as above
        return answer
    # A page can read only responses that name its origin.
    return caller.answered(answer)


async def _admitted(route: Route[CallerT], request: HttpRequest, caller: CallerT) -> HttpResponse:
    """Read the body and answer, as soon as the gate admits the request."""
    services = request.services
    if route.takes_json:
        require_json(request.headers)
    is_page = type(caller) is PageVisit  # faster than isinstance
    has_body = route.body and request.method == "POST"
    limit = min(route.body, services.limits.page_body if is_page else services.limits.body)
    if route.endpoint is None:
        if has_body:
            request.body = await read_body(request.headers, request.receive, limit)
        _verify(route, request, caller, request.body)
        return await _answered(route, request, caller)
    is_signed = route.authenticate.verify is not None
    if is_signed:
        gate = services.signature_gate
        weight = gate.weigh(request.headers)
        gate.enter_first(weight)
    else:
        gate = services.page_gate if is_page else services.gate
        weight = gate.enter(request.headers)
    try:
        body = b""
        if has_body:
            reading = read_body(request.headers, request.receive, limit)
            body = await (gate.arrived(weight, reading) if is_signed else reading)
        _verify(route, request, caller, body)
        request.body = services.keys.without(body) if body else body
        return await _answered(route, request, caller)
    finally:
        gate.leave(weight)


def _verify(route: Route[CallerT], request: HttpRequest, caller: CallerT, body: bytes) -> None:
    if route.authenticate.verify is not None:
        route.authenticate.verify(caller, request.headers, body)


async def _answered(route: Route[CallerT], request: HttpRequest, caller: CallerT) -> HttpResponse:
    if not isinstance(caller, PageVisit):
        return await route.answer(request, caller)
    return await request.services.origins.metered(caller, partial(route.answer, request, caller))


def _require_method(route: Route[CallerT], method: str) -> None:
    if route.methods and method not in route.methods:
        allowed = ", ".join(route.methods)
        allow = (b"allow", allowed.encode())
        raise HttpRefusal(error(405, "method", f"this route accepts {allowed}", headers=(allow,)))


def _require_known_parameters(known: tuple[str, ...], request: HttpRequest) -> None:
    """Raise HttpRefusal (400) for a query parameter that the route does not have."""
    pairs = request.query_pairs()
    if not pairs and request.query_string.strip("&"):
        message = f"the query has more than {MAX_PARAMETERS} parameters"
        raise HttpRefusal(error(400, "parameter_unknown", message))
    unknown = next((name for name, _ in pairs if name not in known), None)
    if unknown is None:
        return
    near = get_close_matches(unknown[:_LONGEST], known, n=1, cutoff=0.6)
    meant = f'; did you mean "{near[0]}"?' if near else "."
    takes = f"This route takes: {', '.join(known)}" if known else "This route takes none"
    message = f"{CODES['parameter_unknown']}{meant} {takes}"
    name = masked_words(unknown[:_LONGEST])
    raise HttpRefusal(error(400, "parameter_unknown", message, path=name))


def report_refusal(
    response: HttpResponse, caller: object, endpoint: Endpoint, observer: Observer
) -> None:
    """Report a request that was refused as a whole, because nothing else of it is stored."""
    if response.status in FOR_GOOD:
        source = caller.source if isinstance(caller, PageVisit | WebhookCall) else caller
        name = source.name if isinstance(source, Source) else X_SOURCE
        observer.see(TurnedAway(source=name, endpoint=endpoint.value, code=response.code))


def visitor_of(request: HttpRequest, visit: PageVisit | None) -> Visitor:
    """Return the visitor of a page, or an empty one for a server's request."""
    now = request.services.clock.now()
    if visit is None:
        return Visitor(trusted=True, now=now)
    return Visitor(
        ip=visit.address,
        user_agent=request.text(b"user-agent"),
        referer=request.text(b"referer"),
        cookies=cookies_of(request.text(b"cookie") or ""),
        opted_out=request.headers.get(b"sec-gpc") == b"1",
        value_limit=visit.source.browser_value_limit,
        now=now,
    )


@cache
def _pattern(path: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{'.*' if match[2] else '[^/]+'})"

    return re.compile(_PARAMETER.sub(group, re.escape(path)), re.DOTALL)


def incoming_of(
    scope: Scope, body: bytes, settings: HttpSettings, *, address: str | None
) -> IncomingRequest:
    """Return the request as templates read it.

    `address` is the visitor's address, according to trusted proxies. `x-gtm-…` headers are omitted,
    except `container_headers` in requests from trusted proxies, which set or clear them. Other
    `x-gtm-…` headers may come from visitors.
    """
    named = settings.container_headers
    believed = named if named and comes_from(scope, settings.trusted_proxies) else ()
    headers = [
        (name, value.decode("latin-1"))
        for raw, value in scope["headers"]
        if not (name := raw.decode("latin-1")).startswith(_OF_THE_CONTAINER) or name in believed
    ]
    return IncomingRequest(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=tuple(headers),
        body=body.decode("utf-8", "replace") if body else None,
        remote_address=address or "",
    )
