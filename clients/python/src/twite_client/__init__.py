"""Sends conversions to a Twite gateway.

twite = Twite("https://t.shop.example", os.environ["TWITE_KEY"])
twite.send({"event": "purchase", "conversion_id": "order-1001", "value": "49.90",
"currency": "EUR", "email": "shopper@shop.example"})
"""

from typing import TYPE_CHECKING

from twite_client.buffer import Buffer
from twite_client.client import Twite
from twite_client.errors import (
    BufferFullError,
    ConversionRejectedError,
    GatewayUnavailableError,
    RequestRefusedError,
    TwiteError,
    WrongKeyError,
)
from twite_client.types import Content, Conversion, Fault, Receipt

if TYPE_CHECKING:
    from twite_client.async_client import AsyncTwite

__all__ = [
    "AsyncTwite",
    "Buffer",
    "BufferFullError",
    "Content",
    "Conversion",
    "ConversionRejectedError",
    "Fault",
    "GatewayUnavailableError",
    "Receipt",
    "RequestRefusedError",
    "Twite",
    "TwiteError",
    "WrongKeyError",
]


def __getattr__(name: str) -> object:
    # Only the asynchronous client needs aiohttp.
    if name == "AsyncTwite":
        from twite_client.async_client import AsyncTwite  # noqa: PLC0415

        return AsyncTwite
    raise AttributeError(f"module 'twite_client' has no attribute {name!r}")
