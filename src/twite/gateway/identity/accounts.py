"""Accounts: create, change and remove users and API keys.

Each change and its audit event are written in one transaction. The last admin cannot be removed or
demoted, because the console is closed while there is no admin. An admin sees all pixels: limits
would be pointless, because an admin can create users and keys without limits.
"""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.errors import InvalidAccountChange, SignedOut
from twite.domain.people.users import (
    NAME,
    NO_PASSWORD,
    ApiKey,
    AuditAction,
    AuditEvent,
    Change,
    KeyMade,
    KeyRevoked,
    KeyScope,
    LinkMade,
    PasswordSet,
    Result,
    Role,
    Session,
    TwoFactorDisabled,
    User,
    UserAdded,
    UserAllowed,
    UserRemoved,
)
from twite.domain.secret import Secret
from twite.domain.times import spelled
from twite.gateway.identity.authentication import LINK_TIME, digest_of, link_digest_of
from twite.gateway.identity.weak_passwords import refuse_weak
from twite.gateway.ports.directory import AccountDirectory, Passwords
from twite.gateway.ports.machine import Clock

KEY_PREFIX: Final = "twk_"
_KEY_NAME: Final = re.compile(r"[\w .@-]{1,64}")
# The name of each change in the audit log.
_WORDS: Final[Mapping[type[Change], str]] = {
    UserAdded: AuditAction.USER_ADD,
    UserAllowed: AuditAction.USER_ROLE,
    PasswordSet: AuditAction.USER_PASSWORD,
    TwoFactorDisabled: AuditAction.USER_CODES_OFF,
    UserRemoved: AuditAction.USER_REMOVE,
    KeyMade: AuditAction.KEY_ADD,
    KeyRevoked: AuditAction.KEY_REVOKE,
    LinkMade: AuditAction.USER_LINK,
}
UNUSED_LINK: Final = "sign-in link, not used yet"
_ID_BYTES: Final = 5
_KEY_BYTES: Final = 32


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new API key. `text` is shown once and not stored."""

    key: ApiKey
    text: Secret


class Accounts:
    """Users and API keys.

    Every method receives `by`, the acting user, and raises InvalidAccountChange and
    LedgerUnavailable. `session_digest` identifies the requesting session. If that session has ended
    before the change, for example because another user removed this user, SignedOut is raised and
    nothing is changed.
    """

    def __init__(self, *, directory: AccountDirectory, passwords: Passwords, clock: Clock) -> None:
        self._people = directory
        self._passwords = passwords
        self._clock = clock

    async def add(
        self,
        name: str,
        *,
        role: Role,
        password: str,
        pixels: Iterable[str] | None,
        by: str,
        session_digest: bytes = b"",
    ) -> User:
        refuse_limited(role, pixels)
        if not NAME.fullmatch(name):
            raise InvalidAccountChange(_unfit(name))
        if await self._people.user(name) is not None:
            raise InvalidAccountChange(_taken(name))
        refuse_weak(password, name=name)
        now = self._clock.now()
        user = User(
            name=name,
            role=role,
            password=Secret(await self._passwords.hash(password)),
            created_at=now,
            password_at=now,
            pixels=_sorted(pixels),
        )
        detail = f"{role}, {seen(user.pixels)}"
        await self._change(
            UserAdded(user=user), name, by=by, detail=detail, session_digest=session_digest
        )
        return user

    async def allow(
        self,
        name: str,
        *,
        role: Role,
        pixels: Iterable[str] | None,
        by: str,
        session_digest: bytes = b"",
    ) -> tuple[str, ...] | None:
        """Change a user's role or pixels, and end their sessions.

        Returns the pixels that the user may see now.
        """
        refuse_limited(role, pixels)
        change = UserAllowed(name=name, role=role, pixels=_sorted(pixels))
        detail = f"{role}, {seen(change.pixels)}"
        await self._change(change, name, by=by, detail=detail, session_digest=session_digest)
        return change.pixels

    async def give_password(
        self,
        name: str,
        password: str,
        *,
        by: str,
        old_secret: Secret | None = None,
        but: bytes = b"",
        session_digest: bytes = b"",
    ) -> None:
        """Replace a password; if `old_secret` is given, it must be the current hash.

        All other sessions end.
        """
        refuse_weak(password, name=name)
        change = PasswordSet(
            name=name,
            password=Secret(await self._passwords.hash(password)),
            at=self._clock.now(),
            was=old_secret,
            but=but,
        )
        await self._change(change, name, by=by, session_digest=session_digest)

    async def drop_codes(self, name: str, *, by: str, session_digest: bytes = b"") -> None:
        """Turn off two-factor authentication, for a user who lost the device."""
        await self._change(TwoFactorDisabled(name=name), name, by=by, session_digest=session_digest)

    async def remove(self, name: str, *, by: str, session_digest: bytes = b"") -> None:
        await self._change(UserRemoved(name=name), name, by=by, session_digest=session_digest)

    async def make_link(
        self, name: str, *, by: str, lasts: int = LINK_TIME, session_digest: bytes = b""
    ) -> Secret:
        """Return a token that signs the user in once, for `lasts` (ms): only its digest is kept.

        The link would bypass sign-in codes, so users with codes have none.
        """
        user = await self._people.user(name)
        if user is None:
            raise InvalidAccountChange(_nobody(name))
        if user.code_since is not None:
            raise InvalidAccountChange(
                f"{name} signs in with a code, which a link would bypass: sign in with the "
                "password and the code"
            )
        return await self._linked(user, lasts=lasts, by=by, session_digest=session_digest)

    async def make_client_link(
        self, name: str, *, pixels: Iterable[str], lasts: int, by: str, session_digest: bytes
    ) -> Secret:
        """Return a link for a client: a viewer of some pixels, who has no password.

        A client who exists gets a new link to the same pixels.
        """
        chosen = _sorted(pixels) or ()
        if not chosen:
            raise InvalidAccountChange("choose at least one pixel that the client may see")
        if not NAME.fullmatch(name):
            raise InvalidAccountChange(_unfit(name))
        user = await self._people.user(name)
        if user is None:
            now = self._clock.now()
            user = User(
                name=name,
                role=Role.VIEWER,
                password=Secret(NO_PASSWORD + secrets.token_hex(_KEY_BYTES)),
                created_at=now,
                password_at=now,
                pixels=chosen,
            )
            detail = f"{user.role}, {seen(chosen)}, signs in by links"
            change = UserAdded(user=user)
            await self._change(change, name, by=by, detail=detail, session_digest=session_digest)
        elif user.has_password or user.role is not Role.VIEWER or user.pixels != chosen:
            raise InvalidAccountChange(
                f"{name} already exists, with a password or other pixels: choose another name"
            )
        return await self._linked(user, lasts=lasts, by=by, session_digest=session_digest)

    async def _linked(self, user: User, *, lasts: int, by: str, session_digest: bytes) -> Secret:
        token = secrets.token_urlsafe(_KEY_BYTES)
        # A link ends LINK_TIME after its session's beginning.
        begun_at = self._clock.now() + lasts - LINK_TIME
        link = Session(
            digest=link_digest_of(token),
            user=user.name,
            begun_at=begun_at,
            seen_at=begun_at,
            address="",
            agent=UNUSED_LINK,
        )
        await self._change(
            LinkMade(session=link, user=user),
            user.name,
            by=by,
            detail="" if lasts == LINK_TIME else f"until {spelled(begun_at + LINK_TIME)}",
            session_digest=session_digest,
        )
        return Secret(token)

    async def make_key(
        self,
        name: str,
        *,
        scopes: Iterable[KeyScope],
        pixels: Iterable[str] | None,
        by: str,
        session_digest: bytes = b"",
    ) -> CreatedKey:
        chosen = frozenset(scopes)
        if not _KEY_NAME.fullmatch(name):
            raise InvalidAccountChange(
                "a key needs a name of 1 to 64 letters and digits, such as the name of the "
                "program that uses it"
            )
        if not chosen:
            raise InvalidAccountChange(
                "a key without a scope can read nothing: choose at least one scope"
            )
        if KeyScope.METRICS in chosen and pixels is not None:
            raise InvalidAccountChange(
                "/metrics covers all pixels: a key for /metrics cannot be limited to some pixels"
            )
        id_ = secrets.token_hex(_ID_BYTES)
        text = f"{KEY_PREFIX}{id_}_{secrets.token_urlsafe(_KEY_BYTES)}"
        key = ApiKey(
            id=id_,
            name=name,
            digest=digest_of(text),
            scopes=chosen,
            created_at=self._clock.now(),
            made_by=by,
            pixels=_sorted(pixels),
        )
        detail = f"{name}: {', '.join(sorted(chosen))}, {seen(key.pixels)}"
        await self._change(
            KeyMade(key=key), id_, by=by, detail=detail, session_digest=session_digest
        )
        return CreatedKey(key=key, text=Secret(text))

    async def revoke_key(self, id_: str, *, by: str, session_digest: bytes = b"") -> None:
        if not any(key.id == id_ for key in await self.keys()):
            raise InvalidAccountChange(
                f"there is no key {id_[:32]!r}; run twite key list to see all keys"
            )
        change = KeyRevoked(id=id_, at=self._clock.now())
        await self._change(change, id_, by=by, session_digest=session_digest)

    async def users(self) -> Sequence[User]:
        return await self._people.users()

    async def keys(self) -> Sequence[ApiKey]:
        """Return the API keys, including revoked ones."""
        return await self._people.api_keys()

    async def _change(
        self, change: Change, subject: str, *, by: str, session_digest: bytes, detail: str = ""
    ) -> None:
        """Make a change with its audit event, or raise an error with the reason."""
        audit_event = AuditEvent(
            at=self._clock.now(),
            who=by,
            what=_WORDS[type(change)],
            subject=subject[:64],
            detail=detail,
        )
        result = await self._people.change(
            change, audit_event=audit_event, session_digest=session_digest
        )
        match result:
            case Result.DONE:
                return
            case Result.OVER:
                raise SignedOut
            case Result.LAST:
                raise InvalidAccountChange(
                    f"{subject} is the only admin: make another user admin first"
                )
            case Result.TAKEN:
                raise InvalidAccountChange(_taken(subject))
            case Result.GONE if isinstance(change, KeyRevoked):
                raise InvalidAccountChange("the key has already been revoked")
            case Result.GONE:
                raise InvalidAccountChange(_nobody(subject))
            case Result.OTHERWISE:
                raise InvalidAccountChange(
                    "another user made a change in the meantime: reload and try again"
                )


def refuse_limited(role: Role, pixels: Iterable[str] | None) -> None:
    """Raise InvalidAccountChange if an admin would be limited to some pixels."""
    if role is Role.ADMIN and pixels is not None:
        raise InvalidAccountChange(
            "an admin cannot be limited to some pixels, because an admin can lift any limit: "
            "give the user all pixels, or make the user an operator"
        )


def seen(pixels: Sequence[str] | None) -> str:
    return "all pixels" if pixels is None else f"pixels: {', '.join(pixels) or 'none'}"


def _unfit(name: str) -> str:
    return (
        f"{name[:64]!r} is not a valid user name: use 1 to 64 lowercase letters, digits and "
        "._-@+, starting with a letter or digit"
    )


def _taken(name: str) -> str:
    return f"{name} already exists"


def _nobody(name: str) -> str:
    return f"there is no user {name[:64]!r}; run twite user list to see all users"


def _sorted(pixels: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if pixels is None else tuple(sorted(set(pixels)))
