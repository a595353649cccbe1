"""uvicorn's protocol with an end to everything that a client may draw out.

uvicorn has no deadline for receiving a request, no limit on headers, and asks for a timer for each
idle connection. Here each connection holds one number, when it is due to be closed, and one sweep
for all of them twice a second looks at it: a request costs an assignment, not a timer.
"""

from typing import Final, Never

import httptools
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from twite.collector.answers import Answer, again, error
from twite.collector.limits import Limits
from twite.collector.whole import EXTENSION

_NEVER: Final = float("inf")


class Config(uvicorn.Config):
    """uvicorn's settings, and our limits."""

    limits: Limits = Limits()


class DeadlineProtocol(HttpToolsProtocol):
    """One connection.

    `active` is the request that runs or ran last, `cycle` the one that came last: they differ while
    requests are sent ahead. `due` is when it will be closed (loop time) unless something happens
    before: headers complete, the body arrives, the next request begins. `last` is that no request
    will follow this one.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: object = None,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state)
        self.limits = config.limits
        self.due = _NEVER
        self.in_headers = False
        self.in_body = False
        self.active: RequestResponseCycle | None = None
        self.extensions: dict[str, dict[object, object]] = {EXTENSION: {"connection": self}}
        self.closing = False
        self.last = False
        self.header_bytes = 0
        self.discarded = 0

    # --- what the transport says -----------------------------------------------------------------

    def connection_made(self, transport: object) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # asyncio types it too widely
        self.due = self.loop.time() + self.limits.headers_seconds
        if len(self.connections) > self.limits.connections:
            self._write(_TOO_MANY)
            self.end()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if self.in_headers:
            self.header_bytes += len(data)
        elif not self.in_body:
            self.header_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here: answer in this one, and end the connection, since
            # what follows may be in another.
            if self.cycle is not None:
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self.refuse(error(400, "http_malformed"))
            return
        if self.in_headers and self.header_bytes > self.limits.headers:
            self.refuse(_HEADERS_TOO_LARGE)
        elif self.in_body:
            self._wait_for_rest(len(data))

    def eof_received(self) -> bool | None:  # type: ignore[override] # uvicorn's always closes
        """A client may say no more and still wait for its answer; returns whether it does."""
        if self.closing or self.in_headers or self.in_body or not self._is_answering():
            return None
        self.cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the request that came last, which is not the one that runs when several
        # were sent ahead.
        if self.active is not None:
            self.active.disconnected = True
            self.active.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    # --- what the parser says --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.in_headers = True
        self.due = self.loop.time() + self.limits.headers_seconds
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.in_headers = False
        if self.closing:
            return
        # Only a large piece of input can hold headers that are too large and complete.
        if self.header_bytes > self.limits.headers and self._header_size() > self.limits.headers:
            self.refuse(_HEADERS_TOO_LARGE)
            return
        self.in_body = True
        self.discarded = 0
        self.due = self.loop.time() + self.limits.body_seconds
        super().on_headers_complete()
        # The application runs in the loop's next turn: it finds this there. A request that holds
        # itself would have to be collected as garbage, so what it holds is the connection.
        self.scope["extensions"] = self.extensions

    def on_body(self, body: bytes) -> None:
        if not self.closing:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.closing:
            return
        self.in_body = False
        self.header_bytes = 0
        if self.last:
            self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.due = self.loop.time() + self.limits.idle_seconds
        else:
            self.due = _NEVER
        super().on_message_complete()

    # --- what the answer's cycle says ------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.active = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.end()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.in_body and (self.last or self.expect_100_continue):
            # Refused before its body came; or before it was told to go on, and whether the body
            # follows is the client's choice then.
            self._linger()
        elif not self.in_body and not self.in_headers:
            self.due = self.loop.time() + self.limits.idle_seconds

    # --- ends ------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """End the connection if it is overdue."""
        if now < self.due:
            return
        if self.closing or self.transport.is_closing():
            # It was told to close, and the client neither reads what is left for it nor leaves.
            self.transport.abort()
        elif self.flow.read_paused:
            # It is us who do not read.
            self.due = now + self.limits.body_seconds
        elif self.in_headers or (self.in_body and not self.cycle.response_started):
            self.refuse(_TOO_SLOW)
        else:
            self.end()

    def refuse(self, answer: Answer) -> None:
        """Answer without the application, and close once the client has had time to read it."""
        self._write(answer)
        self._linger()

    def end(self) -> None:
        """Close when all is written, and for certain after a while."""
        self.closing = True
        self.due = self.loop.time() + self.limits.closing_seconds
        self.transport.close()

    def _write(self, answer: Answer) -> None:
        head = [STATUS_LINE[answer.status]]
        for name, value in (
            *answer.headers,
            (b"content-length", b"%d" % len(answer.body)),
            (b"connection", b"close"),
        ):
            head += (name, b": ", value, b"\r\n")
        self.transport.write(b"".join((*head, b"\r\n", answer.body)))

    def _linger(self) -> None:
        """Say no more, but listen until the client has left, or for a while.

        To close while the client still sends would reset the connection, and the answer with it.
        """
        self.closing = True
        self.due = self.loop.time() + self.limits.closing_seconds
        self.transport.write_eof()
        self.flow.resume_reading()

    def _wait_for_rest(self, length: int) -> None:
        """A body comes in pieces, and may have been answered already."""
        if self.cycle.response_complete:
            self.discarded += length
            if self.discarded > self.limits.discarded:
                self.end()
        elif not self.cycle.keep_alive:
            # uvicorn would close, and so reset, as soon as it has answered: we do it in our way.
            self.cycle.keep_alive = self.last = True

    def _is_answering(self) -> bool:
        return self.active is not None and not self.active.response_complete

    def _header_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _unset_keepalive_if_required(self) -> None:
        """Uvicorn's own timer is never set."""

    def timeout_keep_alive_handler(self) -> Never:
        """Uvicorn's own timer is never set."""
        raise NotImplementedError


_HEADERS_TOO_LARGE: Final = error(431, "headers_too_large")
_TOO_MANY: Final = again(503, "too_many_connections")
_TOO_SLOW: Final = error(408, "too_slow")
