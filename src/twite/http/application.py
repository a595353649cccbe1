"""The ASGI application: answers each request by its row in the table of routes."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
from starlette.types import Receive, Scope, Send

from twite.domain.destination import Source
from twite.gateway.identity.authentication import ApiKeyLookup
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.gateway.ports.tracing import trace_parent
from twite.http.addresses import host_of
from twite.http.authorization import Authorization, NonceMemory, SourceKeys
from twite.http.cookies import without_console_cookies_in
from twite.http.direct import DirectIntake
from twite.http.endless_streams import EndlessStreams
from twite.http.limits import AdmissionGate, RefusalThrottle
from twite.http.origins import Origins
from twite.http.responses import NO_ROUTE, ClientGone, HttpResponse, send_answer
from twite.http.route import NO_BODY, HttpRequest, Route, RouteFinder, answered
from twite.http.route_table import ROUTES
from twite.http.routes import native
from twite.http.script import BEACON_PATH, PATH, PageScript
from twite.http.services import GatewayServices, HttpServices, HttpSettings
from twite.http.webhook_call import WebhookSources
from twite.x import spec

# Seconds between two responses that need no store: about a tenth of the event loop's time.
SPACE: Final = 0.001
# The longest wait: even with many visitors, a page gets the script only this much later.
LONGEST: Final = 0.05


class HttpApplication:
    """The gateway's ASGI application."""

    def __init__(
        self,
        services: GatewayServices,
        settings: HttpSettings | None = None,
        *,
        routes: Sequence[Route[Any]] = ROUTES,
        memory: "RequestMemory | None" = None,
    ) -> None:
        """`memory` is that of the application before a reload of the settings."""
        settings = settings or HttpSettings()
        clock, limits, proxies = services.clock, settings.limits, settings.trusted_proxies
        keys = SourceKeys(services.sources, services.key_uses)
        memory = self.memory = memory or RequestMemory(services, settings)
        origins = memory.origins = Origins(
            services.sources,
            clock=clock,
            rate=settings.browser_rate,
            trusted_proxies=proxies,
            previous_origins=memory.origins,
        )

        def source_named(name: str) -> Source | None:
            source = origins.named(name)
            return None if source is None else source.at(clock.now())

        public = settings.public_url
        self._given = services
        self._services = HttpServices(
            **msgspec.structs.asdict(services) | {"ready": self._why_not_ready},
            keys=keys,
            authorization=Authorization(keys=keys, api_keys=ApiKeyLookup(services.directory)),
            origins=origins,
            script=PageScript(
                source_named=source_named,
                destinations=services.destinations,
                beacon_path=settings.beacon_path,
            ),
            nonces=memory.nonces,
            gate=memory.gate,
            page_gate=memory.page_gate,
            signature_gate=memory.signature_gate,
            webhook_sources=WebhookSources.of(services.webhooks, services.sources),
            front=settings.front,
            settings=settings,
            limits=limits,
            public_host=None if public is None else host_of(public),
        )
        if services.make_feature is not None:
            feature = services.make_feature(self._services, memory.feature_gate)
            self._services = msgspec.structs.replace(self._services, feature=feature)
        self._routes = RouteFinder(routes)
        self._moved = {settings.script_path: PATH, settings.beacon_path: BEACON_PATH}
        self._patience = memory.throttle
        self._cheap = memory.cheap
        # None: all requests are handled by the ordinary routes.
        self.direct: DirectIntake | None = next(
            (
                DirectIntake(self._services, self._patience, route)
                for route in routes
                if route.answer is native.answer
            ),
            None,
        )
        self._closing = False
        # Requests in progress, without the console's.
        self._requests = 0
        self._drained = asyncio.Event()

    def opened(self) -> None:
        """Record that a server has begun to listen."""
        self._closing = False
        self.memory.endless_streams.begin()

    def crowded(self, reason: str) -> None:
        """Record that connections were closed or refused at the connection limit."""
        self._given.observer.see(ProblemSeen(where=ProblemPlace.CONNECTIONS, reason=reason))

    def closing(self) -> None:
        """Record that the server stops: readiness and exports end, other requests continue."""
        self._closing = True
        self.memory.endless_streams.end()

    async def drained(self) -> None:
        """Wait until no request is in progress here. The caller has replaced this application."""
        while self._requests:
            self._drained.clear()
            await self._drained.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self._requests += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._requests -= 1
            self._drained.set()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self._moved:
            scope = {**scope, "path": self._moved[scope["path"]]}
        route, parameters = self._routes.find(scope["path"])
        console = self._given.console
        if route is not None and route.label is ProblemPlace.CONSOLE and console is not None:
            await self.memory.endless_streams(console, scope, receive, send)
            return
        scope = without_console_cookies_in(scope)
        if self._given.is_traced:
            # Always, because a pipelined request inherits the context of the one before it.
            trace_parent.set(dict(scope["headers"]).get(b"traceparent"))
        respond = partial(self._respond, route, parameters)
        feature = self._services.feature
        try:
            if feature is None:
                answer = await respond(scope, receive)
            else:
                label = None if route is None else route.label
                claimable = route is None or route.claimable
                answer = await feature.answer(
                    scope, receive, respond, label=label, claimable=claimable
                )
        except (ClientGone, asyncio.CancelledError):
            # No client is waiting: the client left, or the server closed the connection at the end
            # of the shutdown time. An exception would only log an error.
            return
        with suppress(asyncio.CancelledError):  # as above
            await self._patience.before(answer.status, scope)
            await send_answer(scope, send, answer)

    async def _respond(
        self,
        route: Route[Any] | None,
        parameters: Mapping[str, str],
        scope: Scope,
        receive: Receive,
    ) -> HttpResponse:
        """Respond by the request's route."""
        if route is None:
            return NO_ROUTE
        wait = self._cheap.wait(route, scope["method"], now=asyncio.get_running_loop().time())
        if wait:
            await asyncio.sleep(wait)
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
        return "the gateway is stopping" if self._closing else self._given.ready()


