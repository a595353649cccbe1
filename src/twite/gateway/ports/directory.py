"""Ports for who works with the gateway. Each is a view of one store.

Every method raises LedgerUnavailable where the store cannot be read or written.
"""

from collections.abc import Sequence
from typing import Protocol

from twite.domain.people.account_changes import Change, Result
from twite.domain.people.users import ApiKey, AuditEntry, AuditEvent, Session, User
from twite.domain.secret import Secret


class Users(Protocol):
    """Who may sign in."""

    async def user(self, name: str) -> User | None:
        """Return one."""
        ...

    async def users(self) -> Sequence[User]:
        """Return all, in the order of their names."""
        ...

    async def take_step(self, name: str, step: int) -> bool:
        """Note that the code of a step was used; False where it, or a later one, was before."""
        ...

    async def take_recovery(self, name: str, code: str) -> bool:
        """Strike the hash of a recovery code off; False where it is not there."""
        ...

    async def rehash(self, name: str, *, was: Secret, now: Secret) -> bool:
        """Keep another hash of the same password; False where it is another one by now."""
        ...


class UserDirectory(Protocol):
    """Who may sign in and which programs may ask, changed."""

    async def change(
        self, change: Change, *, audit_event: AuditEvent, warrant: bytes = b""
    ) -> Result:
        """Make a change and note the deed, durably and in one transaction, or do neither.

        Where a user has no codes any more, or is gone, so is the secret of their codes.

        `warrant` is the digest of the session by which it is asked: with that over, nothing is
        done. Without one, whoever asks stands at the machine itself.
        """
        ...


class Sessions(Protocol):
    """Who is signed in."""

    async def begin(
        self, session: Session, *, known: User, begun_before: int = 0, seen_before: int = 0
    ) -> bool:
        """Keep one, if the user still has the password and the codes that were known.

        Those that are over, begun or seen before a moment, are forgotten.
        """
        ...

    async def move(self, digest: bytes, *, to: bytes) -> bool:
        """Let one go on under another digest; False where it is over."""
        ...

    async def session(self, digest: bytes) -> Session | None:
        """Return one, however old."""
        ...

    async def sessions(self, user: str) -> Sequence[Session]:
        """Return those of a user, the latest first."""
        ...

    async def seen(self, digest: bytes, *, at: int) -> None:
        """Note when it was used last."""
        ...

    async def end(self, digest: bytes) -> None:
        """Forget one."""
        ...

    async def end_all(self, user: str, *, but: bytes = b"") -> int:
        """Forget those of a user, all but one; return how many it was."""
        ...


class ApiKeys(Protocol):
    """Programs that may ask."""

    async def api_keys(self) -> Sequence[ApiKey]:
        """Return all, revoked ones too, the latest first."""
        ...

    async def api_key(self, digest: bytes) -> ApiKey | None:
        """Return the one that this is the digest of, revoked or not."""
        ...


class AuditLog(Protocol):
    """The audit: append-only, each entry with a hash over all before it."""

    async def note(self, audit_event: AuditEvent) -> None:
        """Append."""
        ...

    async def entries(self, *, before: int | None, limit: int) -> Sequence[AuditEntry]:
        """Return the latest entries with a smaller number, the latest first."""
        ...

    async def chain(self, *, after: int, limit: int) -> Sequence[AuditEntry]:
        """Return the entries behind a number, in their order."""
        ...


class DirectoryReader(Protocol):
    """What any process reads, beside the one that owns the store."""

    async def user(self, name: str) -> User | None:
        """Return one."""
        ...

    async def users(self) -> Sequence[User]:
        """Return all, in the order of their names."""
        ...

    async def api_keys(self) -> Sequence[ApiKey]:
        """Return all, revoked ones too, the latest first."""
        ...

    async def entries(self, *, before: int | None, limit: int) -> Sequence[AuditEntry]:
        """Return the latest entries with a smaller number, the latest first."""
        ...

    async def chain(self, *, after: int, limit: int) -> Sequence[AuditEntry]:
        """Return the entries behind a number, in their order."""
        ...


class Directory(Users, UserDirectory, Sessions, ApiKeys, AuditLog, Protocol):
    """All of it."""


class Passwords(Protocol):
    """Hashes passwords. It takes its time: tens of milliseconds, on another thread."""

    async def hash(self, password: str) -> str:
        """Return a hash that holds its own salt and cost."""
        ...

    async def verify(self, hash_: str, password: str) -> bool:
        """Return whether it is the password. Any hash takes as long as a good one."""
        ...

    def is_current(self, hash_: str) -> bool:
        """Return whether it was made at today's cost."""
        ...
