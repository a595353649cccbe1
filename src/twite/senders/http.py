"""HTTP client for X's Conversion API: no retries, no redirects."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Final

import aiohttp

from twite.domain.times import LATE_TIMER, READING_TIME
from twite.gateway.ports.ownership import LEASE_IS_OVER
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response

# Far larger than any of X's responses. A larger response is not from X.
_LONGEST_ANSWER: Final = 1024 * 1024


class LeaseIsOver(Exception):
    """The lease ended before the first byte was sent, so the request must not be sent."""


class Leaving:
    """Records whether the first byte of a request is about to be sent, or was sent.

    If a request fails earlier (DNS, refused, TLS, connection timeout), nothing has arrived. Pass
    the object as `trace_request_ctx`. Raises LeaseIsOver if the request may no longer be sent.
    """

    def __init__(self, may_send: Callable[[], bool]) -> None:
        self._may_send = may_send
        self._has_body = False
        self.began = False
        self.is_lease_over = False

    def begin(self) -> None:
        self._has_body = False
        self.began = self._may_send()
        if not self.began:
            self.is_lease_over = True
            raise LeaseIsOver

    def begin_body(self) -> None:
        """Check again: aiohttp sends headers and body together, in a later turn of the loop."""
        if not self._has_body:
            self.begin()
            self._has_body = True


def watching_what_leaves() -> aiohttp.TraceConfig:
    """Return the trace configuration that updates each request's Leaving."""

    async def begins(
        _: aiohttp.ClientSession,
        monitoring: SimpleNamespace,
        __: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        monitoring.trace_request_ctx.begin()

    async def begins_body(
        _: aiohttp.ClientSession,
        monitoring: SimpleNamespace,
        __: aiohttp.TraceRequestChunkSentParams,
    ) -> None:
        monitoring.trace_request_ctx.begin_body()

    watch = aiohttp.TraceConfig()
    watch.on_request_headers_sent.append(begins)
    watch.on_request_chunk_sent.append(begins_body)
    return watch


async def read_into(body: bytearray, response: aiohttp.ClientResponse, *, most: int) -> bool:
    """Read a response up to a limit; return whether it is complete. Raises aiohttp's errors."""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            response.close()
            del body[most:]
            return False
    return True


def response_of(response: aiohttp.ClientResponse, body: bytearray, *, whole: bool) -> Response:
    """Return aiohttp's response in the form of the port, with header names in lower case."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, text in response.headers.items():
        lower = name.lower()
        if lower == "set-cookie":
            cookies.append(text)
        else:
            headers[lower] = f"{headers[lower]}, {text}" if lower in headers else text
    return Response(
        status=response.status,
        headers=headers,
        cookies=tuple(cookies),
        body=bytes(body),
        whole=whole,
    )


@asynccontextmanager
async def response_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError after this time, but first read what has arrived."""
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds

    def decide() -> None:
        now = loop.time()
        stood_still = now - due > LATE_TIMER / 1_000
        timeout.reschedule(now + (READING_TIME / 1_000 if stood_still else 0))

    async with asyncio.timeout(None) as timeout:
        timer = loop.call_at(due, decide)
        try:
            yield
        finally:
            timer.cancel()


_FAILURES: Final = (
    LeaseIsOver,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
    ValueError,
)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class HttpTransport:
    """Posts signed requests.

    `timeout` in milliseconds covers one whole request. `connections` limits the open connections; 0
    is no limit. Each pixel's sender has its own limit: if they shared one, hanging requests of one
    pixel would block those of others.
    """

    timeout: int
    connections: int = 0
    tls: ssl.SSLContext | None = None
    _timeout: aiohttp.ClientTimeout = field(init=False)
    _session: aiohttp.ClientSession | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(10.0, self.timeout / 1_000)
        )

    async def start(self) -> None:
        """Open the pool. Call it in the loop that will send."""
        connector = aiohttp.TCPConnector(
            limit=self.connections, ssl=self.tls if self.tls is not None else True
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            auto_decompress=True,
            # A cookie from X must not be sent for another pixel.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "twite"},
            trace_configs=[watching_what_leaves()],
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """Send a request. A failure reports whether X may have received the whole request."""
        if self._session is None:
            raise RuntimeError("start the transport before sending")
        leaving = Leaving(outbound.may_send)
        response: aiohttp.ClientResponse | None = None
        body = bytearray()
        try:
            async with (
                response_timeout(self.timeout / 1_000),
                self._session.post(
                    outbound.url,
                    data=outbound.body,
                    headers=outbound.headers,
                    allow_redirects=False,
                    trace_request_ctx=leaving,
                ) as response,
            ):
                whole = await read_into(body, response, most=_LONGEST_ANSWER)
                return response_of(response, body, whole=whole)
        except _FAILURES as error:
            if leaving.is_lease_over:
                return NoResponse(reason=LEASE_IS_OVER, left=False)
            if response is not None:
                # A truncated response still proves that X received the request.
                return response_of(response, body, whole=False)
            return no_answer(error, left=leaving.began)


def no_answer(error: Exception, *, left: bool) -> NoResponse:
    if not left:
        return NoResponse(reason=f"no connection: {type(error).__name__}", left=False)
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
        return NoResponse(reason="no answer in time", left=True, is_late=True)
    return NoResponse(reason=f"connection lost: {type(error).__name__}", left=True)
