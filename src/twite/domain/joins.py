"""Joins: what other events of a visitor say, to fill the gaps of a conversion before it is sent.

A visitor has keys: hashes of the visitor id, the user id and the order id that an event names. Each
event that names one stores its identifiers under them, and links the keys to each other. When a
conversion has waited, the identifiers under its keys, and under keys linked to them, fill its gaps.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.conversion import Identifiers
from twite.domain.secret import Masked
from twite.domain.times import DAY, HOUR

# The longest setting of `wait`: X drops the pixel's copy only within 48 hours of receipt.
LONGEST_WAIT: Final = 6 * HOUR
# X attributes no conversion to a click that is older. [doc WEB]
CLICK_KEPT: Final = 90 * DAY
# The windows that an advertiser can choose for clicks, in days. [doc WEB, conflict: the API's own
# list ends at 30]
CLICK_WINDOWS: Final = (1, 7, 14, 30, 60, 90)
# Emails and phones are joined up to a wait before and after a conversion.
PERSON_KEPT: Final = 2 * LONGEST_WAIT
# The most rows that are kept under one key, and of one kind in all.
MOST_OF_KEY: Final = 32
MOST_OF_KIND: Final = 1_000_000
MAX_ID: Final = 256
# Why a conversion is suppressed after its wait.
NOTHING_KNOWN: Final = "identifier_missing: none became known while it waited, and X needs one"


class JoinKind(StrEnum):
    """What is known of a visitor. The values are stored: never change one."""

    CLICK = "twclid"
    EMAIL = "email"
    PHONE = "phone"
    LINK = "link"  # another key of the same visitor
    DENIED = "denied"  # the visitor denied consent


# How long each kind is kept after it was last seen.
KEPT: Final = {
    JoinKind.CLICK: CLICK_KEPT,
    JoinKind.EMAIL: PERSON_KEPT,
    JoinKind.PHONE: PERSON_KEPT,
    JoinKind.LINK: CLICK_KEPT,
    JoinKind.DENIED: PERSON_KEPT,
}


class KnownIdentifier(Masked, frozen=True, kw_only=True, gc=False):
    """One thing that an event says about a visitor.

    `key` is the visitor's key, `whose` the key of the user id in the same event, or "". `value` is
    a click id, a SHA-256 digest of an email or phone, or another key; `mark` identifies kind, value
    and `whose`. `at` is when it was first known, `seen_at` when it arrived; `origin` is the name of
    the event that said it.
    """

    in_repr = ("kind", "at", "origin")
    key: str
    mark: str
    kind: JoinKind
    value: str
    whose: str
    at: int
    seen_at: int
    origin: str


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The keys of a conversion that waits for `wait` milliseconds. `whose` is the user's key."""

    keys: tuple[str, ...]
    whose: str
    wait: int


class GainedIdentifier(msgspec.Struct, frozen=True, kw_only=True):
    """An identifier that a conversion gained: from which event, and when that was known."""

    identifier: str
    origin: str
    at: int


class JoinCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversions of a source and pixel waited, and gained these identifiers."""

    source: str
    pixel: str
    identifiers: tuple[str, ...]
    conversions: int


def join_key(salt: bytes, pixel: str, kind: str, name: str) -> str:
    """Return the key of a visitor, user or order of a pixel: 32 hexadecimal digits.

    Without the deployment's salt, nobody can find the name by trying names.
    """
    text = f"join\0{pixel}\0{kind}\0{name}".encode("utf-8", "surrogatepass")
    return hmac.digest(salt, text, "sha256")[:16].hex()


def mark_of(salt: bytes, kind: JoinKind, value: str, whose: str) -> str:
    """Return what identifies a row of a key."""
    text = f"{kind}\0{value}\0{whose}".encode()
    return hashlib.blake2b(text, key=salt, digest_size=12).hexdigest()


def gained(
    known: Iterable[KnownIdentifier], *, own: Identifiers, whose: str, since: int, received_at: int
) -> tuple[Identifiers, tuple[GainedIdentifier, ...]]:
    """Return the identifiers that fill the gaps of a conversion, and where they come from.

    `own` are the conversion's identifiers, which are never replaced; `whose` is the key of its user
    id, or "". An email or phone counts if it arrived at `since` or later, and the latest counts; a
    click counts up to CLICK_KEPT, and the latest before the conversion counts. The order in which
    events arrived does not matter.
    """
    about = _about(list(known), whose)
    if any(row.kind is JoinKind.DENIED and row.seen_at >= since for row in about):
        return Identifiers(), ()
    latest = [row for row in about if row.seen_at >= since]
    found = {
        "email": _last([row for row in latest if row.kind is JoinKind.EMAIL and own.email is None]),
        "phone": _last([row for row in latest if row.kind is JoinKind.PHONE and own.phone is None]),
        "click_id": max(
            (
                row
                for row in about
                if row.kind is JoinKind.CLICK
                and own.click_id is None
                and row.at >= received_at - CLICK_KEPT
            ),
            key=lambda row: (row.at <= received_at, row.at, row.value),
            default=None,
        ),
    }
    rows = {name: row for name, row in found.items() if row is not None}
    return Identifiers(**{name: row.value for name, row in rows.items()}), tuple(
        GainedIdentifier(identifier=row.kind.value, origin=row.origin, at=row.at)
        for row in rows.values()
    )


def _about(known: Sequence[KnownIdentifier], whose: str) -> list[KnownIdentifier]:
    """Return what is known of the same person: persons who share a browser have other user ids."""
    users = {row.whose for row in known if row.whose}
    if not whose and len(users) > 1:
        # It is unknown which of these users it is. A denial of one may be that of this person.
        return [row for row in known if not row.whose or row.kind is JoinKind.DENIED]
    return [row for row in known if not whose or not row.whose or row.whose == whose]


def _last(rows: Sequence[KnownIdentifier]) -> KnownIdentifier | None:
    return max(rows, key=lambda row: (row.seen_at, row.value), default=None)


def age_of(click_at: int, conversion_at: int) -> str:
    """Return the age of a click at its conversion, and the windows of X that include it."""
    age = max(0, conversion_at - click_at)
    days = age // DAY
    within = [str(window) for window in CLICK_WINDOWS if age <= window * DAY]
    aged = f"{days} days" if days != 1 else "1 day"
    if not within:
        return f"{aged} old, outside of X's click windows"
    return f"{aged} old, within X's click windows of {', '.join(within)} days"
