"""The ASGI application: answers each request by its row in the table of routes."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from twite.domain.destination import Destination, Source
from twite.domain.history import ConversionCounts
from twite.domain.secret import Secret
from twite.gateway.ports.events import Observer, SilentObserver, Troubled, TroublePlace
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import Operations
from twite.gateway.ports.privacy import Eraser
from twite.gateway.ports.queries import Queries
from twite.http.addresses import Network, front_of
from twite.http.admission import AdmissionGate
from twite.http.authorization import Authorization, FindsKeys, NoKeys
from twite.http.cookies import host_of
from twite.http.error_responses import answer_to
from twite.http.limits import HttpLimits
from twite.http.nonces import NonceMemory
from twite.http.origins import Origins
from twite.http.refusal_throttle import RefusalThrottle
from twite.http.responses import NO_ROUTE, ClientGone, HttpResponse, send_answer
from twite.http.route import HttpRequest, Route, RouteFinder, answered
from twite.http.route_table import ROUTES, rendered
from twite.http.routes.clients import AnswersRequests, ClientRoute
from twite.http.script.route import PageScript
from twite.http.services import (
    AcceptsRequests,
    ChangesAccounts,
    HttpServices,
    KeepsLogins,
    ProxiesStape,
    RecordsChoice,
)
from twite.http.source_keys import SourceKeys
from twite.x import spec

BROWSER_RATE = 600


class HttpApplication:
    """The gateway's ASGI application.

    `ready` returns the reason why requests cannot be accepted now, or None. `metrics` renders the
    Prometheus text. `desk_token` authenticates `POST /-/desk`, which does not exist without one.
    `public_url` is the address that clients see, `console_url` the console's own, if it has one;
    `local_port` is a port to which no proxy points.
    `browser_rate` is how many requests an address may make in a minute on the browser routes.
    Without a `proxy` there is no route for Stape's auth proxy. `console` serves all paths under
    /console.
    """

    def __init__(
        self,
        *,
        accept: AcceptsRequests,
        records: Queries,
        desk: Operations,
        choose: RecordsChoice,
        sightings: Queries,
        clock: Clock,
        sources: Sequence[Source],
        destinations: Mapping[str, Destination],
        ready: Callable[[], str | None],
        metrics: Callable[[Iterable[ConversionCounts]], bytes],
        desk_token: Secret | None = None,
        logins: KeepsLogins | None = None,
        eraser: Eraser | None = None,
        people: ChangesAccounts | None = None,
        metrics_key: Secret | None = None,
        public_url: str | None = None,
        trusted_proxies: Sequence[Network] = (),
        console_url: str | None = None,
        local_port: int | None = None,
        browser_rate: int = BROWSER_RATE,
        proxy: ProxiesStape | None = None,
        console: ASGIApp | None = None,
        key_ring: FindsKeys | None = None,
        clients: AnswersRequests | None = None,
        limits: HttpLimits | None = None,
        observer: Observer | None = None,
        routes: Sequence[Route[Any]] = ROUTES,
    ) -> None:
        limits = limits or HttpLimits()
        keys = SourceKeys(sources)
        origins = Origins(sources, clock=clock, rate=browser_rate, trusted_proxies=trusted_proxies)
        # Requests that show no key have gates of their own, so that they cannot fill the other.
        page_gate, client_gate = (
            AdmissionGate(requests=limits.page_requests, size=limits.page_in_hand, largest=largest)
            for largest in (limits.page_body, limits.body)
        )
        self._observer = observer or SilentObserver()
        self._services = HttpServices(
            accept=accept,
            proxy=proxy,
            records=records,
            operations=desk,
            eraser=eraser,
            logins=logins,
            people=people,
            choose=choose,
            sightings=sightings,
            clock=clock,
            destinations=destinations,
            keys=keys,
            authorization=Authorization(keys=keys, ring=key_ring or NoKeys()),
            origins=origins,
            script=PageScript(source_named=origins.named, destinations=destinations),
            nonces=NonceMemory(seconds=2 * spec.OAUTH_WINDOW_SECONDS),
            gate=AdmissionGate(requests=limits.requests, size=limits.in_hand, largest=limits.body),
            page_gate=page_gate,
            limits=limits,
            front=front_of(public_url, console_url, trusted=trusted_proxies, local_port=local_port),
            public_url=public_url,
            public_host=None if public_url is None else host_of(public_url),
            control_token=desk_token,
            metrics_key=metrics_key,
            ready=self._why_not_ready,
            metrics=metrics,
            openapi=rendered,
            observer=self._observer,
        )
        self._clients: ClientRoute | None = None
        if clients is not None:
            self._clients = ClientRoute(
                clients,
                clock=clock,
                gate=client_gate,
                rate=browser_rate,
                body_limit=limits.body,
                trusted_proxies=trusted_proxies,
                keys=keys,
            )
        self._routes = RouteFinder(routes)
        self._patience = RefusalThrottle(clock=clock, trusted_proxies=trusted_proxies)
        self._ready = ready
        self._closing = False
        self._console = console

    def opened(self) -> None:
        """Record that a server now listens."""
        self._closing = False

    def crowded(self, reason: str) -> None:
        """Record that connections were closed or refused for lack of room."""
        self._observer.see(Troubled(where=TroublePlace.CONNECTIONS, reason=reason))

    def closing(self) -> None:
        """Record that the server stops: readiness ends, running requests go on."""
        self._closing = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, parameters = self._routes.find(scope["path"])
        if route is not None and route.label is TroublePlace.CONSOLE and self._console is not None:
            await self._console(scope, receive, send)
            return
        try:
            if route is not None and (self._clients is None or not route.claimable):
                request = self._request(scope, receive, parameters)
                answer = await answered(route, request)
            else:
                answer = await self._claimed(route, parameters, scope, receive)
        except (ClientGone, asyncio.CancelledError):
            # Nobody is there to answer: the client left, or the server cut the connection off at
            # the end of its shutdown time. Raising would only log a fault.
            return
        with suppress(asyncio.CancelledError):  # as above
            await self._patience.before(answer.status, scope)
            await send_answer(scope, send, answer)

    async def _claimed(
        self,
        route: Route[Any] | None,
        parameters: Mapping[str, str],
        scope: Scope,
        receive: Receive,
    ) -> HttpResponse:
        """Answer by the client template that claims the request, or by its route."""
        if self._clients is not None:
            try:
                found, receive = await self._clients.answer(scope, receive)
            except ClientGone:
                raise
            except Exception as fault:  # noqa: BLE001 - every request gets an answer
                where = "a client's route" if route is None else route.label
                return answer_to(fault, where=where, observer=self._observer)
            if found is not None:
                return found
        if route is None:
            return NO_ROUTE
        return await answered(route, self._request(scope, receive, parameters))

    def _request(
        self, scope: Scope, receive: Receive, parameters: Mapping[str, str]
    ) -> HttpRequest:
        return HttpRequest(
            scope,
            receive,
            self._services,
            parameters,
            scope["method"],
            scope["path"],
            dict(scope["headers"]),
        )

    def _why_not_ready(self) -> str | None:
        return "the gateway is stopping" if self._closing else self._ready()