class RequestMemory:
    """What limits and replay protection remember: it outlives a reload of the settings."""

    def __init__(self, services: GatewayServices, settings: HttpSettings) -> None:
        clock, limits = services.clock, settings.limits
        self.origins: Origins | None = None
        self.endless_streams = EndlessStreams()
        self.nonces = NonceMemory(seconds=2 * spec.OAUTH_WINDOW_SECONDS)
        self.gate = AdmissionGate(requests=limits.requests, size=limits.bodies, largest=limits.body)
        # Requests without a key have separate gates, so that they cannot block requests with a key.
        self.page_gate, self.feature_gate, self.signature_gate = (
            AdmissionGate(requests=limits.page_requests, size=limits.page_bodies, largest=largest)
            for largest in (limits.page_body, limits.body, limits.body)
        )
        self.throttle = RefusalThrottle(clock=clock, trusted_proxies=settings.trusted_proxies)
        self.cheap = CheapRequests(
            (self.gate, self.page_gate, self.feature_gate, self.signature_gate)
        )


class CheapRequests:
    """Spaces out responses that need no store while one of the gates is in use.

    A connection that sends the next request as soon as it has a response keeps the event loop busy,
    so that the thread that writes to the store has to wait for the interpreter.
    """

    def __init__(self, gates: Sequence[AdmissionGate]) -> None:
        self._gates = gates
        self._next = 0.0

    def wait(self, route: Route[object], method: str, *, now: float) -> float:
        """Return how many seconds the response must wait. `now` is in monotonic seconds."""
        if route.endpoint is not None or (route.body != NO_BODY and method == "POST"):
            return 0.0
        if not any(gate.is_occupied for gate in self._gates):
            return 0.0
        turn = min(max(now, self._next), now + LONGEST)
        self._next = turn + SPACE
        return turn - now
