"""Handle the usual `POST /v1/conversions` on its connection, without a task and a future.

The parser's callbacks check the key, admit the request and pass its submission to the store; the
store's callback writes the response. Unusual requests are handled by the ordinary route, before or
after their body is read. Both give the same responses.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from twite.domain.destination import Source
from twite.domain.submission import Endpoint
from twite.gateway.ingest.receipts import AcceptReceipt
from twite.gateway.preview.trace import current
from twite.http.authorization import bearer
from twite.http.bodies import is_json
from twite.http.deadlines import Config, DeadlineProtocol
from twite.http.limits import DELAYED, AdmissionGate, RefusalThrottle
from twite.http.responses import JSON_ALONE, HttpResponse, answer_to, send_answer, write_whole
from twite.http.route import report_refusal
from twite.http.routes.native import is_idempotency_key, told
from twite.http.services import HttpServices

PATH: Final = "/v1/conversions"
_URL: Final = PATH.encode()
# Requests with one of these headers are handled by the ordinary route.
_UNUSUAL: Final = frozenset({b"content-encoding", b"expect", b"transfer-encoding", b"upgrade"})


class DirectRequest:
    """A request that is handled directly. It replaces uvicorn's cycle.

    It leaves the gate when it has a response, or when its client leaves before the body is
    complete.
    """

    __slots__ = (
        "default_headers", "disconnected", "flow", "gate", "idempotency_key", "keep_alive",
        "more_body", "parts", "protocol", "response_complete", "response_started", "scope",
        "source", "transport", "weight",
    )  # fmt: skip

    def __init__(
        self,
        protocol: "DirectProtocol",
        gate: AdmissionGate,
        source: Source,
        weight: int,
        idempotency_key: str | None,
    ) -> None:
        self.protocol = protocol
        self.gate = gate
        self.source = source
        self.weight: int | None = weight  # None after it has left the gate
        self.idempotency_key = idempotency_key
        self.scope = protocol.scope
        self.flow = protocol.flow
        self.transport = protocol.transport
        self.default_headers = protocol.server_state.default_headers
        self.keep_alive = protocol.parser.should_keep_alive()
        self.parts: list[bytes] = []
        self.more_body = True
        self.disconnected = self.response_started = self.response_complete = False

    @property
    def message_event(self) -> "DirectRequest":
        """Uvicorn's event of a request, which is set when the client leaves, among other cases."""
        return self

    def set(self) -> None:
        """Leave the gate if the client is gone and its body will never be complete."""
        if self.disconnected and self.more_body:
            self.leave()

    def leave(self) -> None:
        # The connection is a reference cycle: garbage collection may find it much later.
        self.parts.clear()
        weight, self.weight = self.weight, None
        if weight is not None:
            self.gate.leave(weight)

    def on_response(self) -> None:
        self.protocol.on_response_complete()

    def ordinary_scope(self) -> HTTPScope:
        """Return what uvicorn gives to the application."""
        scope = self.scope.copy()
        scope["method"], scope["path"], scope["raw_path"] = "POST", PATH, _URL
        scope["query_string"] = b""
        scope["extensions"] = self.protocol.extensions
        return scope


class DirectIntake:
    """Admits the usual requests of the native format, and passes them to the gateway."""

    def __init__(self, services: HttpServices, throttle: RefusalThrottle) -> None:
        self._services = services
        self._throttle = throttle
        self.gate = services.gate

    def admit(
        self, headers: Sequence[tuple[bytes, bytes]]
    ) -> tuple[Source, int, str | None] | None:
        """Return the source, the weight at the gate, and the idempotency key; None if unusual."""
        services = self._services
        if current() is not None or (services.previews is not None and services.previews.is_open):
            return None
        given = dict(headers)
        length, key = given.get(b"content-length"), bearer(given)
        if (
            length is None
            or key is None
            or int(length) > services.limits.body
            or not is_json(given)
            or not _UNUSUAL.isdisjoint(given)
        ):
            return None
        source, name = services.keys.find(key), given.get(b"idempotency-key")
        if (
            source is None
            or (name is not None and not is_idempotency_key(name))
            or not services.accept.takes_directly(source)
        ):
            return None
        weight = self.gate.weigh(given)
        if not self.gate.admits(weight):
            return None
        return source, weight, None if name is None else services.keys.without(name).decode("ascii")

    def submit(self, request: DirectRequest) -> None:
        """Pass a request with a complete body to the gateway. The response is sent now or later."""
        body = b"".join(request.parts)
        request.parts.clear()
        services = self._services
        if not services.accept.takes_directly(request.source):
            # Tags were added while the body arrived.
            request.leave()
            request.protocol.answer_in_a_task(request, request.protocol.app, body)
            return
        try:
            services.accept.native_soon(
                source=request.source,
                body=services.keys.without(body),
                idempotency_key=request.idempotency_key,
                done=partial(self._committed, request),
            )
        except Exception as fault:  # noqa: BLE001 - every request gets an answer
            self._committed(request, None, fault)

    def _committed(
        self, request: DirectRequest, receipt: AcceptReceipt | None, fault: Exception | None
    ) -> None:
        request.leave()
        if receipt is not None:
            answer = told(receipt)
        else:
            observer = self._services.observer
            fault = fault or RuntimeError("neither a receipt nor an error")
            answer = answer_to(fault, where=PATH, observer=observer)
            report_refusal(answer, request.source, Endpoint.NATIVE, observer)
        if request.disconnected:
            return
        if (
            answer.status in DELAYED
            or answer.headers is not JSON_ALONE
            or not write_whole(request, answer.status, answer.body)  # type: ignore[arg-type]  # it stands for a cycle
        ):
            request.protocol.answer_in_a_task(request, partial(self._send, answer))

    async def _send(
        self, answer: HttpResponse, scope: Scope, _receive: Receive, send: Send
    ) -> None:
        with suppress(asyncio.CancelledError):  # the server closed the connection
            await self._throttle.before(answer.status, scope)
            await send_answer(scope, send, answer)


class DirectConfig(Config):
    """The server's settings. Without `direct`, the ordinary routes handle all requests."""

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

    def _begin_request(self) -> None:
        admitted = None
        if (
            self.intake is not None
            and self.url == _URL
            # Otherwise, the request waits in uvicorn's queue.
            and not self._is_answering()
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
        ):
            admitted = self.intake.admit(self.headers)
        if admitted is None:
            super()._begin_request()
        elif self.intake is not None:
            request = DirectRequest(self, self.intake.gate, *admitted)
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
        super().on_message_complete()
        cycle: object = self.cycle
        if isinstance(cycle, DirectRequest) and self.intake is not None and not self.closing:
            self.intake.submit(cycle)

    def answer_in_a_task(
        self, request: DirectRequest, app: ASGI3Application, body: bytes = b""
    ) -> None:
        """Let an ASGI application respond in place of the request."""
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
