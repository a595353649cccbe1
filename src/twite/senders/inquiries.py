"""HTTP client for X's other endpoints (Ads API, OAuth): no retries, no redirects."""

from typing import Final

import aiohttp
from yarl import URL

from twite.gateway.ports.transport import NoResponse, Response
from twite.x.inquiry import Inquiry

# A list of a thousand events with embed codes is well below it.
_LONGEST_ANSWER: Final = 8 << 20


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
                body = await _read(came)
                headers = {name.lower(): text for name, text in came.headers.items()}
                return Response(
                    status=came.status,
                    headers=headers,
                    body=body[:_LONGEST_ANSWER],
                    whole=len(body) <= _LONGEST_ANSWER,
                )
        except aiohttp.ClientConnectorError as failure:
            return NoResponse(reason=f"no connection: {type(failure).__name__}", left=False)
        except TimeoutError:
            return NoResponse(reason="no answer in time", left=True)
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            return NoResponse(reason=f"connection lost: {type(failure).__name__}", left=True)


async def _read(came: aiohttp.ClientResponse) -> bytes:
    """Return the body, up to slightly more than the limit."""
    held = bytearray()
    async for chunk in came.content.iter_any():
        held += chunk
        if len(held) > _LONGEST_ANSWER:
            came.close()
            break
    return bytes(held)
