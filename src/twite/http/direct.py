"""Handle usual requests `POST /v1/conversions` on their connection, without a task each.

The parser's callbacks check the key and admit the request. The requests of one turn of the event
loop are passed to the store together; the store's callback writes the responses. Clients that reuse
a connection send the same headers again: `DirectHeads` remembers these, so that such requests need
no parsing. Unusual requests are handed to the ordinary route, before or after their body is read.
Both ways give the same responses.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from twite.domain.destination import Source
from twite.gateway.ingest.receipts import AcceptReceipt
from twite.http.authorization import bearer
from twite.http.bodies import is_json
from twite.http.closing import NEVER, Config
from twite.http.deadlines import DeadlineProtocol
from twite.http.direct_heads import END_OF_HEAD, LONGEST_HEAD, DirectHead, DirectHeads
from twite.http.limits import DELAYED, RefusalThrottle
from twite.http.responses import (
    JSON_ALONE,
    HttpResponse,
    answer_to,
    head_of,
    send_answer,
    write_whole,
)
from twite.http.route import Route, report_refusal
from twite.http.routes.native import is_idempotency_key, receipt_response, typical_body
from twite.http.services import HttpServices

# Requests with one of these headers are handled by the ordinary route.
_UNUSUAL: Final = frozenset({b"content-encoding", b"expect", b"transfer-encoding"})
# Larger requests are passed on at once, because grouping them saves nothing.
_LARGE: Final = 8_192


class DirectRequest:
    """A request that is handled directly. It replaces uvicorn's cycle.

    It leaves the gate when it has a response, or when the client disconnects before the body is
    complete.
    """

    __slots__ = (
        "body", "disconnected", "headers", "idempotency_key", "intake", "keep_alive", "more_body",
        "parts", "protocol", "response_complete", "response_started", "source", "weight",
    )  # fmt: skip

    def __init__(
        self,
        protocol: "DirectProtocol",
        intake: "DirectIntake",
        head: DirectHead,
        parts: list[bytes],
        idempotency_key: str | None = None,
    ) -> None:
        self.protocol = protocol
        self.intake = intake
        self.source = head.source
        self.weight: int | None = head.weight  # None once it has left the gate
        self.headers = head.headers
        self.idempotency_key = idempotency_key
        self.keep_alive = True
        self.parts = parts
        self.body = b""  # as accepted
        self.more_body = True
        self.disconnected = self.response_started = self.response_complete = False

    # --- what uvicorn and `write_whole` read of a cycle ------------------------------------------

    @property
    def message_event(self) -> "DirectRequest":
        """What uvicorn takes for the request's event, set if the client disconnects."""
        return self

    @property
    def flow(self) -> FlowControl:
        return self.protocol.flow

    @property
    def transport(self) -> asyncio.Transport:
        return self.protocol.transport

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return self.protocol.server_state.default_headers

    def set(self) -> None:
        """Leave the gate if the client has disconnected, so that the body will stay incomplete."""
        if self.disconnected and self.more_body:
            self.leave()

    def leave(self) -> None:
        # The connection is a reference cycle: garbage collection may find it much later.
        self.parts.clear()
        self.body = b""
        weight, self.weight = self.weight, None
        if weight is not None:
            self.intake.gate.leave(weight)

    def on_response(self) -> None:
        self.protocol.on_response_complete()

    def ordinary_scope(self) -> HTTPScope:
        """Return the scope that uvicorn would pass to the application."""
        protocol = self.protocol
        return {
            "type": "http",
            "asgi": {"version": protocol.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": protocol.server,
            "client": protocol.client,
            "scheme": protocol.scheme or "http",
            "root_path": protocol.root_path,
            "headers": list(self.headers),
            "state": protocol.app_state.copy(),
            "method": "POST",
            "path": self.intake.route.path,
            "raw_path": self.intake.url,
            "query_string": b"",
            "extensions": protocol.extensions,
        }


class DirectIntake:
    """Admits the usual requests for a route whose other requests `routes.native.answer` handles."""

    def __init__(
        self, services: HttpServices, throttle: RefusalThrottle, route: Route[Source]
    ) -> None:
        self._services = services
        self.route = route
        self.url = route.path.encode()
        self._largest = min(route.body, services.limits.body)
        self._throttle = throttle
        self.gate = services.gate
        self.heads = DirectHeads()
        services.key_uses.forget = self.heads.forget
        # The complete requests of this turn of the loop.
        self._group: list[DirectRequest] = []

    def admit(self, headers: Sequence[tuple[bytes, bytes]]) -> tuple[DirectHead, str | None] | None:
        """Admit a request; return its head and its idempotency key, or None if it is unusual."""
        services = self._services
        given = dict(headers)
        length, key = given.get(b"content-length"), bearer(given)
        if (
            length is None
            or key is None
            or int(length) > self._largest
            or not is_json(given)
            or not _UNUSUAL.isdisjoint(given)
        ):
            return None
        source, name = services.keys.find(key), given.get(b"idempotency-key")
        if source is None or (name is not None and not is_idempotency_key(name)):
            return None
        head = DirectHead(source, self.gate.weigh(given), int(length), headers)
        if not self.admits(head):
            return None
        return head, None if name is None else services.keys.without(name).decode("ascii")

    def admits(self, head: DirectHead) -> bool:
        """Admit a request with this head, if it can be handled directly at the moment."""
        services = self._services
        return (
            (services.feature is None or not services.feature.watches_requests)
            and services.accept.takes_directly(head.source)
            and self.gate.admits(head.weight)
        )

    def submit(self, request: DirectRequest) -> None:
        """Pass a request with a complete body to the gateway. The response is sent later."""
        if not self._group:
            request.protocol.loop.call_soon(self._pass_on)
        self._group.append(request)
        if request.weight is not None and request.weight > _LARGE:
            self._pass_on()

    def _pass_on(self) -> None:
        """Pass the collected requests to the gateway."""
        group, self._group = self._group, []
        accept, keys = self._services.accept, self._services.keys
        ready = []
        source = None
        is_direct = False
        for request in group:
            parts = request.parts
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            if request.source is not source:
                source = request.source
                is_direct = accept.takes_directly(source)
            if is_direct:
                request.body = keys.without(body)
                ready.append(request)
            else:
                # A reload replaced the settings, or added tags, while the body arrived.
                request.leave()
                request.protocol.answer_in_a_task(request, request.protocol.app, body)
        if not ready:
            return
        try:
            accept.native_soon(ready, self._answer)
        except Exception as fault:  # noqa: BLE001 - every request gets an answer
            self._answer([(request, fault) for request in ready])

    def _answer(
        self, answers: Sequence[tuple[DirectRequest, AcceptReceipt | str | Exception]]
    ) -> None:
        head = None
        for request, outcome in answers:
            if request.weight is None:
                continue  # it was answered before an error of the whole group
            try:
                if type(outcome) is not str:
                    self._answer_one(request, outcome)  # type: ignore[arg-type]  # no text
                    continue
                request.leave()
                body = typical_body(outcome)
                if not request.keep_alive or request.flow.write_paused or request.disconnected:
                    self._respond(request, HttpResponse(status=202, body=body))
                    continue
                head = head or head_of(202, len(body), request.default_headers)
                request.transport.write(head + body)
                request.response_started = request.response_complete = True
                request.protocol.on_response_complete()
            except Exception as fault:  # noqa: BLE001 the others must get their answers
                context = {"message": "a response failed", "exception": fault}
                request.protocol.loop.call_exception_handler(context)

    def _answer_one(self, request: DirectRequest, outcome: AcceptReceipt | Exception) -> None:
        request.leave()
        if isinstance(outcome, Exception):
            observer = self._services.observer
            answer = answer_to(outcome, where=self.route.label, observer=observer)
            if self.route.endpoint is not None:
                report_refusal(answer, request.source, self.route.endpoint, observer)
        else:
            answer = receipt_response(outcome)
        self._respond(request, answer)

    def _respond(self, request: DirectRequest, response: HttpResponse) -> None:
        if request.disconnected:
            return
        if (
            response.status in DELAYED
            or response.headers is not JSON_ALONE
            or not write_whole(request, response.status, response.body)  # type: ignore[arg-type]  # it replaces a cycle
        ):
            request.protocol.answer_in_a_task(request, partial(self._send, response))

    async def _send(
        self, response: HttpResponse, scope: Scope, _receive: Receive, send: Send
    ) -> None:
        with suppress(asyncio.CancelledError):  # the server closed the connection
            await self._throttle.before(response.status, scope)
            await send_answer(scope, send, response)


class DirectConfig(Config):
    """The server's settings. If `direct` is None, the ordinary routes handle all requests."""

    direct: DirectIntake | None = None


class DirectProtocol(DeadlineProtocol):
    """A connection on which the usual requests are handled directly."""

    def __init__(
        self,
        config: DirectConfig,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: object = None,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.intake = config.direct

    def use(self, app: ASGIApp, intake: DirectIntake | None) -> None:
        """Let another application answer the requests that begin from now on."""
        self.app = app
        self.intake = intake

    def data_received(self, data: bytes) -> None:
        intake, active = self.intake, self.active
        if (
            intake is None
            or self.in_headers
            or self.in_body
            or self.held
            or self.closing
            or self.last
            or not (active is None or active.response_complete)
        ):
            super().data_received(data)
            return
        end = data.find(END_OF_HEAD, 0, LONGEST_HEAD) + len(END_OF_HEAD)
        head = intake.heads.find(data[:end])
        if head is None:
            super().data_received(data)
            if end >= len(END_OF_HEAD):
                self._remember(intake, data, end)
        elif len(data) == end + head.length and intake.admits(head):
            # The parser is between two requests and stays there.
            request = DirectRequest(self, intake, head, [data[end:]])
            request.more_body = False
            self.cycle = self.active = request  # type: ignore[assignment]  # it replaces a cycle
            self.due = NEVER
            intake.submit(request)
        else:
            super().data_received(data)

    def _remember(self, intake: DirectIntake, data: bytes, end: int) -> None:
        """Remember the head if `data` was exactly one usual request."""
        request: object = self.cycle
        if (
            isinstance(request, DirectRequest)
            and request.keep_alive
            and request.idempotency_key is None
            and request.weight is not None
            and request.parts
            and not (self.in_headers or self.in_body or self.closing)
            and b"".join(request.parts) == data[end:]
        ):
            length = len(data) - end
            head = DirectHead(request.source, request.weight, length, request.headers)
            intake.heads.remember(data[:end], head)

    def _begin_request(self) -> None:
        admitted = None
        if (
            self.intake is not None
            and self.url == self.intake.url
            # While another request is being answered, this one waits in uvicorn's queue.
            and not self.is_answering
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
        ):
            admitted = self.intake.admit(self.headers)
        if admitted is None:
            super()._begin_request()
        elif self.intake is not None:
            head, name = admitted
            request = DirectRequest(self, self.intake, head, [], name)
            request.keep_alive = self.parser.should_keep_alive()
            self.cycle = self.active = request  # type: ignore[assignment]  # as above

    def on_body(self, body: bytes) -> None:
        cycle: object = self.cycle
        if not isinstance(cycle, DirectRequest):
            super().on_body(body)
            return
        self.count_body(len(body))
        if not self.closing:
            cycle.parts.append(body)

    def on_message_complete(self) -> None:
        cycle: object = self.cycle if self.in_body and not self.closing else None
        super().on_message_complete()
        if isinstance(cycle, DirectRequest):  # None if the headers will be parsed again
            cycle.intake.submit(cycle)

    def answer_in_a_task(
        self, request: DirectRequest, app: ASGI3Application, body: bytes = b""
    ) -> None:
        """Let an ASGI application respond to the request."""
        event = asyncio.Event()
        event.set()
        cycle = RequestResponseCycle(
            scope=request.ordinary_scope(),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=request.default_headers,
            message_event=event,
            expect_100_continue=False,
            keep_alive=request.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.body, cycle.more_body = bytearray(body), False
        current: object = self.cycle
        if current is request:
            self.cycle = cycle
        self._start_asgi_task(cycle, app)
