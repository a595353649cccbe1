"""uvicorn's protocol with an end to everything that a client may draw out.

uvicorn has no deadline for receiving a request, no limit on headers, and asks for a timer for each
idle connection. Here each connection holds one number, when it is due to be closed, and one sweep
for all of them twice a second looks at it: a request costs an assignment, not a timer.
"""

from typing import Final, Never

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from twite.collector.answers import Answer, again, error
from twite.collector.limits import Limits

_NEVER: Final = float("inf")


class Config(uvicorn.Config):
    """uvicorn's settings, and our limits."""

    limits: Limits = Limits()


class DeadlineProtocol(HttpToolsProtocol):
    """One connection.

    `due` is when it will be closed (loop time) unless something happens before: headers complete,
    the body arrives, the next request begins.
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
        self.closing = False
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
        elif self.in_body and self.cycle.response_complete:
            self._discard(len(data))

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

    def on_body(self, body: bytes) -> None:
        if not self.closing:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.closing:
            return
        self.in_body = False
        self.header_bytes = 0
        if self.cycle.response_complete:
            self.due = self.loop.time() + self.limits.idle_seconds
        else:
            self.due = _NEVER
        super().on_message_complete()

    # --- what the answer's cycle says ------------------------------------------------------------

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.end()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.in_body and self.expect_100_continue:
            # Refused before the client was told to go on: whether the body follows is its choice.
            self.end()
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
        self.closing = True
        self.due = self.loop.time() + self.limits.closing_seconds
        # To close while the client still sends would reset the connection, and the answer with it.
        self.transport.write_eof()
        self.flow.resume_reading()

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

    def _discard(self, length: int) -> None:
        self.discarded += length
        if self.discarded > self.limits.discarded:
            self.end()

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
