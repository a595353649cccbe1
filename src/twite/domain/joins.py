"""Joins: what other events of a visitor say, to fill the gaps of a conversion before it is sent.

A visitor has keys: hashes of the visitor id, the user id and the order that an event names. Each
event that names one stores its identifiers under them, and links the keys to each other. When a
conversion has waited, identifiers fill its gaps:

| identifier | fills the gaps of conversions |
|---|---|
| of an event with a user id | of the same user |
| of another copy of an order | of this order |
| a click in a browser | in the same browser, or of its user |
| an email or phone without a user id | without a user id, in the same browser |

The last two do not hold for a browser that another user has used, too. A denial under any linked
key counts: nothing that was known before is joined.
"""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.consent import person_keys
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
# The most rows that are kept of one kind, under one key and in all. Links to browsers, users and
# orders are three kinds under a key, so that the orders of a user do not displace the browser.
MOST_OF_KEY: Final = 32
MOST_OF_KIND: Final = 1_000_000
# More linked keys than one person has, such as those of a placeholder id: nothing is joined.
MOST_LINKED: Final = 200
# So many emails within CLICK_KEPT are not of one person: nothing under their key is joined.
MOST_EMAILS: Final = 4
MAX_ID: Final = 256
# Why a conversion is suppressed after its wait.
NOTHING_KNOWN: Final = "identifier_missing: none became known while it waited, and X needs one"


class KeyKind(StrEnum):
    """What a key is of. Its letter begins the key."""

    VISITOR = "v"
    USER = "u"
    ORDER = "o"  # an event and its conversion id, like the dedup key
    EMAIL = "e"  # like the key of an opt-out
    PHONE = "p"  # like the key of an opt-out


class JoinKind(StrEnum):
    """What is known of a visitor. The values are stored: never change one."""

    CLICK = "twclid"
    EMAIL = "email"
    PHONE = "phone"
    LINK = "link"  # another key of the same visitor
    PERSON = "person"  # the key of an email or phone: erasures and opt-outs find the click by it
    DENIED = "denied"  # the visitor denied consent


# How long each kind is kept after it was last seen.
KEPT: Final = {
    JoinKind.CLICK: CLICK_KEPT,
    JoinKind.EMAIL: PERSON_KEPT,
    JoinKind.PHONE: PERSON_KEPT,
    JoinKind.LINK: CLICK_KEPT,
    JoinKind.PERSON: CLICK_KEPT,
    JoinKind.DENIED: CLICK_KEPT,
}
_IDENTIFIERS: Final = {
    "click_id": JoinKind.CLICK,
    "email": JoinKind.EMAIL,
    "phone": JoinKind.PHONE,
}


class KnownIdentifier(Masked, frozen=True, kw_only=True, gc=False):
    """One thing that an event says about a visitor.

    `key` is the visitor's key, `whose` the key of the user id in the same event, or "". `value` is
    a click id, a SHA-256 digest of an email or phone, or another key; `mark` identifies kind, value
    and `whose`. A denial has neither, so that a key has one. `at` is when it was first known,
    `seen_at` when it arrived; `origin` is the name of the event that said it.
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
    """An identifier that a conversion gained: from which event, and when that was known.

    `age` is the time from then to the conversion, 0 if it became known later.
    """

    identifier: str
    origin: str
    at: int
    age: int = 0


class JoinCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversions of a source and pixel waited, and gained these identifiers."""

    source: str
    pixel: str
    identifiers: tuple[str, ...]
    conversions: int


Known = Mapping[str, Sequence[KnownIdentifier]]  # by key


def join_key(salt: bytes, pixel: str, kind: KeyKind, name: str) -> str:
    """Return the key of a visitor, user, order or person of a pixel: a letter and 32 digits.

    Without the deployment's salt, nobody can find the name by trying names.
    """
    text = f"join\0{pixel}\0{kind}\0{name}".encode("utf-8", "surrogatepass")
    return f"{kind}{hmac.digest(salt, text, 'sha256')[:16].hex()}"


def person_join_keys(identifiers: Identifiers, *, pixel: str, salt: bytes) -> tuple[str, ...]:
    """Return the keys of an email and phone."""
    persons = (
        (KeyKind.EMAIL, Identifiers(email=identifiers.email)),
        (KeyKind.PHONE, Identifiers(phone=identifiers.phone)),
    )
    return tuple(
        f"{kind}{key.hex()}"
        for kind, person in persons
        for key in person_keys(person, pixel=pixel, salt=salt)
    )


def listed_persons(
    known: Known, keys: Iterable[str], opted_out: Collection[bytes]
) -> list[KnownIdentifier]:
    """Return the persons under these and all linked keys who are on the opt-out list."""
    return [
        row
        for row in _rows(known, linked(known, keys))
        if row.kind is JoinKind.PERSON and bytes.fromhex(row.value[1:]) in opted_out
    ]


def mark_of(salt: bytes, kind: JoinKind, value: str, whose: str) -> str:
    """Return what identifies a row of a key."""
    text = f"{kind}\0{value}\0{whose}".encode()
    return hashlib.blake2b(text, key=salt, digest_size=12).hexdigest()


