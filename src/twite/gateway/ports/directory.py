"""Directory port: users, sessions, API keys and the audit log.

Every method raises LedgerUnavailable where the store cannot be read or written.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from twite.domain.people.users import ApiKey, AuditEntry, AuditEvent, Change, Result, Session, User
from twite.domain.secret import Secret


class SessionBegun(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a session, if the user still has the password and the codes that were known.

    Those that are over, begun or seen before a moment, are forgotten.
    """

    session: Session
    known: User
    begun_before: int = 0
    seen_before: int = 0


class SessionMoved(msgspec.Struct, frozen=True, kw_only=True):
    """Let a session go on under another digest."""

    digest: bytes
    to: bytes


class SessionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Note when a session was used last."""

    digest: bytes
    at: int


class SessionEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Forget a session."""

    digest: bytes


class SessionsEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Forget the sessions of a user, all but one."""

    user: str
    but: bytes = b""


class StepUsed(msgspec.Struct, frozen=True, kw_only=True):
    """Note that the code of a step was used, unless it, or a later one, was before."""

    user: str
    step: int


class RecoveryUsed(msgspec.Struct, frozen=True, kw_only=True):
    """Strike the hash of a recovery code off, if it is there."""

    user: str
    code: str


class Rehashed(msgspec.Struct, frozen=True, kw_only=True):
    """Keep another hash of the same password, if the user still has the one that it `was`."""

    user: str
    was: Secret
    now: Secret


SignInUpdate = (
    SessionBegun
    | SessionMoved
    | SessionSeen
    | SessionEnded
    | SessionsEnded
    | StepUsed
    | RecoveryUsed
    | Rehashed
)


class DirectoryReader(Protocol):
    """What any process reads, beside the one that owns the store."""

    async def user(self, name: str) -> User | None:
        """Return a user."""

    async def users(self) -> Sequence[User]:
        """Return all, in the order of their names."""

    async def session(self, digest: bytes) -> Session | None:
        """Return a session, however old."""

    async def sessions(self, user: str) -> Sequence[Session]:
        """Return those of a user, the latest first."""

    async def api_key(self, digest: bytes) -> ApiKey | None:
        """Return the API key that this is the digest of, revoked or not."""

    async def api_keys(self) -> Sequence[ApiKey]:
        """Return all, revoked ones too, the latest first."""

    async def audit(
        self, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[AuditEntry]:
        """Return the latest entries before a number, the latest first.

        With `after`, return those behind that number, in their order: each has a hash over all
        before it.
        """


class AccountDirectory(DirectoryReader, Protocol):
    """Users and API keys, changed in the store or through the gateway that owns it."""

    async def change(
        self, change: Change, *, audit_event: AuditEvent, warrant: bytes = b""
    ) -> Result:
        """Make a change and note the audit event, durably and in one transaction, or do neither.

        Where a user has no codes any more, or is gone, so is the secret of their codes.

        `warrant` is the digest of the session by which it is asked: with that over, nothing is
        done. Without one, the command was typed on the machine itself.
        """

    async def note(self, audit_event: AuditEvent) -> None:
        """Append to the audit log, which is append-only."""


class Directory(AccountDirectory, Protocol):
    """All of it."""

    async def update(self, update: SignInUpdate) -> int:
        """Update sessions or how a user signs in; return how many were changed, 0 for none."""


class Passwords(Protocol):
    """Hashes passwords. It takes its time: tens of milliseconds, on another thread."""

    async def hash(self, password: str) -> str:
        """Return a hash that holds its own salt and cost."""

    async def verify(self, hash_: str, password: str) -> bool:
        """Return whether it is the password. Any hash takes as long as a good one."""

    def is_current(self, hash_: str) -> bool:
        """Return whether it was made at today's cost."""
