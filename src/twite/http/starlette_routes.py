"""The other routes, through Starlette: history, balance, control channel, health, metrics."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from twite.domain.history import ConversionCounts
from twite.domain.people import users as people
from twite.domain.secret import Secret
from twite.gateway.ports.queries import Records
from twite.http.addresses import Front
from twite.http.authorization import Authorization
from twite.http.openapi import document as openapi
from twite.http.responses import CODES, HttpRefusal, HttpResponse, error
from twite.http.routes.consent import ConsentRoute
from twite.http.routes.control import ControlRoute
from twite.http.routes.conversions import ConversionRoutes
from twite.http.routes.dedup_report import DedupReportRoute
from twite.http.routes.rejections import RejectionsRoute
from twite.http.source_keys import SourceKeys, bearer

PROMETHEUS: Final = (b"content-type", b"text/plain; version=1.0.0; charset=utf-8")

ROUTES: Final = (
    "/v1/conversions",
    "/v1/accounting",
    "/v1/consent",
    "/v1/overlap",
    "/v1/rejections",
    "/v1/openapi.json",
    "/-/desk",
    "/healthz",
    "/readyz",
    "/metrics",
)

Answering = Callable[[Request], Awaitable[HttpResponse]]


class StarletteRoutes:
    """An ASGI application. `answer_to` maps an exception to a response, given the path."""

    def __init__(
        self,
        *,
        records: Records,
        lives: ConversionRoutes,
        overlap: DedupReportRoute,
        rejections: RejectionsRoute,
        choices: ConsentRoute,
        desk: ControlRoute,
        keys: SourceKeys,
        askers: Authorization,
        ready: Callable[[], str | None],
        metrics: Callable[[Iterable[ConversionCounts]], bytes],
        metrics_key: Secret | None,
        front: Front,
        answer_to: Callable[[str, Exception], HttpResponse],
    ) -> None:
        self._records = records
        self._lives = lives
        self._overlap = overlap
        self._rejections = rejections
        self._choices = choices
        self._desk = desk
        self._keys = keys
        self._askers = askers
        self._ready = ready
        self._metrics = metrics
        self._metrics_key = metrics_key
        self._front = front
        self._answer_to = answer_to
        route = self._route
        self._starlette = Starlette(
            routes=[
                route("POST", "/v1/conversions", _elsewhere),
                route("POST", "/v1/sgtm", _elsewhere),
                route("GET", "/v1/conversions/{pixel}/{conversion_id:path}", self._life),
                route("GET", "/v1/accounting", self._accounting),
                route("POST", "/v1/consent", self._choice),
                route("GET", "/v1/overlap", self._overlapping),
                route("GET", "/v1/rejections", self._rejected),
                route("GET", "/v1/openapi.json", _openapi),
                route("POST", "/-/desk", self._at_the_desk),
                route("GET", "/healthz", _healthz),
                route("GET", "/readyz", self._readyz),
                route("GET", "/metrics", self._render_metrics),
            ],
            exception_handlers={404: _no_route, 405: _no_method},
        )
        self._starlette.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._starlette(scope, receive, send)

    def knows(self, scope: Scope) -> bool:
        """Return whether there is a route of this path, by whatever method."""
        return any(
            route.matches(scope)[0] is not Match.NONE for route in self._starlette.router.routes
        )

    def _route(self, method: str, path: str, answering: Answering) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                answer = await answering(request)
            except Exception as fault:  # noqa: BLE001 - or Starlette would answer it in its own way
                answer = self._answer_to(request.url.path, fault)
            return _response(answer)

        return Route(path, endpoint, methods=[method])

    async def _life(self, request: Request) -> HttpResponse:
        return await self._lives.life(
            await self._askers.require(_headers(request), people.KeyScope.LIVES),
            pixel=request.path_params["pixel"],
            conversion_id=request.path_params["conversion_id"],
            event=request.query_params.get("event"),
        )

    async def _accounting(self, request: Request) -> HttpResponse:
        asker = await self._askers.require(_headers(request), people.KeyScope.ACCOUNTING)
        return await self._lives.balance(asker)

    async def _choice(self, request: Request) -> HttpResponse:
        headers = _headers(request)
        return await self._choices.answer(self._keys.require(headers), headers, request.receive)

    async def _overlapping(self, request: Request) -> HttpResponse:
        asker = await self._askers.require(_headers(request), people.KeyScope.OVERLAP)
        return await self._overlap.answer(asker, request.query_params.get("days"))

    async def _rejected(self, request: Request) -> HttpResponse:
        asker = await self._askers.require(_headers(request), people.KeyScope.LIVES)
        return await self._rejections.answer(asker, request.query_params)

    async def _at_the_desk(self, request: Request) -> HttpResponse:
        headers = _headers(request)
        if not self._desk.opens_to(headers):
            raise HttpRefusal(_NO_ROUTE)
        return await self._desk.answer(headers, request.receive)

    async def _readyz(self, _request: Request) -> HttpResponse:
        why_not = self._ready()
        if why_not is None:
            return _OK
        return error(
            503, "not_ready", f"{CODES['not_ready']}: {why_not}", headers=((b"retry-after", b"1"),)
        )

    async def _render_metrics(self, request: Request) -> HttpResponse:
        if not (self._front.is_machine(request.scope) or await self._has_metrics_key(request)):
            # Not with a source key: the metrics cover every source.
            raise HttpRefusal(_METRICS_CLOSED)
        page = self._metrics(await self._records.accounts())
        return HttpResponse(status=200, body=page, headers=(PROMETHEUS,))

    async def _has_metrics_key(self, request: Request) -> bool:
        headers = _headers(request)
        offered = bearer(headers)
        if offered is None:
            return False
        configured = self._metrics_key
        if configured is not None and configured.matches(offered.decode("latin-1")):
            return True
        return await self._askers.may_see_metrics(headers)


def _response(answer: HttpResponse) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers.extend(answer.headers)
    return response


def _headers(request: Request) -> dict[bytes, bytes]:
    return dict(request.scope["headers"])


async def _elsewhere(_request: Request) -> HttpResponse:
    """Stands for the hot route, so that its other methods get 405 and not 404."""
    raise HttpRefusal(_NO_ROUTE)


async def _healthz(_request: Request) -> HttpResponse:
    return _OK


async def _openapi(_request: Request) -> HttpResponse:
    return HttpResponse(status=200, body=openapi.rendered())


async def _no_route(_request: Request, _error: Exception) -> Response:
    return _response(_NO_ROUTE)


async def _no_method(_request: Request, wrong: Exception) -> Response:
    allowed = wrong.headers["Allow"] if isinstance(wrong, HTTPException) and wrong.headers else ""
    return _response(
        error(
            405,
            "method",
            f"this route takes {allowed}",
            headers=((b"allow", allowed.encode()),),
        )
    )


_NO_ROUTE: Final = error(
    404, "route", "there is no such route; /v1/openapi.json lists those that there are"
)
_OK: Final = HttpResponse(status=200, body=b'{"status":"ok"}')


_METRICS_CLOSED: Final = error(
    401,
    "key_wrong",
    "closed without server.metrics_key (Authorization: Bearer <key>). It is open to this machine "
    "itself, asked as localhost and through no proxy; with server.public_url or "
    "server.trusted_proxies at server.local_listen alone",
    headers=((b"www-authenticate", b'Bearer realm="twite"'),),
)
