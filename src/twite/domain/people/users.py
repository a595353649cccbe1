"""Users, sessions, API keys, roles, their changes, and the audit log with its hash chain."""

import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.secret import Masked, Secret

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)
NO_HASH: Final = b"\0" * 32
# Begins the `password` of users who sign in only by links. No hash begins with it.
NO_PASSWORD: Final = "!"  # noqa: S105  a mark
# Maximum characters of one text in an audit entry.
_LONGEST: Final = 500


class Role(StrEnum):
    """The role of a user. Each role includes the ones before it."""

    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # replays, discards, pauses, resumes, sends test conversions
    ADMIN = "admin"  # connects to X, changes events, users and keys, reads the audit log

    def includes(self, role: "Role") -> bool:
        return _RANKS[self] >= _RANKS[role]


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


class KeyScope(StrEnum):
    ACCOUNTING = "accounting"  # the balance
    HISTORY = "history"  # the history of conversions
    DEDUPLICATION = "deduplication"  # the deduplication report
    RESULTS = "results"  # what X attributes to ads, and what they cost
    METRICS = "metrics"  # /metrics, which covers every source and pixel


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user. Times are milliseconds.

    `pixels` are the pixels that the user may see (None: all). `password` is a hash with salt and
    cost. Sign-in codes have been required since `code_since`; `code_step` is the time step of the
    last code used, `recovery` the hashes of unused recovery codes.
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
    def has_password(self) -> bool:
        """Whether the user can sign in without a link."""
        return not self.password.reveal().startswith(NO_PASSWORD)

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN and self.pixels is None


class Session(Masked, frozen=True, kw_only=True):
    """A session. `digest` is the stored hash of the browser's token."""

    in_repr = ("user", "begun_at")
    digest: bytes
    user: str
    begun_at: int
    seen_at: int
    address: str
    agent: str


class ApiKey(Masked, frozen=True, kw_only=True):
    """An API key. `id` identifies it; `digest` is its stored hash."""

    in_repr = ("id", "name")
    id: str
    name: str
    digest: bytes
    scopes: frozenset[KeyScope]
    created_at: int
    made_by: str
    pixels: tuple[str, ...] | None = None
    revoked_at: int | None = None


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """The user who views a page, with permissions and visible pixels."""

    name: str
    role: Role
    pixels: frozenset[str] | None = None

    def may(self, role: Role) -> bool:
        return self.role.includes(role)

    def sees(self, pixel: str) -> bool:
        return self.pixels is None or pixel in self.pixels

    def of(self, pixels: Iterable[str]) -> tuple[str, ...]:
        return tuple(pixel for pixel in pixels if self.sees(pixel))


class AuditAction(StrEnum):
    """The actions in the audit log. Values are stored permanently: never change or reuse one."""

    ALERT_ACKNOWLEDGE = "alert.acknowledge"
    ALERT_MUTE = "alert.mute"
    ALERT_TEST = "alert.test"
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
    PROBLEM_MUTE = "problem.mute"
    PROBLEM_UNMUTE = "problem.unmute"
    REFUSED = "refused"
    RELOAD = "reload"
    REPLAY = "replay"
    REPLAY_CANCEL = "replay.cancel"
    SECRET_KEY_ROTATE = "secret_key.rotate"  # noqa: S105  a name
    SIGN_IN = "sign_in"
    SIGN_IN_REFUSED = "sign_in.refused"
    SIGN_OUT = "sign_out"
    SIGN_OUT_ELSEWHERE = "sign_out.elsewhere"
    SOURCE_KEY_ADD = "source_key.add"
    SOURCE_TEST = "source.test"
    SOURCE_KEY_REVOKE = "source_key.revoke"
    TAG_PREVIEW = "tag.preview"
    USER_ADD = "user.add"
    USER_CODES_OFF = "user.codes_off"
    USER_CODES_ON = "user.codes_on"
    USER_LINK = "user.link"
    USER_PASSWORD = "user.password"  # noqa: S105  a name
    USER_REMOVE = "user.remove"
    USER_ROLE = "user.role"


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`who` did `what` to `subject`; `detail` never contains a secret."""

    at: int
    who: str
    what: str
    subject: str = ""
    detail: str = ""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An audit event with its place in the hash chain."""

    number: int
    audit_event: AuditEvent
    hash: bytes


