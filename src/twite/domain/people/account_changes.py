"""Account changes: create, change and remove users, sessions and API keys.

Each names only what it changes and is made whole, with its entry in the audit, or not at all: what
was read before a password was hashed may not be so any more.
"""

from enum import StrEnum

import msgspec

from twite.domain.people.users import ApiKey, Role, User
from twite.domain.secret import Secret


class UserAdded(msgspec.Struct, frozen=True, kw_only=True, tag="Added"):
    """Create a user."""

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
    """Another password, since `at`. Sessions end but one; `was` is the one that it replaces.

    Without `was` it replaces whichever there is.
    """

    name: str
    password: Secret
    at: int
    was: Secret | None = None
    but: bytes = b""


class TwoFactorEnabled(msgspec.Struct, frozen=True, kw_only=True, tag="CodesBegun"):
    """Codes are asked for, where none were. Sessions end but one."""

    name: str
    since: int
    step: int
    recovery: tuple[str, ...]
    but: bytes = b""


class TwoFactorDisabled(msgspec.Struct, frozen=True, kw_only=True, tag="CodesEnded"):
    """Codes are no longer required. Sessions end but one."""

    name: str
    but: bytes = b""


class KeyMade(msgspec.Struct, frozen=True, kw_only=True, tag="KeyMade"):
    """A program may ask."""

    key: ApiKey


class KeyRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="KeyRevoked"):
    """A program may ask no more."""

    id: str
    at: int


ChangeOfOne = UserRemoved | UserAllowed | PasswordSet | TwoFactorEnabled | TwoFactorDisabled
Change = UserAdded | ChangeOfOne | KeyMade | KeyRevoked


class Result(StrEnum):
    """What came of a change. But for DONE, nothing was changed, and nothing noted."""

    DONE = "done"
    OVER = "over"  # the session by which it was asked is over
    TAKEN = "taken"  # the name is somebody's
    GONE = "gone"  # there is nobody of that name, or no such key
    LAST = "last"  # nobody would be an admin any more
    OTHERWISE = "otherwise"  # it is not any more as the change takes it to be


def ends_admin(change: ChangeOfOne) -> bool:
    """Return whether nobody is an admin by that name after it."""
    return isinstance(change, UserRemoved) or (
        isinstance(change, UserAllowed)
        and not (change.role is Role.ADMIN and change.pixels is None)
    )


def spared(change: ChangeOfOne) -> bytes:
    """Return the digest of the session that goes on; b"" for none."""
    return b"" if isinstance(change, UserRemoved | UserAllowed) else change.but
