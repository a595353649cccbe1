"""Match keys of a conversion, and flaws that make them useless.

Flaws are counted; raw values are never stored.
"""

import hashlib
from collections.abc import Iterable, Mapping
from enum import IntFlag
from functools import cache, lru_cache
from typing import Final

import msgspec

from twite.domain.conversion import Identifiers
from twite.domain.fault import CODES
from twite.domain.normalize import PLACEHOLDERS
from twite.domain.times import DAY

# X's longest window after a click. [doc WEB, web_event_tags]
STALE_AFTER: Final = 30 * DAY
# The maximum length of a stored shape.
LONGEST_SHAPE: Final = 48
_DIGEST_DIGITS: Final = 64
DOUBLE: Final = "double_hash"
PLACEHOLDER: Final = "email_placeholder"
# Flaws that leave a hash that X accepts but that matches nobody.
_OF_NOBODY: Final = frozenset({DOUBLE, PLACEHOLDER})
# Flaws that, once fixed, add a match key.
MENDABLE: Final = frozenset(
    {
        DOUBLE, "email_unusable", "ip_private", "ip_unusable", "not_sha256",
        "phone_needs_region", "phone_unusable", "twclid_unusable", "user_agent_unusable",
    }
)  # fmt: skip
# Code → (meaning, remedy).
FLAWS: Final[Mapping[str, tuple[str, str]]] = {
    "click_stale": (
        "the click is older than 30 days, X's longest window",
        "nothing: X ignores the click, but an email or phone may match",
    ),
    DOUBLE: (
        "the value was probably hashed twice: it matches nobody",
        "hash once, or send the unhashed address as email and let Twite hash it",
    ),
    PLACEHOLDER: (
        "a placeholder address, such as noreply@ or one at example.com",
        "leave email out if the buyer gave none",
    ),
    "email_unusable": (
        CODES["email_unusable"],
        "check the form: let the browser validate the address (type=email)",
    ),
    "hash_of_nothing": (
        CODES["hash_of_nothing"],
        "leave out an empty field instead of hashing it",
    ),
    "identifier_missing": (
        CODES["identifier_missing"],
        "send the buyer's email or phone number with the order",
    ),
    "ip_private": (
        CODES["ip_private"],
        "add your proxy to server.trusted_proxies, or send the buyer's own address as ip",
    ),
    "ip_unusable": (CODES["ip_unusable"], "send one address, without port, as ip"),
    "not_sha256": (
        CODES["not_sha256"],
        "send SHA-256 as 64 hexadecimal digits, or the unhashed address as email",
    ),
    "phone_needs_region": (
        CODES["phone_needs_region"],
        'set a region for the source, such as region = "GB", or send + and the country code',
    ),
    "phone_unusable": (
        CODES["phone_unusable"],
        "check the form: a number needs a country code or the source's region",
    ),
    "twclid_unusable": (
        CODES["twclid_unusable"],
        "send the value of twclid from the landing page's address, unhashed",
    ),
    "twpid_unusable": (CODES["twpid_unusable"], "send the cookie _twpid unchanged"),
    "upper_case_hash": (
        "a hash in upper case: X documents lower case. Twite converts it",
        "nothing for Twite; write hashes in lower case for other recipients",
    ),
    "user_agent_unusable": (
        CODES["user_agent_unusable"],
        "send the browser's User-Agent, not your server's",
    ),
}
_NOBODY: Final = frozenset(
    {
        "admin", "anonymous", "anon", "customer", "donotreply", "do-not-reply", "dummy", "fake",
        "guest", "invalid", "no-reply", "no_reply", "nobody", "noemail", "nomail", "noreply",
        "none", "null", "na", "test", "tester", "testing", "undefined", "unknown", "user",
    }
)  # fmt: skip
# RFC 2606: mail to these domains is never delivered.
_RESERVED: Final = frozenset({"example", "test", "invalid", "localhost"})
_RESERVED_ENDS: Final = (
    *(f".{name}" for name in sorted(_RESERVED)),
    *(f".example.{name}" for name in ("com", "net", "org", "edu")),
)
_KEPT_SIGNS: Final = "@.+()-_ "
# Hashes of common placeholders.
_USUAL_HOSTS: Final = ("example.com", "example.org", "example.net", "test.com", "localhost")
_OF_PLACEHOLDERS: Final = frozenset(
    hashlib.sha256(text.encode()).hexdigest()
    for text in (
        *(word for word in PLACEHOLDERS if word),
        *(f"{name}@{host}" for name in _NOBODY for host in _USUAL_HOSTS),
    )
)
_OF_NOTHING: Final = hashlib.sha256(b"").hexdigest()


