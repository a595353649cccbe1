"""Directory port: users, sessions, API keys, audit log. Methods raise LedgerUnavailable."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from twite.domain.people.sign_in_limits import FailedSignIns, SignInLimit
from twite.domain.people.users import ApiKey, AuditEntry, AuditEvent, Change, Result, Session, User
from twite.domain.secret import Secret


class SignInUpdate(msgspec.Struct, frozen=True):
    """A change to sessions or sign-in data."""


class SessionBegun(SignInUpdate, frozen=True, kw_only=True):
    """Store a session if the user's password and codes are still those of `user`.

    Sessions that began or were last used before the given times are deleted.
    """

    session: Session
    user: User
    begun_before: int = 0
    seen_before: int = 0


class SessionMoved(SignInUpdate, frozen=True, kw_only=True):
    """Replace the digest of a session."""

    digest: bytes
    to: bytes


class SessionSeen(SignInUpdate, frozen=True, kw_only=True):
    """Store the time of a session's last use."""

    digest: bytes
    at: int


class SessionEnded(SignInUpdate, frozen=True, kw_only=True):
    """Delete a session."""

    digest: bytes


class SessionsEnded(SignInUpdate, frozen=True, kw_only=True):
    """Delete all sessions of a user except one."""

    user: str
    but: bytes = b""


class StepUsed(SignInUpdate, frozen=True, kw_only=True):
    """Mark the code of a time step as used, unless it or a later code was used before."""

    user: str
    step: int


class RecoveryUsed(SignInUpdate, frozen=True, kw_only=True):
    """Delete the hash of a recovery code, if it is stored."""

    user: str
    code: str


class Rehashed(SignInUpdate, frozen=True, kw_only=True):
    """Store another hash of the same password, if the user's hash is still `was`."""

    user: str
    was: Secret
    now: Secret


class SignInTried(SignInUpdate, frozen=True, kw_only=True):
    """Count a failed sign-in for the key of each limit, unless one of them requires a wait."""

    limits: tuple[SignInLimit, ...]
    at: int


class FailuresReset(SignInUpdate, frozen=True, kw_only=True):
    """After a sign-in, delete the failure count of one key, and subtract one from the others."""

    key: bytes
    others: tuple[bytes, ...]


class DirectoryReader(Protocol):
    """Reads users, sessions, keys and the audit log. Any process may use it."""

    async def user(self, name: str) -> User | None: ...

    async def users(self) -> Sequence[User]:
        """Return all users by name."""

    async def session(self, digest: bytes) -> Session | None:
        """Return a session of any age."""

    async def sessions(self, user: str) -> Sequence[Session]:
        """Return the sessions of a user, latest first."""

    async def api_key(self, digest: bytes) -> ApiKey | None:
        """Return the API key with this digest, revoked or not."""

    async def api_keys(self) -> Sequence[ApiKey]:
        """Return all API keys, latest first."""

    async def audit(
        self, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[AuditEntry]:
        """Return the entries with a number below `before`, latest first.

        With `after`, return the entries with a number above it, in ascending order.
        """


class AccountDirectory(DirectoryReader, Protocol):
    """Changes users and API keys, in the store or through the gateway that owns it."""

    async def change(
        self, change: Change, *, audit_event: AuditEvent, session_digest: bytes = b""
    ) -> Result:
        """Apply a change and write the audit event in one transaction.

        The two-factor secrets of users without codes are deleted. `session_digest` is that of the
        requesting session: if the session has ended, nothing is changed. Commands on this machine
        pass an empty digest.
        """

    async def note(self, audit_event: AuditEvent) -> None:
        """Append to the audit log."""


class Directory(AccountDirectory, Protocol):
    """The directory of a store: accounts and sign-ins."""

    async def failed_sign_ins(self, keys: Sequence[bytes]) -> Mapping[bytes, FailedSignIns]:
        """Return the counted failures of keys."""

    async def update(self, update: SignInUpdate) -> int:
        """Update sessions or sign-in data; return how many records changed.

        For SignInTried, this is 0 if the user must wait.
        """


class Passwords(Protocol):
    """Hashes passwords, in tens of milliseconds on another thread."""

    async def hash(self, password: str) -> str:
        """Return a hash that contains its salt and cost."""

    async def verify(self, hash_: str, password: str) -> bool:
        """Return whether the password matches. The time does not depend on the hash."""

    def is_current(self, hash_: str) -> bool:
        """Return whether the hash has the current cost."""