def linked(known: Known, keys: Iterable[str]) -> set[str]:
    """Return these keys, and all that they are linked to, over any number of links."""
    found = newest = set(keys)
    while newest:
        newest = {other for key in newest for other in _links(known, key)} - found
        found = found | newest
    return found


def gained(
    known: Known, *, own: Identifiers, keys: Collection[str], whose: str, since: int, at: int
) -> tuple[Identifiers, tuple[GainedIdentifier, ...]]:
    """Return the identifiers that fill the gaps of a conversion, and where they come from.

    `own` are the conversion's identifiers, which are never replaced; `keys` are its keys, `whose`
    is that of its user id, or "", and `at` is its own time. An email or phone counts if it arrived
    at `since` or later, and the latest counts; a click counts up to CLICK_KEPT before the
    conversion, and the latest counts. The order in which events arrived does not matter.
    """
    every = linked(known, keys)
    denied_at = max(
        (row.seen_at for row in _rows(known, every) if row.kind is JoinKind.DENIED), default=0
    )
    if len(every) > MOST_LINKED or denied_at >= since:
        return Identifiers(), ()
    fitting = [row for row in _given(known, keys, whose, at=at) if row.at > denied_at]
    rows = {
        name: row
        for name, kind in _IDENTIFIERS.items()
        if getattr(own, name) is None
        and (row := _latest([row for row in fitting if row.kind is kind], since=since, at=at))
    }
    return Identifiers(**{name: row.value for name, row in rows.items()}), tuple(
        GainedIdentifier(
            identifier=row.kind.value, origin=row.origin, at=row.at, age=max(0, at - row.at)
        )
        for row in rows.values()
    )


def _rows(known: Known, keys: Iterable[str]) -> Iterator[KnownIdentifier]:
    return (row for key in keys for row in known.get(key, ()))


def _links(known: Known, key: str) -> Iterator[str]:
    return (row.value for row in known.get(key, ()) if row.kind is JoinKind.LINK)


def _is(kind: KeyKind, key: str) -> bool:
    return key.startswith(kind)


def _given(
    known: Known, keys: Collection[str], whose: str, *, at: int
) -> Iterator[KnownIdentifier]:
    """Yield what is known of the person of a conversion: the table above."""
    # Another copy of the order may name the user.
    buyers = _users(_rows(known, [key for key in keys if _is(KeyKind.ORDER, key)]))
    if not whose and len(buyers) == 1:
        (whose,) = buyers
    near = {key for key in (*keys, whose) if key and not _is_crowded(known, key)}
    near |= {
        other
        for key in near
        if not (_is(KeyKind.VISITOR, key) or _is_shared(known, key, whose))
        for other in _links(known, key)
        if _is(KeyKind.VISITOR, other) and not _is_crowded(known, other)
    }
    for key in near:
        is_shared, is_order = _is_shared(known, key, whose), _is(KeyKind.ORDER, key)
        for row in known.get(key, ()):
            is_same = row.whose == whose
            is_near = is_same or is_order or row.kind is JoinKind.CLICK
            if not ((is_same and whose) or (is_near and not is_shared)):
                continue
            if is_order and row.kind is JoinKind.CLICK and row.at > at:
                # The copy that names the click came later, but the click did not.
                yield msgspec.structs.replace(row, at=at)
            else:
                yield row


def _is_shared(known: Known, key: str, whose: str) -> bool:
    """Return whether somebody other than the user `whose`, or than one user, has a key."""
    users = _users(known.get(key, ()))
    return bool(users - {whose}) if whose else len(users) > 1


def _is_crowded(known: Known, key: str) -> bool:
    """Return whether a key has the emails of many persons: it is that of a placeholder."""
    emails = {
        row.value
        for row in known.get(key, ())
        if row.kind is JoinKind.PERSON and _is(KeyKind.EMAIL, row.value)
    }
    return len(emails) >= MOST_EMAILS


def _users(rows: Iterable[KnownIdentifier]) -> set[str]:
    return {row.whose for row in rows if row.whose}


def _latest(rows: Sequence[KnownIdentifier], *, since: int, at: int) -> KnownIdentifier | None:
    """Return the click, email or phone that counts."""
    if rows and rows[0].kind is JoinKind.CLICK:
        clicks = [row for row in rows if at - CLICK_KEPT <= row.at <= at]
        return max(clicks, key=lambda row: (row.at, row.value), default=None)
    persons = [row for row in rows if row.seen_at >= since]
    return max(persons, key=lambda row: (row.seen_at, row.value, row.at), default=None)


def age_of(gained: GainedIdentifier) -> str:
    """Return the age of a click at its conversion, and the windows of X that include it."""
    age = gained.age
    days = age // DAY
    within = [str(window) for window in CLICK_WINDOWS if age <= window * DAY]
    aged = f"{days} days" if days != 1 else "1 day"
    if not within:
        return f"{aged} old, outside of X's click windows"
    return f"{aged} old, within X's click windows of {', '.join(within)} days"
