"""Money: amounts as decimal strings, never floats, and ISO 4217 currencies."""

import re
from decimal import Decimal
from typing import Final

from twite.domain.fault import Fault, fault

MAX_DIGITS: Final = 18

# ISO 4217, the codes of money in use; funds, metals and XXX ("no currency") are not prices.
_CODES: Final = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP
    BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
    GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS
    KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR
    MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF
    SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD
    TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL
"""
CURRENCIES: Final = frozenset(_CODES.split())

_TIDY: Final = re.compile(r"(?:0|[1-9][0-9]{0,17})\.[0-9]{2}", re.ASCII)
_PLAIN: Final = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,18}))?", re.ASCII)
_LONG: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_EXPONENT: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?[eE][+-]?([0-9]+)", re.ASCII)
# What may be quoted back: too short for a phone number, and no address or word.
_HARMLESS_AMOUNT: Final = re.compile(r"-?[0-9.,']{1,10}", re.ASCII)
_HARMLESS_CODE: Final = re.compile(r"[A-Za-z0-9]{1,6}", re.ASCII)


def amount(text: str, *, path: str) -> str | Fault:
    """Read an amount into a decimal string with at least two decimals: `20` → `20.00`.

    X rejects a bare whole number where it wants a double [seen RS #4075, ST], and takes the string
    `"20.00"` in its own sample [doc WEB]. Thousands separators and decimal commas are faults: which
    of the two a comma means cannot be known.
    """
    if _TIDY.fullmatch(text):
        return text
    plain = _PLAIN.fullmatch(text.strip())
    if plain is None:
        return _unusual(text.strip(), path=path)
    sign, whole, decimals = plain.groups()
    if sign and (whole.strip("0") or (decimals and decimals.strip("0"))):
        return fault(path, "amount_negative")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{(decimals or '').rstrip('0').ljust(2, '0')}"


def currency(text: str, *, path: str) -> str | Fault:
    """Read a currency code, in any case, into an upper-case one of ISO 4217."""
    if text in CURRENCIES:
        return text
    code = text.strip().upper()
    if code in CURRENCIES:
        return code
    shown = f'"{code}"' if _HARMLESS_CODE.fullmatch(code) else "this"
    return fault(path, "currency_unknown", f"{shown} is not a currency code of ISO 4217")


def _unusual(text: str, *, path: str) -> str | Fault:
    power = _EXPONENT.fullmatch(text)
    if power is not None and len(text) <= 2 * MAX_DIGITS and len(power.group(1)) <= 3:
        plain = format(Decimal(text), "f")
        if len(plain) <= 2 * MAX_DIGITS:
            return amount(plain, path=path)
    if power is not None or _LONG.fullmatch(text):
        return fault(path, "amount_too_large")
    shown = f'"{text}"' if _HARMLESS_AMOUNT.fullmatch(text) else "this"
    if "," in text:
        return fault(
            path,
            "not_an_amount",
            f"{shown} is not an amount: write it without separators, as in 1234.50",
        )
    return fault(path, "not_an_amount", f"{shown} is not an amount as in 49.90")
