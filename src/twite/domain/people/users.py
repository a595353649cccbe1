"""Who works with the gateway: users, their sessions, keys of programs, and what they did."""

import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.secret import Secret

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)
NO_HASH: Final = b"\0" * 32
# What an entry of the audit may hold of foreign text.
_LONGEST: Final = 500


class Role(StrEnum):
    """What a user may do. Each may all that those before it may."""

    VIEWER = "viewer"  # looks
    OPERATOR = "operator"  # replays, discards, pauses, resumes, sends a test
    ADMIN = "admin"  # connects to X, changes events, users and keys, reads the audit

    def includes(self, needed: "Role") -> bool:
        """Return whether this role may what needs another."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


class KeyScope(StrEnum):
    """What a key opens."""

    ACCOUNTING = "accounting"  # the balance
    LIVES = "lives"  # the lives of conversions
    OVERLAP = "overlap"  # whether the twins meet
    METRICS = "metrics"  # /metrics, which tells of every source and pixel


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign in. Times are milliseconds.

    `pixels` are those the user sees, None for all. `password` is a hash that holds its own salt and
    cost. `code_since` is since when a code is asked for, too; `code_step` is the last one that was
    used, `recovery` the hashes of the codes that are left for a lost device.
    """

    name: str
    role: Role
    password: Secret
    created_at: int
    password_at: int
    pixels: tuple[str, ...] | None = None
    code_since: int | None = None
    code_step: int = 0
    recovery: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        """Whether they are one: an admin sees all pixels."""
        return self.role is Role.ADMIN and self.pixels is None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody signed in. `digest` is what is kept of the token that the browser has."""

    digest: bytes
    user: str
    begun_at: int
    seen_at: int
    address: str
    agent: str

    def __repr__(self) -> str:
        return f"Session({self.user}, {self.begun_at})"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A program's key. `id` is how it is named, `digest` what is kept of it."""

    id: str
    name: str
    digest: bytes
    scopes: frozenset[KeyScope]
    created_at: int
    made_by: str
    pixels: tuple[str, ...] | None = None
    revoked_at: int | None = None

    def __repr__(self) -> str:
        return f"ApiKey({self.id}, {self.name})"


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks at a page, and what may be shown and done."""

    name: str
    role: Role
    pixels: frozenset[str] | None = None

    def may(self, needed: Role) -> bool:
        """Return whether the role suffices."""
        return self.role.includes(needed)

    def sees(self, pixel: str) -> bool:
        """Return whether what belongs to a pixel may be shown."""
        return self.pixels is None or pixel in self.pixels

    def of(self, pixels: Iterable[str]) -> tuple[str, ...]:
        """Return those of some pixels that may be shown: what a query is to be narrowed to."""
        return tuple(pixel for pixel in pixels if self.sees(pixel))


class AuditAction(StrEnum):
    """What the audit says was done. Kept for good: a word is never changed, nor used again."""

    CONFIRM_REFUSED = "confirm.refused"
    CONNECT_BEGIN = "connect.begin"
    CONNECT_DONE = "connect.done"
    CONNECT_FORGET = "connect.forget"
    CONNECT_PASTE = "connect.paste"
    CONTAINER_FORGET_SECRETS = "container.forget_secrets"
    CONTAINER_KEEP_SECRETS = "container.keep_secrets"
    CONVERSION_TEST = "conversion.test"
    DISCARD = "discard"
    DOCTOR = "doctor"
    ERASE = "erase"
    EVENT_CREATE = "event.create"
    EVENT_DELETE = "event.delete"
    EVENT_MAP = "event.map"
    EVENT_UPDATE = "event.update"
    EXPORT = "export"
    KEY_ADD = "key.add"
    KEY_REVOKE = "key.revoke"
    PIXEL_PAUSE = "pixel.pause"
    PIXEL_RESUME = "pixel.resume"
    REFUSED = "refused"
    REPLAY = "replay"
    SECRET_KEY_ROTATE = "secret_key.rotate"  # noqa: S105  a name
    SIGN_IN = "sign_in"
    SIGN_IN_REFUSED = "sign_in.refused"
    SIGN_OUT = "sign_out"
    SIGN_OUT_ELSEWHERE = "sign_out.elsewhere"
    USER_ADD = "user.add"
    USER_CODES_OFF = "user.codes_off"
    USER_CODES_ON = "user.codes_on"
    USER_PASSWORD = "user.password"  # noqa: S105  a name
    USER_REMOVE = "user.remove"
    USER_ROLE = "user.role"


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit. `who` did `what` to `subject`; `detail` says more, never a secret."""

    at: int
    who: str
    what: str
    subject: str = ""
    detail: str = ""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A deed in its place in the chain."""

    number: int
    deed: AuditEvent
    hash: bytes


def written(deed: AuditEvent) -> AuditEvent:
    """Return the deed as it is kept: foreign text has a limit, and is one line."""
    return msgspec.structs.replace(
        deed,
        who=_line(deed.who),
        subject=_line(deed.subject),
        detail=_line(deed.detail),
    )


def chained(before: bytes, number: int, deed: AuditEvent) -> bytes:
    """Return the hash of an entry, which covers all entries before it."""
    held = msgspec.json.encode([number, deed.at, deed.who, deed.what, deed.subject, deed.detail])
    return hashlib.sha256(before + held).digest()


def first_wrong(
    entries: Iterable[AuditEntry], *, before: bytes = NO_HASH, number: int = 1
) -> int | None:
    """Return the number of the first entry that does not follow from those before, or None."""
    for entry in entries:
        if entry.number != number or entry.hash != chained(before, number, entry.deed):
            return number
        before, number = entry.hash, number + 1
    return None


def _line(text: str) -> str:
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
