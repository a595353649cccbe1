"""Checks that the judges of several vendors share, and the request that they examine."""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

# With a country code, which begins with no 0. Vendors differ about the plus.
_USABLE: Final = re.compile(r"\+?[1-9][0-9]*")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class VendorRequest:
    """One request to a vendor. `headers` have lower-case names; `body` is decoded JSON."""

    host: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class KnownPerson:
    """The person of the event, in plain text: the judge hashes the values itself.

    `phone` has its country code, as in +44 20 7946 0958. `phones` are all numbers as the event has
    them.
    """

    email: str = ""
    phone: str = ""
    phones: tuple[str, ...] = ()

    @property
    def e164(self) -> str:
        """The phone number without separators."""
        digits = re.sub(r"\D", "", self.phone)
        return f"+{digits}" if digits else ""

    def hashes(self, *, plus: bool) -> dict[str, str]:
        """Return the hashes that a vendor expects; `plus` keeps the plus of the phone number."""
        phone = self.e164 if plus else self.e164.removeprefix("+")
        plain = {"email": self.email.strip().lower(), "phone": phone}
        return {name: sha256_of(text) for name, text in plain.items() if text}

    def useless_hashes(self) -> set[str]:
        """Return the hashes by which no vendor finds the person.

        They are those of numbers with separators, or without a country code.
        """
        texts = {*self.phones, *(re.sub(r"\D", "", phone) for phone in self.phones)}
        return {sha256_of(text) for text in texts if text and not _USABLE.fullmatch(text)}


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def events_in(body: Mapping[str, Any], name: str = "data") -> list[dict[str, Any]]:
    found = body.get(name)
    return [event for event in found if isinstance(event, dict)] if isinstance(found, list) else []


def mapping_at(tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def required(tree: Mapping[str, Any], *names: str) -> Iterator[str]:
    yield from (f"{name} is missing" for name in names if tree.get(name) in (None, "", [], {}))


def recent_seconds(at: object, *, days: int, name: str = "event_time") -> Iterator[str]:
    if not isinstance(at, int) or at >= 10**11:
        yield f"{name} is not a whole number of seconds"
    elif not time.time() - days * 86_400 <= at <= time.time() + 600:
        yield f"{name} is in the future, or more than {days} days ago"


def recent_milliseconds(at: object, *, days: int, name: str) -> Iterator[str]:
    if not isinstance(at, int) or not 10**12 <= at < 10**13:
        yield f"{name} is not a time in milliseconds"
    else:
        yield from recent_seconds(at // 1_000, days=days, name=name)


def values_at(tree: Mapping[str, Any], name: str) -> list[Any]:
    found = tree.get(name)
    every = found if isinstance(found, list) else [found]
    return [value for value in every if value not in (None, "")]


def digests(tree: Mapping[str, Any], name: str) -> Iterator[str]:
    for value in values_at(tree, name):
        if not isinstance(value, str) or not _DIGEST.fullmatch(value):
            yield f"{name} is not a SHA-256 in lower-case hexadecimal digits"


def person_hashes(
    user: Mapping[str, Any], expected: Mapping[str, str], *, email: str, phone: str
) -> Iterator[str]:
    for name, key in (("email", email), ("phone", phone)):
        yield from digests(user, key)
        if name in expected and expected[name] not in values_at(user, key):
            yield f"{key} is not the hash of the person's {name}"


def pattern(tree: Mapping[str, Any], name: str, pattern: str) -> Iterator[str]:
    value = tree.get(name)
    if value not in (None, "") and not re.fullmatch(pattern, str(value)):
        yield f"{name} does not have the form {pattern}"


def money(tree: Mapping[str, Any], value: str, currency: str) -> Iterator[str]:
    if not re.fullmatch(r"\d+(\.\d+)?", str(tree.get(value, ""))):
        yield f"{value} is not a number"
    if not re.fullmatch(r"[A-Z]{3}", str(tree.get(currency, ""))):
        yield f"{currency} is not an ISO 4217 code"


def bearer_token(request: VendorRequest) -> Iterator[str]:
    if not re.fullmatch(r"Bearer \S+", request.headers.get("authorization", "")):
        yield "the header Authorization is not a bearer token"


def query_of(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
