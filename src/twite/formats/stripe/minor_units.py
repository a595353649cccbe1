"""Stripe's minor units. They differ from ISO 4217, so `DECIMALS` in the domain does not apply.

Stripe treats UGX as a currency with two decimals, "an exception" [seen WCS], and ISK [guess]; HUF
and TWD have two decimals in charges [guess], and MGA has none [seen WCS]. Some public lists have
UGX without decimals [conflict]; Stripe's own plugin for WooCommerce decides.
"""

from typing import Final

_WHOLE: Final = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THOUSANDTHS: Final = "BHD JOD KWD OMR TND"
_DECIMALS: Final = dict.fromkeys(_WHOLE.split(), 0) | dict.fromkeys(_THOUSANDTHS.split(), 3)


def in_major_units(amount: int, currency: str) -> str:
    """Return an amount in minor units as an exact decimal string: 4990, "eur" → `49.90`."""
    decimals = _DECIMALS.get(currency.strip().upper(), 2)
    if not decimals:
        return str(amount)
    whole, rest = divmod(abs(amount), 10**decimals)
    return f"{'-' * (amount < 0)}{whole}.{rest:0{decimals}}"
