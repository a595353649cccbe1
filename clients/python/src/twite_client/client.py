"""The synchronous client."""

import os
import time
from collections.abc import Sequence
from typing import Self

import urllib3

from twite_client.errors import ConversionRejectedError, TwiteError
from twite_client.request import Request, Settings, request_of, requests_of
from twite_client.types import Conversion, Receipt


class Twite:
    """Sends conversions to a gateway. Threads may share a client.

    `url` is the gateway's address, `key` a source key. An attempt ends after `timeout` seconds.
    After a timeout, a lost connection, 408, 429, 500 and 502 to 504 the same request follows, up to
    `attempts` in all, after the time in `Retry-After` or an increasing time.
    """

    def __init__(self, url: str, key: str, *, timeout: float = 10.0, attempts: int = 5) -> None:
        self._settings = Settings(url, key, timeout, attempts).checked()
        self._connect()

    def _connect(self) -> None:
        self._pool = urllib3.PoolManager(retries=False, maxsize=10)
        self._pid = os.getpid()

    def send(self, conversion: Conversion, *, idempotency_key: str | None = None) -> Receipt:
        """Send a conversion; return once it is on the gateway's disk.

        A duplicate or suppressed conversion is not an error. Raises ConversionRejectedError,
        RequestRefusedError, GatewayUnavailableError; TypeError and ValueError for a value that
        cannot be sent.
        """
        receipt = self._receipt(request_of(self._settings, conversion, idempotency_key))
        if receipt.rejected:
            raise ConversionRejectedError(receipt)
        return receipt

    def send_many(
        self, conversions: Sequence[Conversion], *, idempotency_key: str | None = None
    ) -> Receipt:
        """Send conversions, 1,000 a request. Rejected ones are in the receipt.

        Raises RequestRefusedError and GatewayUnavailableError, with the receipt of the requests
        before; TypeError and ValueError for a value that cannot be sent.
        """
        receipt = Receipt()
        for first, request in requests_of(self._settings, conversions, idempotency_key):
            try:
                receipt = receipt.joined(self._receipt(request), first)
            except TwiteError as error:
                error.receipt, error.sent = receipt, first
                raise
        return receipt

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _receipt(self, request: Request) -> Receipt:
        if self._pid != os.getpid():
            # After a fork, both processes would read from the same connections.
            self._connect()
        while True:
            try:
                response = self._pool.request(
                    "POST",
                    request.url,
                    body=request.body,
                    headers=request.headers,
                    timeout=self._settings.timeout,
                    redirect=False,
                )
                result = request.answered(response.status, response.headers, response.data)
            except urllib3.exceptions.HTTPError as error:
                result = request.failed(type(error).__name__)
            if isinstance(result, Receipt):
                return result
            time.sleep(result)
