"""The ASGI application: answers each request by its row in the table of routes."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.types import Receive, Scope, Send

from twite.gateway.identity.authentication import ApiKeyLookup
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.gateway.ports.tracing import trace_parent
from twite.http.addresses import host_of
from twite.http.authorization import Authorization, NonceMemory, SourceKeys
from twite.http.cookies import called, without_console_cookies_in
from twite.http.direct import DirectIntake
from twite.http.limits import AdmissionGate, RefusalThrottle
from twite.http.origins import Origins
from twite.http.responses import NO_ROUTE, ClientGone, HttpResponse, answer_to, send_answer
from twite.http.route import NO_BODY, HttpRequest, Route, RouteFinder, answered
from twite.http.route_table import ROUTES
from twite.http.routes import native
from twite.http.script import PageScript
from twite.http.services import GatewayServices, HttpServices, HttpSettings
from twite.tags.preview.sessions import COOKIE, HEADER, PreviewSessions
from twite.tags.preview.trace import RequestTrace, current, set_current
from twite.tags.routes.clients import ClientRoute
from twite.x import spec


class HttpApplication:
    """The gateway's ASGI application."""

    def __init__(
        self,
        given: GatewayServices,
        settings: HttpSettings | None = None,
        *,
        routes: Sequence[Route[Any]] = ROUTES,
        memory: "RequestMemory | None" = None,
    ) -> None:
        """`memory` is that of the application before a reload of the settings."""
        settings = settings or HttpSettings()
        clock, limits, proxies = given.clock, settings.limits, settings.trusted_proxies
        keys = SourceKeys(given.sources)
        memory = self.memory = memory or RequestMemory(given, settings)
        origins = memory.origins = Origins(
            given.sources,
            clock=clock,
            rate=settings.browser_rate,
            trusted_proxies=proxies,
            previous=memory.origins,
        )
        public = settings.public_url
        self._given = given
        self._services = HttpServices(
            **msgspec.structs.asdict(given) | {"ready": self._why_not_ready},
            keys=keys,
            authorization=Authorization(keys=keys, api_keys=ApiKeyLookup(given.people)),
            origins=origins,
            script=PageScript(source_named=origins.named, destinations=given.destinations),
            nonces=memory.nonces,
            gate=memory.gate,
            page_gate=memory.page_gate,
            front=settings.front,
            settings=settings,
            limits=limits,
            public_host=None if public is None else host_of(public),
        )
        self._clients: ClientRoute | None = None
        if given.clients is not None:
            self._clients = ClientRoute(given.clients, self._services, memory.client_gate)
        self._console_host = settings.console_host
        self._routes = RouteFinder(routes)
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

    def crowded(self, reason: str) -> None:
        """Record that connections were closed or refused at the connection limit."""
        self._given.observer.see(ProblemSeen(where=ProblemPlace.CONNECTIONS, reason=reason))

    def closing(self) -> None:
        """Record that the server stops: readiness ends, running requests continue."""
        self._closing = True

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
        route, parameters = self._routes.find(scope["path"])
        console = self._given.console
        if route is not None and route.label is ProblemPlace.CONSOLE and console is not None:
            await console(scope, receive, send)
            return
        scope = without_console_cookies_in(scope)
        if self._given.is_traced:
            # Always, because a pipelined request inherits the context of the one before it.
            trace_parent.set(dict(scope["headers"]).get(b"traceparent"))
        trace = None
        if current() is not None:
            # A pipelined request is handled in a child task of the request before it.
            set_current(None)
        if (previews := self._given.previews).is_open:
            scope, trace = _begin(previews, scope, self._services.keys)
        try:
            clients = self._clients_of(scope)
            if route is not None and (clients is None or not route.claimable):
                wait = self._cheap.wait(
                    route, scope["method"], now=asyncio.get_running_loop().time()
                )
                if wait:
                    await asyncio.sleep(wait)
                request = self._request(scope, receive, parameters)
                answer = await answered(route, request)
            else:
                answer = await self._claimed(clients, route, parameters, scope, receive)
        except (ClientGone, asyncio.CancelledError):
            # No client is waiting: the client left, or the server closed the connection at the end
            # of the shutdown time. An exception would only log an error.
            return
        if trace is not None:
            cookies = [value for name, value in answer.headers if name == b"set-cookie"]
            trace.answered(answer.status, [cookie.decode("latin-1") for cookie in cookies])
        with suppress(asyncio.CancelledError):  # as above
            await self._patience.before(answer.status, scope)
            await send_answer(scope, send, answer)

    async def _claimed(
        self,
        clients: ClientRoute | None,
        route: Route[Any] | None,
        parameters: Mapping[str, str],
        scope: Scope,
        receive: Receive,
    ) -> HttpResponse:
        """Respond with the client template that claims the request, or with the request's route."""
        if clients is not None:
            try:
                found, receive = await clients.answer(scope, receive)
            except ClientGone:
                raise
            except Exception as fault:  # noqa: BLE001 - every request gets an answer
                where = "a client's route" if route is None else route.label
                return answer_to(fault, where=where, observer=self._given.observer)
            if found is not None:
                return found
        if route is None:
            return NO_ROUTE
        return await answered(route, self._request(scope, receive, parameters))

    def _clients_of(self, scope: Scope) -> ClientRoute | None:
        """Return the client templates of the requested host: none for the console's own host."""
        host = self._console_host
        is_console = host is not None and called(dict(scope["headers"])) == host
        return None if is_console else self._clients

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

    def __init__(self, given: GatewayServices, settings: HttpSettings) -> None:
        clock, limits = given.clock, settings.limits
        self.origins: Origins | None = None
        self.nonces = NonceMemory(seconds=2 * spec.OAUTH_WINDOW_SECONDS)
        self.gate = AdmissionGate(requests=limits.requests, size=limits.bodies, largest=limits.body)
        # Requests without a key have separate gates, so that they cannot block requests with a key.
        self.page_gate, self.client_gate = (
            AdmissionGate(requests=limits.page_requests, size=limits.page_bodies, largest=largest)
            for largest in (limits.page_body, limits.body)
        )
        self.throttle = RefusalThrottle(clock=clock, trusted_proxies=settings.trusted_proxies)
        self.cheap = CheapRequests((self.gate, self.page_gate, self.client_gate))


