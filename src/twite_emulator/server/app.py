"""The ASGI application: the emulated X, and the control plane under /_emulator."""

import random
import socket
import time
from collections.abc import Callable, Mapping

import uvicorn

from twite_emulator import spec
from twite_emulator.analytics.routes import is_analytics
from twite_emulator.exchange import (
    BODY_TOO_LARGE,
    Problem,
    XRequestReceived,
    XVerdict,
    no_route,
    refusal,
)
from twite_emulator.faults import FaultKind, InjectedFault
from twite_emulator.judge import CONVERSIONS, Judge, Received
from twite_emulator.server.control import PREFIX, answer_control
from twite_emulator.server.loopback import is_from_here
from twite_emulator.server.mischief import (
    UNANSWERED,
    UNJUDGED,
    dated,
    judged,
    respond_with_fault,
    spoiled,
)
from twite_emulator.server.wire import OpenProtocol, Receive, Scope, Send, Wire
from twite_emulator.switches import Switches


class EmulatorApp:
    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        wire = Wire(scope, receive, send)
        if scope["path"].startswith(PREFIX):
            await self._control(scope, wire)
        else:
            await self._emulated(scope, wire)

    async def _control(self, scope: Scope, wire: Wire) -> None:
        body = await wire.body()
        client = scope["client"]
        if client is None or not is_from_here(client[0], scope["headers"]):
            await wire.say(no_route())
        elif body is not None:
            await wire.say(answer_control(_request(scope, body), self._judge))

    async def _emulated(self, scope: Scope, wire: Wire) -> None:
        match = CONVERSIONS.fullmatch(scope["path"])
        pixel = match[1] if match else None
        body: bytes | None = None
        if self._judge.faults.reads_body:
            body = await wire.body()
            if body is None:
                await self._unread(scope, wire, pixel)
                return
        analytics = is_analytics(scope["path"])
        endpoint = "conversions" if match else "analytics" if analytics else "other"
        fault = self._judge.faults.draw(endpoint=endpoint, pixel=pixel, body=body or b"")
        if fault and fault.kind is FaultKind.RESET:
            if match:
                self._note(scope, pixel, None, fault, None)
            await wire.end(hard=True)
            return
        body = await wire.body() if body is None else body
        if body is None:
            await self._unread(scope, wire, pixel)
            return
        request = _request(scope, body)
        if fault is None:
            verdict: XVerdict | None = self._judge.answer(request)
        else:
            verdict = await judged(request, fault, self._judge, wire)
        if match:
            self._note(scope, pixel, verdict, fault, body)
        if analytics:
            self._note_analytics(request, verdict, fault)
        if verdict is not None:
            await self._respond(verdict, fault, wire)

    async def _respond(self, verdict: XVerdict, fault: InjectedFault | None, wire: Wire) -> None:
        if fault is None:
            await wire.say(dated(verdict.answer, self._judge.now()))
            return
        if fault.kind is FaultKind.SLOW and not await wire.wait(fault.seconds):
            return
        skew = fault.seconds if fault.kind is FaultKind.CLOCK_SKEW else 0
        answer = dated(spoiled(verdict.answer, fault), self._judge.now() + skew)
        await respond_with_fault(fault, answer, wire)

    async def _unread(self, scope: Scope, wire: Wire, pixel: str | None) -> None:
        """The client disconnected, or sent too much: the connection ends unchecked."""
        verdict: XVerdict | None = None
        if wire.overflowed:
            problem = Problem(spec.INVALID_PARAMETER, BODY_TOO_LARGE)
            answer = refusal(413, problem).with_headers(("connection", "close"))
            verdict = XVerdict(answer=answer, why="the body is too large")
        if pixel is not None:
            self._note(scope, pixel, verdict, None, None)
        if verdict is not None:
            await wire.say(verdict.answer)

    def _note(
        self,
        scope: Scope,
        pixel: str | None,
        verdict: XVerdict | None,
        fault: InjectedFault | None,
        body: bytes | None,
    ) -> None:
        """Record a conversions request in the journal."""
        journal = self._judge.journal
        answered = verdict is not None and (fault is None or fault.kind not in UNANSWERED)
        judged_ = verdict is not None and (fault is None or fault.kind not in UNJUDGED)
        status = verdict.answer.status if verdict else None
        conversions = verdict.conversions if verdict else None
        if not self._judge.switches.checks and fault is None:
            journal.count(status, conversions)
            return
        journal.add(
            Received(
                at=self._judge.now(),
                method=scope["method"],
                path=scope["path"],
                pixel=pixel,
                auth=verdict.auth if verdict else None,
                judged=status if judged_ else None,
                status=status if answered else None,
                fault=str(fault.kind) if fault else None,
                conversions=conversions,
                why=verdict.why if verdict else None,
                body=body,
            )
        )

    def _note_analytics(
        self, request: XRequestReceived, verdict: XVerdict | None, fault: InjectedFault | None
    ) -> None:
        answered = verdict is not None and (fault is None or fault.kind not in UNANSWERED)
        self._judge.asked.add(
            at=self._judge.now(),
            method=request.method,
            path=request.path,
            query=request.query,
            answer=verdict.answer if verdict and answered else None,
            fault=str(fault.kind) if fault else None,
        )


def _request(scope: Scope, body: bytes) -> XRequestReceived:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", "")
    return XRequestReceived(
        method=scope["method"],
        # The path that the client signed: as it was sent, including percent signs.
        url=f"{scope['scheme']}://{host}{scope['raw_path'].decode('latin-1')}",
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
    )


def serve(
    *,
    host: str,
    port: int,
    switches: Switches,
    world: Mapping[str, object],
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM.

    `port` 0 selects a free one; `world` is added to the default world; `ready` is called with the
    address. Raises OSError if the address is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as listener:
        judge = Judge(
            switches=switches,
            clock=time.time,
            randomness=random.SystemRandom(),
            world=world,
        )
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            EmulatorApp(judge),
            http=OpenProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            # The emulator sets Date itself, and X does not use a forwarded scheme.
            date_header=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        _Server(config, lambda: ready(url)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A uvicorn server that reports when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()
