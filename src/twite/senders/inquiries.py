"""HTTP client for X's endpoints other than the Conversion API: no retries, no redirects.

aiohttp is imported for the first inquiry, so that it does not delay the start.
"""

import asyncio
from importlib import import_module

from twite.gateway.ports.transport import NoResponse, Response
from twite.x.analytics import LONGEST_FILE
from twite.x.inquiry import Inquiry


class HttpInquiries:
    """Sends inquiries. `timeout` in milliseconds covers one whole request."""

    def __init__(self, *, timeout: int) -> None:
        self._timeout = timeout

    async def ask(self, inquiry: Inquiry) -> Response | NoResponse:
        """Send on a new connection, because inquiries are rare."""
        await asyncio.to_thread(import_module, "twite.senders.http")
        import aiohttp  # noqa: PLC0415  # imported by now
        from yarl import URL  # noqa: PLC0415

        from twite.senders.http import no_answer, read_into, response_of  # noqa: PLC0415

        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=self._timeout / 1_000),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": "twite"},
                ) as http,
                http.request(
                    inquiry.method,
                    # Exactly the URL that was signed.
                    URL(inquiry.url, encoded=True),
                    headers=inquiry.headers,
                    data=inquiry.body or None,
                    allow_redirects=False,
                ) as came,
            ):
                body = bytearray()
                # A job's file is the longest answer. The HTTP client may decompress it.
                whole = await read_into(body, came, most=LONGEST_FILE)
                return response_of(came, body, whole=whole)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failure:
            return no_answer(failure, left=not isinstance(failure, aiohttp.ClientConnectorError))
