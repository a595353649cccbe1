"""Accounts: create, change and remove users and API keys.

Each change and its audit event are written in one transaction. The last admin cannot be removed or
demoted, because the console is closed while there is no admin. An admin sees all pixels: limits
would be pointless, because an admin can create users and keys without limits.
"""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from twite.domain.errors import InvalidAccountChange, SignedOut
from twite.domain.people.users import (
    NAME,
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
from twite.gateway.identity.authentication import digest_of, link_digest_of
from twite.gateway.ports.directory import AccountDirectory, Passwords
from twite.gateway.ports.machine import Clock

SHORTEST: Final = 12
LONGEST: Final = 1_024
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
# A password with a lower weight is easy to guess.
LEAST: Final = 8
_PIECE: Final = 2
_SHORTEST_RUN: Final = 3
# Longest first, so that a prefix does not match before the whole word.
_COMMON: Final = tuple(
    sorted(
        Path(__file__).with_name("common_passwords.txt").read_text("utf-8").split(),
        key=len,
        reverse=True,
    )
)
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop[]",
    "qwertzuiopü",
    "azertyuiop",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "yxcvbnm",
    "!@#$%^&*()",
)
_RUNS: Final = tuple(row + "\n" + row[::-1] for row in _ROWS)
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
# Common substitutions of letters.
_PLAIN: Final = str.maketrans("@4031$5!7", "aaoeissit")


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
            raise InvalidAccountChange(
                f"{name[:64]!r} is not a valid user name: use 1 to 64 lowercase letters, "
                "digits and ._-@+, starting with a letter or digit"
            )
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

    async def make_link(self, name: str, *, by: str) -> Secret:
        """Return a token that signs the user in once, for LINK_TIME: only its digest is kept.

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
        token, now = secrets.token_urlsafe(_KEY_BYTES), self._clock.now()
        link = Session(
            digest=link_digest_of(token),
            user=name,
            begun_at=now,
            seen_at=now,
            address="",
            agent=UNUSED_LINK,
        )
        await self._change(LinkMade(session=link, user=user), name, by=by, session_digest=b"")
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


def refuse_weak(password: str, *, name: str) -> None:
    """Raise InvalidAccountChange for a password that is short, common, or contains the name.

    Length counts, but the kinds of characters do not. [ASVS 5.0 6.2.1, 6.2.4,
    6.2.5]
    """
    if len(password) < SHORTEST:
        raise InvalidAccountChange(
            f"a password needs at least {SHORTEST} characters; 15 or more are better, and a "
            "sentence works well"
        )
    if len(password) > LONGEST:
        raise InvalidAccountChange(f"a password may have at most {LONGEST:,} characters")
    plain = password.lower()
    if name.lower() in plain and len(plain) - len(name) < SHORTEST:
        raise InvalidAccountChange(
            "the password is little more than the user's name: choose another"
        )
    if "twite" in plain and len(plain.replace("twite", "")) < SHORTEST:
        raise InvalidAccountChange(
            "the password is little more than the product's name: choose another"
        )
    if weight(password) < LEAST:
        raise InvalidAccountChange(
            "the password is made of common words and keyboard rows: choose another"
        )


def seen(pixels: Sequence[str] | None) -> str:
    return "all pixels" if pixels is None else f"pixels: {', '.join(pixels) or 'none'}"


def _taken(name: str) -> str:
    return f"{name} already exists"


def _nobody(name: str) -> str:
    return f"there is no user {name[:64]!r}; run twite user list to see all users"


def _sorted(pixels: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if pixels is None else tuple(sorted(set(pixels)))


def weight(password: str) -> int:
    """Return the strength of a password, as an approximate number of random characters."""
    plain = password.lower()
    return min(_weight(plain), _weight(plain.translate(_PLAIN)))


def _weight(text: str) -> int:
    unit = _repeated(text)
    if unit != text:
        return _weight(unit) + 1
    counted = at = 0
    while at < len(text):
        length = _known(text, at)
        counted += min(_PIECE, length)
        at += length
    return counted


def _known(text: str, at: int) -> int:
    """Return the length of the common word or sequence at a position; 1 if there is none."""
    word = next((word for word in _COMMON if text.startswith(word, at)), "")
    year = _YEAR.match(text, at)
    same = len(text) - at - len(text[at:].lstrip(text[at]))
    run = 1
    while at + run < len(text) and any(text[at : at + run + 1] in alphabet for alphabet in _RUNS):
        run += 1
    longest = max(len(word), len(year[0]) if year else 0, same, run)
    return longest if longest >= _SHORTEST_RUN else 1


def _repeated(text: str) -> str:
    at = (text + text).find(text, 1)
    return text[:at] if 0 < at < len(text) else text
