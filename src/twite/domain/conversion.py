"""Conversion: one action of a person, with its identifiers, amounts and deduplication key."""

import base64
import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from twite.domain.fault import Fault, fault
from twite.domain.secret import Masked
from twite.domain.times import DAY, HOUR

MAX_DIGITS: Final = 18
# The currencies of ISO 4217 in use, except funds, metals and XXX.
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
_WHOLE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THOUSANDTHS: Final = "BHD IQD JOD KWD LYD OMR TND"
# The number of decimals by ISO 4217, where it is not 2.
DECIMALS: Final[Mapping[str, int]] = {
    **dict.fromkeys(_WHOLE.split(), 0),
    **dict.fromkeys(_THOUSANDTHS.split(), 3),
}

_TIDY: Final = re.compile(r"(?:0|[1-9][0-9]{0,17})\.[0-9]{2}", re.ASCII)
_PLAIN: Final = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,18}))?", re.ASCII)
_LONG: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_EXPONENT: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?[eE][+-]?([0-9]+)", re.ASCII)
# Amounts and codes that a message may quote: they are too short to be a phone number.
_HARMLESS_AMOUNT: Final = re.compile(r"-?[0-9.,']{1,10}", re.ASCII)
_HARMLESS_CODE: Final = re.compile(r"[A-Za-z0-9]{1,6}", re.ASCII)
# X drops a copy within 48 hours [doc WEB], and Twite may resend a conversion 40 hours later, so
# keys are kept longer.
LEAST_WINDOW: Final = 48 * HOUR
DEFAULT_WINDOW: Final = 7 * DAY


class Identifiers(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The identifiers of one conversion, in the form that X expects. Its repr is masked.

    `email` and `phone` are SHA-256 digests, 64 lower-case hexadecimal digits; the others are raw.
    """

    click_id: str | None = None
    email: str | None = None
    phone: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    browser_id: str | None = None  # the `_twpid` cookie

    @property
    def suffice(self) -> bool:
        """Whether X accepts the identifiers.

        [doc WEB] A click id, email or phone is enough; IP address and user agent only together.
        """
        return bool(self.click_id or self.email or self.phone or (self.ip and self.user_agent))

    def __repr__(self) -> str:
        kinds = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        return f"Identifiers({', '.join(f'{kind}=***' for kind in kinds)})"


class Content(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One item of an order. `price` is a decimal string in the conversion's currency."""

    id: str | None = None
    name: str | None = None
    price: str | None = None
    quantity: int | None = None
    group: str | None = None
    type: str | None = None


class Conversion(Masked, frozen=True, kw_only=True, omit_defaults=True):
    """A canonical, hashed, complete conversion: everything that may be sent to X.

    `event` is X's event id in base 36, or an event name that begins with `gtm_`; `time` is in
    milliseconds since the epoch; `value` is a decimal string and needs a currency. Ids are derived
    from its JSON, which omits None: a new field must not change them.
    """

    in_repr = ("pixel", "event", "conversion_id", "identifiers")
    pixel: str
    event: str
    conversion_id: str
    time: int
    identifiers: Identifiers
    value: str | None = None
    currency: str | None = None
    quantity: int | None = None
    description: str | None = None
    search: str | None = None
    url: str | None = None
    contents: tuple[Content, ...] = ()
    restricted_data_use: str | None = None


def shown_amount(value: str, currency: str) -> str:
    """Return an amount with its currency's decimals, or more if it has more digits."""
    whole, _, decimals = value.partition(".")
    digits = decimals.rstrip("0").ljust(DECIMALS.get(currency, 2), "0")
    return f"{whole}.{digits}" if digits else whole


def dedup_key(pixel: str, event: str, conversion_id: str) -> bytes:
    """Return the dedup key, a hash of 16 bytes. The arguments must not contain NUL."""
    return hashlib.blake2b(f"{pixel}\0{event}\0{conversion_id}".encode(), digest_size=16).digest()


def derived_id(*, salt: bytes, scope: str, repeated: bytes) -> str:
    """Return a conversion id of 26 lower-case base 32 characters, the same for each retry.

    `scope` names the rule, pixel and event; `repeated` is the data that a retry repeats. The
    deployment's salt makes the id unguessable.
    """
    digest = hashlib.sha256(b"v1\0" + salt + b"\0" + scope.encode() + b"\0" + repeated).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:26]


def amount(text: str, *, path: str) -> str | Fault:
    """Convert an amount to a decimal string with at least two decimals: `20` → `20.00`.

    X rejects a bare whole number for a double [seen RS #4075, ST], and uses the string `"20.00"` in
    its sample [doc WEB]. A comma is a fault: it may separate thousands or decimals.
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
    """Read a currency code, and return it in upper case."""
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
            f"{shown} is not an amount: write it without separators, like 1234.50",
        )
    return fault(path, "not_an_amount", f"{shown} is not an amount: write it like 49.90")