class MatchKeys(IntFlag):
    """The identifiers that a conversion contains."""

    CLICK = 1
    EMAIL = 2
    PHONE = 4
    IP = 8
    AGENT = 16
    BROWSER = 32


PAIR: Final = MatchKeys.IP | MatchKeys.AGENT
# The keys by which X can match alone. IP and user agent count only together. [doc WEB]
KEYS: Final[Mapping[str, MatchKeys]] = {
    "click id": MatchKeys.CLICK,
    "email": MatchKeys.EMAIL,
    "phone": MatchKeys.PHONE,
    "IP and user agent": PAIR,
}

# Field name, as any endpoint spells it → match key.
_FIELDS: Final[Mapping[str, MatchKeys]] = {
    "twclid": MatchKeys.CLICK,
    "email": MatchKeys.EMAIL,
    "email_sha256": MatchKeys.EMAIL,
    "hashed_email": MatchKeys.EMAIL,
    "phone": MatchKeys.PHONE,
    "phone_sha256": MatchKeys.PHONE,
    "hashed_phone_number": MatchKeys.PHONE,
    "ip": MatchKeys.IP,
    "user_agent": MatchKeys.AGENT,
}


def _drawn(c: str) -> str:
    """Return the character that represents a character in a shape."""
    if c.isalpha():
        return "X" if c.isupper() else "x"
    return "9" if c.isdigit() else c if c in _KEPT_SIGNS else "?"


# A lookup table for ASCII text, twenty times as fast.
_TABLE: Final = "".join(_drawn(chr(code)) for code in range(128)).ljust(256, "?").encode()


