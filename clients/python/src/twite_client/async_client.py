"""The asynchronous client. It needs aiohttp: `pip install 'twite-client[async]'`."""

import asyncio
from collections.abc import Sequence
from typing import Self

import aiohttp

from twite_client.errors import ConversionRejectedError, TwiteError
from twite_client.request import Request, Settings, request_of, requests_of
from twite_client.types import Conversion, Receipt


class AsyncTwite:
    """Sends conversions to a gateway from one event loop; otherwise as `Twite`.

    Use it with `async with`, or call `close`.
    """

    def __init__(self, url: str, key: str, *, timeout: float = 10.0, attempts: int = 5) -> None:
        self._settings = Settings(url, key, timeout, attempts).checked()
        self._session: aiohttp.ClientSession | None = None

    async def send(self, conversion: Conversion, *, idempotency_key: str | None = None) -> Receipt:
        """Send a conversion, as `Twite.send`."""
        receipt = await self._receipt(request_of(self._settings, conversion, idempotency_key))
        if receipt.rejected:
            raise ConversionRejectedError(receipt)
        return receipt

    async def send_many(
        self, conversions: Sequence[Conversion], *, idempotency_key: str | None = None
    ) -> Receipt:
        """Send conversions, as `Twite.send_many`."""
        receipt = Receipt()
        for first, request in requests_of(self._settings, conversions, idempotency_key):
            try:
                receipt = receipt.joined(await self._receipt(request), first)
            except TwiteError as error:
                error.receipt, error.sent = receipt, first
                raise
        return receipt

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _receipt(self, request: Request) -> Receipt:
        # A session belongs to the event loop that makes it.
        self._session = self._session or aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout)
        )
        while True:
            try:
                async with self._session.post(
                    request.url,
                    data=request.body,
                    headers=request.headers,
                    allow_redirects=False,
                ) as response:
                    body = await response.read()
                    result = request.answered(response.status, response.headers, body)
            except (aiohttp.ClientError, TimeoutError) as error:
                result = request.failed(type(error).__name__)
            if isinstance(result, Receipt):
                return result
            await asyncio.sleep(result)
