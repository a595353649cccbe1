"""The amount of a conversion, read from its body for X."""

from typing import Final

import msgspec


class ConversionValue(msgspec.Struct, frozen=True):
    """An amount and its currency, as X receives them; None if the body has none, or is pruned."""

    value: str | None = None
    price_currency: str | None = None


_DECODER: Final = msgspec.json.Decoder(ConversionValue)


def value_of(body: bytes) -> ConversionValue:
    """Return the amount of a body. A body that is no JSON, such as a sealed one, has none."""
    try:
        return _DECODER.decode(body) if body else ConversionValue()
    except msgspec.DecodeError:
        return ConversionValue()