class Flaw(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A flaw of a match key. `shape` shows how the value is written without revealing it."""

    code: str
    path: str
    shape: str = ""


def key_set_of(identifiers: Identifiers) -> int:
    """Return the MatchKeys of identifiers as a bit set, without hashes of empty strings."""
    email, phone = identifiers.email, identifiers.phone
    return (
        (identifiers.click_id is not None)
        | (email is not None and email not in _EMAILS_OF_NOBODY) << 1
        | (phone is not None and phone not in _PHONES_OF_NOBODY) << 2
        | (identifiers.ip is not None) << 3
        | (identifiers.user_agent is not None) << 4
        | (identifiers.browser_id is not None) << 5
    )


def without_nobody(key_set: int, flaws: Iterable[Flaw]) -> int:
    """Return a key set without the keys whose hashes cannot match a person."""
    for flaw in flaws:
        if flaw.code in _OF_NOBODY:
            key_set &= ~int(_FIELDS.get(flaw.path, 0))
    return key_set


def winning(key_set: int, flaws: Iterable[Flaw]) -> frozenset[str]:
    """Return the codes of flaws that, once fixed, would give a conversion a second match key.

    `key_set` excludes keys that cannot match a person.
    """
    mended: dict[str, int] = {}
    for flaw in flaws:
        if flaw.code in MENDABLE:
            mended[flaw.code] = mended.get(flaw.code, key_set) | int(_FIELDS.get(flaw.path, 0))
    if keys_in(key_set) > 1:
        return frozenset()
    return frozenset(code for code, whole in mended.items() if keys_in(whole) > 1)


@cache
def keys_in(key_set: int) -> int:
    """Count the match keys in a set: at most four."""
    return sum(_has(key_set))


@cache
def _has(key_set: int) -> tuple[bool, ...]:
    return tuple(key_set & int(needed) == needed for needed in KEYS.values())


def shape_of(text: str) -> str:
    """Return the shape of a string: letters as x or X, digits as 9, unusual characters as ?."""
    cut = text[:LONGEST_SHAPE]
    plain = cut.isascii()
    shape = cut.encode().translate(_TABLE).decode() if plain else "".join(map(_drawn, cut))
    return f"{shape}…" if len(text) > LONGEST_SHAPE else shape


def is_placeholder(email: str) -> bool:
    local, at, host = email.strip().lower().rpartition("@")
    if not at:
        return email.strip().lower() in PLACEHOLDERS
    if _is_reserved(host):
        return True
    return local in _NOBODY or ("+" in local and local.partition("+")[0] in _NOBODY)


@lru_cache(maxsize=4_096)
def _is_reserved(host: str) -> bool:
    return host in _RESERVED or f".{host}".endswith(_RESERVED_ENDS)


def is_digest(text: str) -> bool:
    if len(text) < _DIGEST_DIGITS:
        return False
    plain = text.strip()
    return len(plain) == _DIGEST_DIGITS and plain.isalnum()


def digest_flaw(text: str, *, path: str, raw: str | None = None) -> Flaw | None:
    """Return the flaw of a submitted digest.

    `raw` is the canonical value, if it was also submitted.
    """
    plain = text.strip()
    lower = plain.lower()
    if lower in _DOUBLE_OF_NOTHING or (raw is not None and lower == _twice(raw)):
        return Flaw(code=DOUBLE, path=path, shape=shape_of(plain))
    if "email" in path and lower in _OF_PLACEHOLDERS:
        return Flaw(code=PLACEHOLDER, path=path, shape=shape_of(plain))
    if plain != lower:
        return Flaw(code="upper_case_hash", path=path, shape=shape_of(plain))
    return None


def doubles_of(digest: str) -> tuple[bytes, bytes, bytes]:
    """Return the possible double hashes: of lower-case digits, upper-case digits and raw bytes."""
    sha256 = hashlib.sha256
    return (
        sha256(digest.encode()).digest(),
        sha256(digest.upper().encode()).digest(),
        sha256(bytes.fromhex(digest)).digest(),
    )


def stale(clicked_at: int, *, now: int) -> bool:
    """Return whether a click is older than X's longest window."""
    return 0 < clicked_at < now - STALE_AFTER


def _twice(text: str) -> str:
    once = hashlib.sha256(text.strip().lower().encode()).hexdigest()
    return hashlib.sha256(once.encode()).hexdigest()


_DOUBLE_OF_NOTHING: Final = frozenset(map(_twice, PLACEHOLDERS))

_PHONES_OF_NOBODY: Final = _DOUBLE_OF_NOTHING | {_OF_NOTHING}
_EMAILS_OF_NOBODY: Final = _PHONES_OF_NOBODY | _OF_PLACEHOLDERS


class FlawCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversions have a flaw, with the shape and delivery of the latest case.

    `times` counts stored conversions, `rejected` those whose rejection names the flaw. `event` is
    "" if unknown; `delivery` is None if all were rejected; `wins` counts the stored conversions
    that would have a second key without the flaw.
    """

    pixel: str
    event: str
    code: str
    times: int
    shape: str
    delivery: int | None
    wins: int = 0
    rejected: int = 0


class Matching(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the `conversions` have each match key."""

    conversions: int = 0
    click: int = 0
    email: int = 0
    phone: int = 0
    pair: int = 0
    two: int = 0
    one_short: int = 0  # conversions with exactly one key
    email_only: int = 0  # conversions with an email and no click id

    @property
    def covered(self) -> int:
        """The conversions with at least one key."""
        return self.two + self.one_short

    @property
    def share(self) -> float:
        """The share with two keys or more, from 0 to 1."""
        return self.two / self.conversions if self.conversions else 0.0


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """The match keys of a source's conversions of one event on one day (days since 1970)."""

    source: str
    pixel: str
    event: str
    day: int
    matching: Matching


@cache
def sums_of(key_set: int) -> tuple[int, ...]:
    """Return the counts that a key set adds to each field of Matching."""
    held = _has(key_set)
    keys = sum(held)
    email_only = key_set & MatchKeys.EMAIL and not key_set & MatchKeys.CLICK
    return 1, *map(int, held), int(keys > 1), int(keys == 1), int(bool(email_only))


def added(several: Iterable[Matching]) -> Matching:
    sums = dict.fromkeys(Matching.__struct_fields__, 0)
    for counts in several:
        for name in sums:
            sums[name] += getattr(counts, name)
    return Matching(**sums)