# Seconds between two responses that need no store: about a tenth of the event loop's time.
SPACE: Final = 0.001
# The longest wait: even with many visitors, a page gets the script only this much later.
LONGEST: Final = 0.05


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


# Google's preview sends the name of its session in this header or in this cookie.
_HEADER: Final = HEADER.encode()
_COOKIE: Final = COOKIE.encode()


def _begin(
    previews: PreviewSessions, scope: Scope, keys: SourceKeys
) -> tuple[Scope, RequestTrace | None]:
    """Return the request without its preview token, and its trace (None: it has no session)."""
    token, headers = _taken(scope["headers"])
    if not token:
        return scope, None
    scope = {**scope, "headers": headers}
    shown = keys.removed(scope)
    trace = previews.begin(
        token,
        method=scope["method"],
        path=shown["path"],
        query=shown["query_string"].decode("latin-1"),
        headers=[
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in shown["headers"]
        ],
    )
    if trace is not None:
        set_current(trace)
    return scope, trace


def _taken(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Return the token, and the headers without it: the token must not be logged or stored."""
    token = b""
    left: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name == _HEADER:
            token = token or value.strip()
            continue
        if name == b"cookie" and _COOKIE in value:
            pairs = [pair.strip() for pair in value.split(b";")]
            own = [pair for pair in pairs if pair.partition(b"=")[0] == _COOKIE]
            token = token or next((pair.partition(b"=")[2] for pair in own), b"")
            pairs = [pair for pair in pairs if pair not in own]
            if pairs:
                left.append((name, b"; ".join(pairs)))
            continue
        left.append((name, value))
    return token.decode("latin-1"), left
