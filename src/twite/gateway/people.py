"""Ports for who works with the gateway. Each is a view of one store.

Every method raises LedgerUnavailable where the store cannot be read or written.
"""

from collections.abc import Sequence
from typing import Protocol

from twite.domain.people import ApiKey, Deed, Entry, Session, User


class Users(Protocol):
    """Who may sign in."""

    async def user(self, name: str) -> User | None:
        """Return one."""
        ...

    async def users(self) -> Sequence[User]:
        """Return all, in the order of their names."""
        ...

    async def keep_user(self, user: User) -> None:
        """Keep, durably, in place of what was kept under the name."""
        ...

    async def remove_user(self, name: str) -> bool:
        """Forget one, and end their sessions; return whether there was one."""
        ...

    async def take_step(self, name: str, step: int) -> bool:
        """Note that the code of a step was used; False where it, or a later one, was before."""
        ...

    async def take_recovery(self, name: str, code: str) -> bool:
        """Strike the hash of a recovery code off; False where it is not there."""
        ...


class Sessions(Protocol):
    """Who is signed in."""

    async def begin(self, session: Session) -> None:
        """Keep one."""
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

    async def end_old(self, *, begun_before: int, seen_before: int) -> None:
        """Forget those that are over."""
        ...


class ApiKeys(Protocol):
    """Programs that may ask."""

    async def api_keys(self) -> Sequence[ApiKey]:
        """Return all, revoked ones too, the latest first."""
        ...

    async def api_key(self, digest: bytes) -> ApiKey | None:
        """Return the one that this is the digest of, revoked or not."""
        ...

    async def keep_api_key(self, key: ApiKey) -> None:
        """Keep one."""
        ...

    async def revoke_api_key(self, id_: str, *, at: int) -> bool:
        """Let one open nothing any more; return whether there was one that did."""
        ...


class Trail(Protocol):
    """The audit: append-only, each entry with a hash over all before it."""

    async def note(self, deed: Deed) -> None:
        """Append."""
        ...

    async def entries(self, *, before: int | None, limit: int) -> Sequence[Entry]:
        """Return the latest entries with a smaller number, the latest first."""
        ...

    async def chain(self, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the entries behind a number, in their order."""
        ...


class People(Users, Sessions, ApiKeys, Trail, Protocol):
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
