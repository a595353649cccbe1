"""The rules of X's identifiers array: which persons a conversion may match."""

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from twite.emulator import words
from twite.emulator.exchange import Problem
from twite.emulator.fields import invalid, text_problem
from twite.emulator.switches import Switches
from twite.x import spec

# X's own entry has an empty parameter. [doc WEB]
_NONE_GIVEN: Final = Problem(spec.INVALID_PARAMETER, spec.NO_IDENTIFIER, "")
_HASHED: Final = ("hashed_email", "hashed_phone_number")
_LOWER_HEX: Final = re.compile(r"[0-9a-f]{64}")
_ANY_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


def identifier_problems(elements: object, switches: Switches) -> list[Problem]:
    """Return the problems of `identifiers`; an empty text counts as absent. [doc WEB]"""
    if not isinstance(elements, list):
        if elements is None:
            return [_NONE_GIVEN]
        return [invalid(words.NOT_AN_ARRAY, "identifiers", elements)]
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
                problems.append(invalid(words.UNKNOWN_FIELD, name))
            continue
        if value is None:
            continue
        if not isinstance(value, str):
            problems += filter(None, (text_problem(name, value),))
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
        return invalid(words.NOT_AN_ADDRESS, name, value)
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
