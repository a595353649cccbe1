"""The ASGI application: dispatches the hot routes itself and the rest through Starlette."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from twite.domain.destination import Destination, Source
from twite.domain.history import ConversionCounts
from twite.domain.secret import Secret
from twite.gateway.ports.events import Observer, SilentObserver, Troubled, TroublePlace
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import Operations
from twite.gateway.ports.privacy import Eraser
from twite.gateway.ports.queries import Records, Sightings
from twite.http.addresses import Network, front_of
from twite.http.admission import AdmissionGate
from twite.http.authorization import Authorization, FindsKeys, NoKeys
from twite.http.error_responses import answer_to
from twite.http.limits import HttpLimits
from twite.http.origins import Origins
from twite.http.refusal_throttle import RefusalThrottle
from twite.http.responses import ClientGone, HttpRefusal, HttpResponse, send_answer
from twite.http.routes.beacon import MOST_BODY, AcceptsBeacon, BeaconRoute, query_of
from twite.http.routes.beacon import PATH as BEACON_PATH
from twite.http.routes.clients import AnswersRequests, ClientRoute
from twite.http.routes.consent import ConsentRoute, RecordsChoice
from twite.http.routes.control import ControlRoute, KeepsLogins
from twite.http.routes.conversions import ConversionRoutes
from twite.http.routes.dedup_report import DedupReportRoute
from twite.http.routes.native import NATIVE_PATH, AcceptsNative, NativeRoute
from twite.http.routes.rejections import RejectionsRoute
from twite.http.routes.sgtm_tag import SGTM_PATH, SgtmRoute
from twite.http.routes.stape import PREFIX as STAPE_PREFIX
from twite.http.routes.stape import ProxiesStape, StapeRoute
from twite.http.routes.tags import DOORS, AcceptsFound, TagRoutes
from twite.http.routes.x_api import PREFIXES, AcceptsX, XApiRoute, in_xs_words
from twite.http.script.route import PREFIX as SCRIPT_PREFIX
from twite.http.script.route import PageScript
from twite.http.source_keys import SourceKeys
from twite.http.starlette_routes import ROUTES, StarletteRoutes

BROWSER_RATE = 600
CONSOLE_PATH = "/console"


class AcceptsRequests(AcceptsNative, AcceptsX, AcceptsBeacon, AcceptsFound, Protocol):
    """Accepts parsed requests: see gateway.ingest.accept."""


class HttpApplication:
    """The gateway's ASGI application.

    `ready` returns the reason why requests cannot be accepted now, or None. `metrics` renders the
    Prometheus text. `desk_token` authenticates `POST /-/desk`, which does not exist without one.
    `public_url` is the address that clients see; `local_port` is a port to which no proxy points.
    `browser_rate` is how many requests an address may make in a minute on the browser routes.
    Without a `proxy` there is no route for Stape's auth proxy. `console` serves all paths under
    /console.
    """

    def __init__(
        self,
        *,
        accept: AcceptsRequests,
        records: Records,
        desk: Operations,
        choose: RecordsChoice,
        sightings: Sightings,
        clock: Clock,
        sources: Sequence[Source],
        destinations: Mapping[str, Destination],
        ready: Callable[[], str | None],
        metrics: Callable[[Iterable[ConversionCounts]], bytes],
        desk_token: Secret | None = None,
        logins: KeepsLogins | None = None,
        eraser: Eraser | None = None,
        metrics_key: Secret | None = None,
        public_url: str | None = None,
        trusted_proxies: Sequence[Network] = (),
        local_port: int | None = None,
        browser_rate: int = BROWSER_RATE,
        proxy: ProxiesStape | None = None,
        console: ASGIApp | None = None,
        key_ring: FindsKeys | None = None,
        clients: AnswersRequests | None = None,
        limits: HttpLimits | None = None,
        observer: Observer | None = None,
    ) -> None:
        limits = limits or HttpLimits()
        keys = SourceKeys(sources)
        gate = AdmissionGate(requests=limits.requests, size=limits.in_hand, largest=limits.body)
        self._observer = observer or SilentObserver()
        self._native = NativeRoute(
            accept=accept,
            keys=keys,
            gate=gate,
            body_limit=limits.body,
            observer=self._observer,
        )
        self._x = XApiRoute(
            accept=accept,
            clock=clock,
            destinations=destinations,
            keys=keys,
            public_url=public_url,
            gate=gate,
            body_limit=limits.body,
            observer=self._observer,
        )
        # Browser requests are not authenticated: a gate of their own keeps them from filling the
        # other.
        self._page_gate = AdmissionGate(
            requests=limits.page_requests, size=limits.page_in_hand, largest=MOST_BODY
        )
        self._origins = Origins(
            sources, clock=clock, rate=browser_rate, trusted_proxies=trusted_proxies
        )
        self._beacon = BeaconRoute(
            accept=accept,
            origins=self._origins,
            keys=keys,
            clock=clock,
            gate=self._page_gate,
            public_url=public_url,
            observer=self._observer,
        )
        self._tags = TagRoutes(
            accept=accept,
            origins=self._origins,
            keys=keys,
            clock=clock,
            destinations=destinations,
            gate=gate,
            page_gate=self._page_gate,
            body_limit=limits.body,
            public_url=public_url,
            observer=self._observer,
        )
        self._sgtm = SgtmRoute(
            accept=accept,
            keys=keys,
            clock=clock,
            destinations=destinations,
            gate=gate,
            body_limit=limits.body,
            observer=self._observer,
        )
        self._stape: StapeRoute | None = None
        if proxy is not None:
            self._stape = StapeRoute(
                proxy=proxy,
                keys=keys,
                clock=clock,
                gate=gate,
                body_limit=limits.body,
                observer=self._observer,
            )
        self._clients: ClientRoute | None = None
        if clients is not None:
            self._clients = ClientRoute(
                clients,
                clock=clock,
                # These requests show no key: a gate of their own keeps them from filling the
                # others.
                gate=AdmissionGate(
                    requests=limits.page_requests, size=limits.page_in_hand, largest=limits.body
                ),
                rate=browser_rate,
                body_limit=limits.body,
                trusted_proxies=trusted_proxies,
                keys=keys,
            )
        self._patience = RefusalThrottle(clock=clock, trusted_proxies=trusted_proxies)
        self._script = PageScript(source_named=self._origins.named, destinations=destinations)
        self._ready = ready
        self._closing = False
        self._console = console
        self._quiet = StarletteRoutes(
            records=records,
            lives=ConversionRoutes(records=records, destinations=destinations, clock=clock),
            overlap=DedupReportRoute(sightings=sightings, destinations=destinations, clock=clock),
            rejections=RejectionsRoute(records=records, clock=clock),
            choices=ConsentRoute(choose),
            desk=ControlRoute(
                desk=desk,
                clock=clock,
                token=desk_token,
                body_limit=limits.body,
                logins=logins,
                eraser=eraser,
            ),
            keys=keys,
            askers=Authorization(keys=keys, ring=key_ring or NoKeys()),
            ready=self._why_not_ready,
            metrics=metrics,
            metrics_key=metrics_key,
            front=front_of(public_url=public_url, trusted=trusted_proxies, local_port=local_port),
            answer_to=self._answer_to,
        )

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
        path: str = scope["path"]
        try:
            if path == NATIVE_PATH and scope["method"] == "POST":
                answer = await self._native.answer(dict(scope["headers"]), receive)
            elif path.startswith(PREFIXES):
                query = scope["query_string"].decode("latin-1")
                answer = await self._x.answer(
                    scope["method"], path, query, dict(scope["headers"]), receive
                )
            elif (found := await self._of_others(path, scope, receive)) is not None:
                answer = found
            elif self._console is not None and _is_console(path):
                await self._console(scope, receive, send)
                return
            else:
                await self._quiet(scope, receive, self._patience.with_it(send, scope))
                return
        except HttpRefusal as refused:
            answer = refused.answer
        except (ClientGone, asyncio.CancelledError):
            # Nobody is there to answer: the client left, or the server cut the connection off at
            # the end of its shutdown time. Raising would only log a fault.
            return
        except Exception as fault:  # noqa: BLE001 - the last line: whoever asked gets an answer
            answer = self._answer_to(path, fault)
        with suppress(asyncio.CancelledError):  # as above
            await self._patience.before(answer.status, scope)
            await send_answer(scope, send, answer)

    async def _of_others(self, path: str, scope: Scope, receive: Receive) -> HttpResponse | None:
        """Answer by client templates, or a browser or tag route; None if by neither."""
        if self._clients is not None and self._is_open(path, scope):
            found, receive = await self._clients.answer(scope, receive)
            if found is not None:
                return found
        return await self._of_pages_and_tags(path, scope, receive)

    def _is_open(self, path: str, scope: Scope) -> bool:
        """Return whether client templates may claim it: a tag route, or a path without route."""
        if path in DOORS:
            return True
        own = (SGTM_PATH, BEACON_PATH, NATIVE_PATH)
        prefixes = (STAPE_PREFIX, SCRIPT_PREFIX)
        is_own = path in own or path.startswith(prefixes) or _is_console(path)
        return not is_own and not self._quiet.knows(scope)

    async def _of_pages_and_tags(
        self, path: str, scope: Scope, receive: Receive
    ) -> HttpResponse | None:
        """Answer by a browser or tag route; None if the path is not one of them."""
        if path == BEACON_PATH:
            return await self._beacon.answer(scope, receive)
        if path in DOORS:
            return await self._tags.answer(scope, receive)
        headers = dict(scope["headers"])
        if path == SGTM_PATH and scope["method"] == "POST":
            return await self._sgtm.answer(headers, receive)
        if path.startswith(STAPE_PREFIX) and self._stape is not None:
            return await self._stape.answer(scope["method"], path, headers, receive)
        if path.startswith(SCRIPT_PREFIX):
            return self._script.answer(scope["method"], path, query_of(scope), headers)
        return None

    def _why_not_ready(self) -> str | None:
        return "the gateway is stopping" if self._closing else self._ready()

    def _answer_to(self, path: str, fault: Exception) -> HttpResponse:
        if path.startswith((*PREFIXES, STAPE_PREFIX)):
            return in_xs_words(
                answer_to(fault, where=TroublePlace.X_ROUTE, observer=self._observer)
            )
        known = path in {*ROUTES, *DOORS, BEACON_PATH, SGTM_PATH} or path.startswith(SCRIPT_PREFIX)
        others = "/v1/conversions/…" if path.startswith(NATIVE_PATH) else "a client's route"
        where = path if known else others
        return answer_to(fault, where=where, observer=self._observer)


def _is_console(path: str) -> bool:
    return path == CONSOLE_PATH or path.startswith(f"{CONSOLE_PATH}/")
