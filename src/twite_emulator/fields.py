"""Field types of a conversion, checked on the raw JSON type of their value."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

import msgspec

from twite_emulator import spec
from twite_emulator.exchange import (
    MISSING_PARAMETER,
    NOT_A_CURRENCY,
    NOT_AN_ADDRESS,
    NOT_AN_ARRAY,
    NOT_ONE_OF,
    NOT_POSITIVE,
    REQUIRED,
    UNKNOWN_FIELD,
    Problem,
)
from twite_emulator.switches import Switches

# ISO 4217 codes in use, without funds and metals (list one of the maintenance agency, 2026).
_TEXT: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP
BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP
GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES
KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND
TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR
ZMW ZWG
"""
CURRENCIES: Final = frozenset(_TEXT.split())
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The general page of the Ads API accepts Z, ±HHMM, ±HH:MM and ±HH. [doc FUND timezones]
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
)
_STRICT_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"
)
_DOUBLE: Final = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_THREE_CAPITALS: Final = re.compile(r"[A-Z]{3}")
# X's own entry has an empty parameter. [doc WEB]
_NONE_GIVEN: Final = Problem(spec.INVALID_PARAMETER, spec.NO_IDENTIFIER, "")
_HASHED: Final = ("hashed_email", "hashed_phone_number")
_LOWER_HEX: Final = re.compile(r"[0-9a-f]{64}")
_ANY_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


def invalid(message: str, parameter: str, value: object = "", **more: object) -> Problem:
    """An INVALID_PARAMETER; `value` and `parameter` fill the message."""
    text = message.format(parameter=parameter, value=shown(value), **more)
    return Problem(spec.INVALID_PARAMETER, text, parameter)


def missing(parameter: str) -> Problem:
    text = REQUIRED.format(parameter=parameter)
    return Problem(MISSING_PARAMETER, text, parameter)


def shown(value: object) -> str:
    """A JSON value as X's messages echo it: text unchanged, other values as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def text_problems(parameter: str, value: object, _switches: Switches) -> list[Problem]:
    if isinstance(value, str):
        return []
    return [invalid(spec.WRONG_TYPE, parameter, value, type="String")]


def double_problems(parameter: str, value: object, switches: Switches) -> list[Problem]:
    """Check a double: a JSON number with a decimal point, or a decimal text.

    A JSON integer is refused while `strict_double` is on.
    """
    if isinstance(value, float):
        return []
    if isinstance(value, int) and not isinstance(value, bool) and not switches.strict_double:
        return []
    if isinstance(value, str) and _DOUBLE.fullmatch(value):
        return []
    return [invalid(spec.WRONG_TYPE, parameter, value, type="Double")]


def count_problems(parameter: str, value: object, _switches: Switches) -> list[Problem]:
    """Check a whole number above 0, given as a JSON integer or text. [doc WEB]"""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return [invalid(spec.WRONG_TYPE, parameter, value, type="Long")]
    return [] if value > 0 else [invalid(NOT_POSITIVE, parameter, value)]


def currency_problems(parameter: str, value: object, switches: Switches) -> list[Problem]:
    if not isinstance(value, str):
        return [invalid(spec.WRONG_TYPE, parameter, value, type="String")]
    if switches.currency_check == "off" or value in CURRENCIES:
        return []
    if switches.currency_check == "shape" and _THREE_CAPITALS.fullmatch(value):
        return []
    return [invalid(NOT_A_CURRENCY, parameter, value)]


def data_use_problems(parameter: str, value: object, _switches: Switches) -> list[Problem]:
    if value in spec.RESTRICTED_DATA_USE:
        return []
    choices = ", ".join(spec.RESTRICTED_DATA_USE)
    return [invalid(NOT_ONE_OF, parameter, value, choices=choices)]


def time_of(parameter: str, value: object, switches: Switches) -> float | Problem:
    """Return the epoch seconds of an ISO 8601 time with a zone, or its problem."""
    pattern = _STRICT_TIME if switches.strict_time else _TIME
    if isinstance(value, str) and pattern.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return (moment - _EPOCH).total_seconds()
    return invalid(spec.NOT_A_TIME, parameter, value)


def milliseconds_of(parameter: str, value: object, _switches: Switches) -> float | Problem:
    if isinstance(value, int) and not isinstance(value, bool):
        return value / 1000
    return invalid(spec.WRONG_TYPE, parameter, value, type="Long")


def identifier_problems(elements: object, switches: Switches) -> list[Problem]:
    """Return the problems of `identifiers`; an empty text counts as absent. [doc WEB]"""
    if not isinstance(elements, list):
        if elements is None:
            return [_NONE_GIVEN]
        return [invalid(NOT_AN_ARRAY, "identifiers", elements)]
    problems: list[Problem] = []
    given: list[dict[str, str]] = []
    for element in elements:
        if isinstance(element, dict):
            found, wrong = _read(element, switches)
            given.append(found)
            problems += wrong
        else:
            problems.append(invalid(spec.WRONG_TYPE, "identifiers", element, type="Object"))
    if not _suffices(given, switches):
        problems.append(_NONE_GIVEN)
    return problems


def _read(
    element: Mapping[str, object], switches: Switches
) -> tuple[dict[str, str], list[Problem]]:
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for name, value in element.items():
        if name not in spec.IDENTIFIER_FIELDS:
            if switches.unknown_fields == "reject":
                problems.append(invalid(UNKNOWN_FIELD, name))
            continue
        if value is None:
            continue
        if not isinstance(value, str):
            problems += text_problems(name, value, switches)
            continue
        if not value.strip():
            continue
        found[name] = value
        wrong = _value_problem(name, value, switches)
        if wrong:
            problems.append(wrong)
    return found, problems


def _value_problem(name: str, value: str, switches: Switches) -> Problem | None:
    if name in _HASHED:
        pattern = _LOWER_HEX if switches.hash_case == "lower" else _ANY_HEX
        if not pattern.fullmatch(value):
            return invalid(spec.NOT_A_HASH, name, value)
    elif name == "ip_address" and not _is_address(value, switches):
        return invalid(NOT_AN_ADDRESS, name, value)
    return None


def _is_address(value: str, switches: Switches) -> bool:
    if ":" in value and not switches.allow_ipv6:
        return False
    try:
        IPv6Address(value) if ":" in value else IPv4Address(value)
    except AddressValueError:
        return False
    return True


def _suffices(given: list[dict[str, str]], switches: Switches) -> bool:
    if not given:
        return False
    if switches.element_rule == "union":
        return _enough({name: value for found in given for name, value in found.items()})
    if switches.element_rule == "any":
        return any(map(_enough, given))
    return all(map(_enough, given))


def _enough(found: Mapping[str, str]) -> bool:
    if any(name in found for name in spec.STRONG_IDENTIFIERS):
        return True
    return "ip_address" in found and "user_agent" in found
