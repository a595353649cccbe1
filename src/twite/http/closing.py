"""A connection that refuses input, in the order of requests, and closes after clients can read."""

from typing import Final

import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from twite.http.limits import ClosedConnections, HttpLimits
from twite.http.responses import HttpResponse

NEVER: Final = float("inf")


class Config(uvicorn.Config):
    """uvicorn's settings together with Twite's limits."""

    limits: HttpLimits = HttpLimits()
    closed_connections: ClosedConnections


class HoldingFlow(FlowControl):
    """uvicorn's flow control, except that nothing more is read while input is held."""

    holds = False

    def resume_reading(self) -> None:
        if not self.holds:
            super().resume_reading()


class ClosingProtocol(HttpToolsProtocol):
    """One connection, with the requests that wait on it.

    `active` is the request that is running or ran last, `cycle` the request that was received last:
    they differ if a client pipelines requests. `due` is the time (of the loop's clock) at which the
    connection is closed unless there is progress before. `held` is input that is not parsed yet,
    because earlier requests are not answered. `response` is the response to input that is not a
    request; it waits for the responses to earlier requests. While `closing`, nothing is parsed.
    """

    flow: HoldingFlow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: object = None,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state)
        self.limits = config.limits
        self.due = NEVER
        self.in_headers = False
        self.in_body = False
        self.active: RequestResponseCycle | None = None
        self.closing = False
        self.held = b""
        self.response: HttpResponse | None = None

    def connection_made(self, transport: object) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # asyncio types it too widely
        self.flow = HoldingFlow(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn notifies only the latest request: if the client pipelines, not the running one.
        if self.active is not None:
            _abandon(self.active)
        self.pipeline.clear()
        self.held = b""
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override] # uvicorn's always closes
        """Keep the connection open while a half-closed client waits for its response."""
        if self.response is None:
            if self.closing or self.in_headers or self.in_body or not self.is_answering:
                return None
            self.cycle.keep_alive = False
        return True

    @property
    def is_answering(self) -> bool:
        return self.active is not None and not self.active.response_complete

    def hold(self, data: bytes) -> None:
        """Keep input for later, and read nothing more until then."""
        self.held = data
        self.flow.pause_reading()
        self.flow.holds = True

    def release(self) -> bytes:
        """Return the held input, and allow reading."""
        held, self.held = self.held, b""
        self.flow.holds = False
        return held

    def refuse(self, response: HttpResponse) -> None:
        """Respond to the arriving request without the application, and close.

        Earlier requests get their responses first.
        """
        arriving = self.cycle if self.in_body else None
        # Unfinished headers are no longer needed, and may be large.
        if self.in_headers:
            self.headers.clear()
        self.in_headers = self.in_body = False
        if arriving is not None and arriving is self.active:
            if arriving.response_started:
                self.end()
                return
            _abandon(arriving)
        elif self.pipeline and self.pipeline[0][0] is arriving:
            self.pipeline.popleft()
        if self.is_answering and arriving is not self.active:
            self.response = response
            self.closing = True
            self.due = NEVER
            self.hold(b"")
        else:
            self.write(response)
            self.linger()

    def end(self) -> None:
        """Close the connection when everything is written, or at a deadline."""
        self.closing = True
        self.release()
        self.due = self.loop.time() + self.limits.closing_seconds
        self.transport.close()

    def linger(self) -> None:
        """Send nothing more, but read until the client disconnects or a deadline passes.

        Closing while the client still sends would reset the connection and lose the response.
        """
        self.closing = True
        self.release()
        self.due = self.loop.time() + self.limits.closing_seconds
        self.transport.write_eof()
        self.flow.resume_reading()

    def write(self, response: HttpResponse) -> None:
        """Send a response without a request."""
        head = [STATUS_LINE[response.status]]
        for name, value in (
            *self.server_state.default_headers,
            *response.headers,
            (b"content-length", b"%d" % len(response.body)),
            (b"connection", b"close"),
        ):
            head += (name, b": ", value, b"\r\n")
        self.transport.write(b"".join((*head, b"\r\n", response.body)))


def _abandon(request: RequestResponseCycle) -> None:
    """Send no response to the request, and tell the application."""
    request.disconnected = True
    request.message_event.set()
