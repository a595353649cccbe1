"""uvicorn's HTTP protocol with deadlines and limits against slow or greedy clients.

uvicorn has no deadline for receiving a request and no limit on headers, and creates a timer for
each idle connection. Here, each connection stores the time at which it is to be closed, and a sweep
checks all connections twice a second. Each request therefore costs an assignment instead of a
timer.
"""

import re
from typing import Final, Never

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from twite.http.closing import NEVER, ClosingProtocol, Config
from twite.http.responses import EXTENSION, again, error

# The maximum number of bytes parsed at once, except within a body of known length. One read may
# contain thousands of requests, whose objects are many times as large.
_SLICE: Final = 1_024
_CHUNK_LINE: Final = 12  # of a chunk besides its data: up to 8 digits, and two line ends
_HEADERS_TOO_LARGE: Final = error(431, "headers_too_large")
_MALFORMED: Final = error(400, "http_malformed")
_TOO_MANY: Final = again(503, "too_many_connections")
_TOO_SLOW: Final = error(408, "too_slow")
_WRONG_HOST: Final = error(400, "host")
# A name, an IPv4 or a bracketed IPv6 address, and a port (RFC 3986, 3.2.2); it may be empty.
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[\w.~%!$&'()*+,;=-]*)(:[0-9]*)?")


class DeadlineProtocol(ClosingProtocol):
    """One connection. Progress is complete headers, body data, or a new request.

    `read_by` is the time by which the client must have read some of the pending output. `last` is
    whether the current request is the last one. Trailers are dropped: no route reads them, and they
    would be trusted like headers.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: object = None,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.crowd = config.closed_connections
        self.read_by = NEVER
        self.since = 0.0  # when it was opened, or last answered (loop time)
        self.extensions: dict[str, dict[object, object]] = {EXTENSION: {"connection": self}}
        self.last = False
        self.head_size = 0  # bytes of the parsed headers, names and values
        # The bytes received since the headers began: the parser buffers them without a limit.
        self.unfinished = 0
        self.body_bytes = 0
        self.beside = 0  # bytes of extensions and trailers in a chunked body
        self.discarded = 0

    # --- transport callbacks ---------------------------------------------------------------------

    def connection_made(self, transport: object) -> None:
        super().connection_made(transport)
        self.due = self.loop.time() + self.limits.headers_seconds
        self.since = self.loop.time()
        if self.crowd.is_stopping:
            self.end()
        elif len(self.connections) > self.limits.connections and not self._make_room():
            self.crowd.refused += 1
            self.write(_TOO_MANY)
            self.end()

    def data_received(self, data: bytes) -> None:
        """Parse input in slices; hold what follows a request that has to wait."""
        if self.held:
            self.held += data
            return
        at = 0
        while at < len(data) and not self.closing:
            if self.pipeline:
                self.hold(data[at:])
                return
            until = at + max(_SLICE, self._rest_of_body())
            if not self._parse(data[at:until]):
                return
            at = until

    def _parse(self, data: bytes) -> bool:
        """Parse a slice; return whether to continue parsing."""
        if self.in_headers:
            self.unfinished += len(data)
        body_of = self.cycle if self.in_body else None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self.closing:
                return self._parse_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self.closing:
                self.refuse(_MALFORMED)
            return False
        if self.closing:
            return False
        if self.in_headers and self.unfinished > self.limits.headers:
            self.refuse(_HEADERS_TOO_LARGE)
        elif self.in_body:
            if self.cycle is body_of:
                self._count_beside(len(data))
            self._wait_for_rest(len(data))
        return True

    def _parse_without_upgrade(self, rest: bytes) -> bool:
        """Parse the headers again, without `Upgrade`, and the rest of the slice.

        Clients offer another protocol, such as h2c, and send an HTTP/1.1 request in case that the
        server ignores the offer (RFC 9110, 7.8). The parser would skip its body.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version.encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn
        return self._parse(b"\r\n".join((*lines, b"", b""))) and (not rest or self._parse(rest))

    def pause_writing(self) -> None:
        self.read_by = self.loop.time() + self.limits.body_seconds
        super().pause_writing()

    def resume_writing(self) -> None:
        self.read_by = NEVER
        super().resume_writing()

    # --- parser callbacks ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.closing:
            return
        self.in_headers = True
        self.head_size = self.unfinished = 0
        self.due = self.loop.time() + self.limits.headers_seconds
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self.closing:
            return
        self.head_size += len(url)
        if self.head_size > self.limits.headers:
            self.refuse(_HEADERS_TOO_LARGE)
        else:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.closing or self.in_body:
            return
        self.head_size += len(name) + len(value) + 4
        if self.head_size > self.limits.headers:
            self.refuse(_HEADERS_TOO_LARGE)
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.closing:
            return
        if self.parser.get_method() == b"CONNECT":
            # The parser takes it for an upgrade, whatever its headers.
            self.refuse(_MALFORMED)
            return
        if self.parser.should_upgrade():
            return  # the headers will be parsed again, without the offer
        if not self._has_host():
            self.refuse(_WRONG_HOST)
            return
        self.in_headers = False
        self.in_body = True
        self.discarded = self.body_bytes = self.beside = 0
        self.due = self.loop.time() + self.limits.body_seconds
        self._begin_request()

    def _has_host(self) -> bool:
        """Return whether there is exactly one valid Host (RFC 9112, 3.2).

        HTTP/1.0 does without.
        """
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) == 1:
            return _HOST.fullmatch(hosts[0]) is not None
        return not hosts and self.parser.get_http_version() == "1.0"

    def _begin_request(self) -> None:
        super().on_headers_complete()
        # The application runs in the next turn of the loop and finds the connection here. The
        # request must not refer to itself, because it would then need garbage collection.
        self.scope["extensions"] = self.extensions

    def on_chunk_header(self) -> None:
        """Allow for the chunk's header line, which may be longer than its data."""
        self.beside -= _CHUNK_LINE

    def on_body(self, body: bytes) -> None:
        self.count_body(len(body))
        if not self.closing:
            super().on_body(body)

    def count_body(self, length: int) -> None:
        self.body_bytes += length
        self.beside -= length

    def on_message_complete(self) -> None:
        if self.closing or self.in_headers:
            return
        self.in_body = False
        if self.last:
            self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.due = self.loop.time() + self.limits.idle_seconds
        else:
            self.due = NEVER
        super().on_message_complete()

    # --- response callbacks ----------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.active = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.end()
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.response is not None:
            self.write(self.response)
            self.linger()
        elif self.in_body and (self.last or self.expect_100_continue):
            # Refused before the body or `100 Continue`: the client may or may not send the body.
            self.linger()
        elif not self.in_body and not self.in_headers:
            self.due = self.loop.time() + self.limits.idle_seconds
        if self.held and not self.pipeline:
            # Continue in the next turn of the loop, so that other connections are not delayed.
            self.loop.call_soon(self._go_on)
        elif not self.pipeline:
            self.flow.resume_reading()

    def _go_on(self) -> None:
        """Parse the held input, now that the earlier requests are answered."""
        held = self.release()
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.data_received(held)

    # --- closing ---------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Close the connection if it is overdue."""
        if now >= self.read_by:
            self.transport.abort()
            return
        if now < self.due:
            return
        if self.closing or self.transport.is_closing():
            # The connection is closing, but the client neither reads the rest nor disconnects.
            self.transport.abort()
        elif self.flow.read_paused:
            # Twite itself is not reading.
            self.due = now + self.limits.body_seconds
        elif self.in_headers or (self.in_body and not self.cycle.response_started):
            self.refuse(_TOO_SLOW)
        else:
            self.end()

    def _wait_for_rest(self, length: int) -> None:
        """Keep reading a body that arrives in pieces, even if the response was already sent."""
        if self.cycle.response_complete:
            self.discarded += length
            if self.discarded > self.limits.discarded:
                self.end()
        elif not self.cycle.keep_alive:
            # uvicorn would close, and thereby reset, the connection as soon as it has responded.
            self.cycle.keep_alive = self.last = True

    @property
    def is_idle(self) -> bool:
        """Whether no request is waiting for a response and no body is arriving."""
        return not (self.closing or self.in_body or self.is_answering)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; return whether there was one."""
        idle = [
            each
            for each in self.connections
            if isinstance(each, DeadlineProtocol) and each.is_idle and each is not self
        ]
        if not idle:
            return False
        self.crowd.closed += 1
        longest = min(idle, key=lambda connection: connection.since)
        # Immediately, because its descriptor is needed. A graceful close could take long.
        longest.closing = True
        longest.transport.abort()
        return True

    def _count_beside(self, length: int) -> None:
        """Limit a chunked body's bytes besides its data, because clients can send many of them."""
        # The unused allowance of a chunk is not carried over to the next chunk.
        self.beside = max(0, self.beside + length)
        if self.beside <= self.limits.headers:
            return
        if self.cycle.response_started:
            self.end()
        else:
            self.refuse(_HEADERS_TOO_LARGE)

    def _rest_of_body(self) -> int:
        """Return how many bytes of the body are still to come, 0 if unknown."""
        if not self.in_body:
            return 0
        lengths = (int(value) for name, value in self.headers if name == b"content-length")
        return next(lengths, 0) - self.body_bytes

    def _unset_keepalive_if_required(self) -> None:
        """Uvicorn's own timer is never set."""

    def timeout_keep_alive_handler(self) -> Never:
        """Uvicorn's own timer is never set."""
        raise NotImplementedError
