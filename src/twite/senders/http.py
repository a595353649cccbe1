"""HTTP clients for X's Conversion API and X's other endpoints: no retries, no redirects."""

import asyncio
import ssl
from types import SimpleNamespace
from typing import Final

import aiohttp
from yarl import URL

from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response
from twite.x.inquiry import Inquiry


class Leaving:
    """Whether the first byte of one request is about to be sent, or was sent.

    An earlier failure (DNS, refused, TLS, connection timeout) means that nothing arrived. Pass it
    as `trace_request_ctx`.
    """

    def __init__(self) -> None:
        self.began = False


def watching_what_leaves() -> aiohttp.TraceConfig:
    """Return the trace configuration that updates each request's Leaving."""

    async def begins(
        _: aiohttp.ClientSession,
        monitoring: SimpleNamespace,
        __: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        monitoring.trace_request_ctx.began = True

    watch = aiohttp.TraceConfig()
    watch.on_request_headers_sent.append(begins)
    return watch


# Far beyond any response of X's; a longer one is not X's.
_LONGEST_ANSWER: Final = 1024 * 1024


class HttpTransport:
    """Posts signed requests. `timeout` in milliseconds is for the whole of one request."""

    def __init__(
        self, *, timeout: int, connections: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """`connections` is the limit of open connections; 0 is no limit.

        Each pixel's sender has a limit of its own. With a common limit, requests of a pixel to
        which X does not respond would block the other pixels' requests until they time out.
        """
        self._timeout = aiohttp.ClientTimeout(
            total=timeout / 1_000, sock_connect=min(10.0, timeout / 1_000)
        )
        self._connections = connections
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool. Call it in the loop that will send."""
        connector = aiohttp.TCPConnector(
            limit=self._connections, ssl=self._tls if self._tls is not None else True
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            auto_decompress=True,
            # A cookie from X must not travel between pixels.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "twite"},
            trace_configs=[watching_what_leaves()],
        )

    async def stop(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """Send a request. Failures are told apart by whether X may have received all of it."""
        if self._session is None:
            raise RuntimeError("start the transport before sending")
        leaving = Leaving()
        try:
            async with self._session.post(
                outbound.url,
                data=outbound.body,
                headers=outbound.headers,
                allow_redirects=False,
                trace_request_ctx=leaving,
            ) as response:
                headers = {name.lower(): text for name, text in response.headers.items()}
                body, whole = await _read(response)
                return Response(status=response.status, headers=headers, body=body, whole=whole)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return _no_answer(error, left=leaving.began)


def _no_answer(error: Exception, *, left: bool) -> NoResponse:
    if not left:
        return NoResponse(reason=f"no connection: {type(error).__name__}", left=False)
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
        return NoResponse(reason="no answer in time", left=True)
    return NoResponse(reason=f"connection lost: {type(error).__name__}", left=True)


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """Return the body, and whether it is complete. A truncated response is still a response."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > _LONGEST_ANSWER:
                response.close()
                return b"".join(chunks)[:_LONGEST_ANSWER], False
    except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError):
        return b"".join(chunks), False
    return b"".join(chunks), True


# A list of a thousand events with embed codes is well below it.
_LONGEST_INQUIRY: Final = 8 << 20


class HttpInquiries:
    """Sends inquiries. `timeout` in milliseconds is for the whole of one request."""

    def __init__(self, *, timeout: int) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout / 1_000)

    async def ask(self, inquiry: Inquiry) -> Response | NoResponse:
        """Send on a connection of its own: inquiries are rare."""
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=self._timeout,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": "twite"},
                ) as http,
                http.request(
                    inquiry.method,
                    # Exactly as it was signed.
                    URL(inquiry.url, encoded=True),
                    headers=inquiry.headers,
                    data=inquiry.body or None,
                    allow_redirects=False,
                ) as came,
            ):
                body = await _read_inquiry(came)
                headers = {name.lower(): text for name, text in came.headers.items()}
                return Response(
                    status=came.status,
                    headers=headers,
                    body=body[:_LONGEST_INQUIRY],
                    whole=len(body) <= _LONGEST_INQUIRY,
                )
        except aiohttp.ClientConnectorError as failure:
            return NoResponse(reason=f"no connection: {type(failure).__name__}", left=False)
        except TimeoutError:
            return NoResponse(reason="no answer in time", left=True)
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            return NoResponse(reason=f"connection lost: {type(failure).__name__}", left=True)


async def _read_inquiry(came: aiohttp.ClientResponse) -> bytes:
    """Return the body, up to slightly more than the limit."""
    held = bytearray()
    async for chunk in came.content.iter_any():
        held += chunk
        if len(held) > _LONGEST_INQUIRY:
            came.close()
            break
    return bytes(held)