def written(audit_event: AuditEvent) -> AuditEvent:
    """Return the audit event as stored: strings are shortened and on one line."""
    return msgspec.structs.replace(
        audit_event,
        who=_line(audit_event.who),
        subject=_line(audit_event.subject),
        detail=_line(audit_event.detail),
    )


def chained(before: bytes, number: int, audit_event: AuditEvent) -> bytes:
    """Return the hash of an entry, which covers all entries before it."""
    held = msgspec.json.encode(
        [
            number,
            audit_event.at,
            audit_event.who,
            audit_event.what,
            audit_event.subject,
            audit_event.detail,
        ]
    )
    return hashlib.sha256(before + held).digest()


def first_wrong(
    entries: Iterable[AuditEntry], *, before: bytes = NO_HASH, number: int = 1
) -> int | None:
    """Return the number of the first entry that breaks the hash chain, or None."""
    for entry in entries:
        if entry.number != number or entry.hash != chained(before, number, entry.audit_event):
            return number
        before, number = entry.hash, number + 1
    return None


def _line(text: str) -> str:
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


class UserAdded(msgspec.Struct, frozen=True, kw_only=True, tag="Added"):
    user: User


class UserRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="Removed"):
    """Remove a user. Their sessions end."""

    name: str


class UserAllowed(msgspec.Struct, frozen=True, kw_only=True, tag="Allowed"):
    """Change a user's role or pixels. Their sessions end."""

    name: str
    role: Role
    pixels: tuple[str, ...] | None


class PasswordSet(msgspec.Struct, frozen=True, kw_only=True, tag="PasswordGiven"):
    """Set a user's password; `at` is the time of the change.

    All sessions except `but` end. If `was` is given, it must be the current password hash.
    """

    name: str
    password: Secret
    at: int
    was: Secret | None = None
    but: bytes = b""


class TwoFactorEnabled(msgspec.Struct, frozen=True, kw_only=True, tag="CodesBegun"):
    """Require sign-in codes, if none were required. All sessions except `but` end."""

    name: str
    since: int
    step: int
    recovery: tuple[str, ...]
    but: bytes = b""


class TwoFactorDisabled(msgspec.Struct, frozen=True, kw_only=True, tag="CodesEnded"):
    """Stop requiring sign-in codes. All sessions except `but` end."""

    name: str
    but: bytes = b""


class KeyMade(msgspec.Struct, frozen=True, kw_only=True, tag="KeyMade"):
    key: ApiKey


class KeyRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="KeyRevoked"):
    id: str
    at: int


class LinkMade(msgspec.Struct, frozen=True, kw_only=True, tag="LinkMade"):
    """Keep a sign-in link, if the user's password and codes are still those of `user`.

    The link is kept as a session that nobody uses yet: it ends with the user's sessions. Its digest
    is that of the link, so that no cookie can name it.
    """

    session: Session
    user: User


ChangeOfOne = UserRemoved | UserAllowed | PasswordSet | TwoFactorEnabled | TwoFactorDisabled
Change = UserAdded | ChangeOfOne | KeyMade | KeyRevoked | LinkMade


class Result(StrEnum):
    """The result of a change. Only DONE means that data was changed and logged."""

    DONE = "done"
    OVER = "over"  # the requesting session has ended
    TAKEN = "taken"  # the name is in use
    GONE = "gone"  # no such user or key
    LAST = "last"  # there would be no admin left
    OTHERWISE = "otherwise"  # changed by another user meanwhile


def ends_admin(change: ChangeOfOne) -> bool:
    """Return whether the user is no longer an admin after the change."""
    return isinstance(change, UserRemoved) or (
        isinstance(change, UserAllowed)
        and not (change.role is Role.ADMIN and change.pixels is None)
    )


def spared(change: ChangeOfOne) -> bytes:
    """Return the digest of the session that stays signed in; empty if none does."""
    return b"" if isinstance(change, UserRemoved | UserAllowed) else change.but
