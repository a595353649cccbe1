"""Who may sign in and which programs may ask: made, changed and removed.

Each is written into the audit before it is done. The last admin stays one: a console without any
would be closed for good.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from twite.domain.errors import Unfit
from twite.domain.people import NAME, ApiKey, Deed, Role, Scope, User
from twite.domain.secret import Secret
from twite.gateway.doorkeeper import digest_of
from twite.gateway.guessable import LEAST, weight
from twite.gateway.people import Passwords
from twite.gateway.ports import Clock

SHORTEST: Final = 12
LONGEST: Final = 1_024
KEY_PREFIX: Final = "twk_"
_KEY_NAME: Final = re.compile(r"[\w .@-]{1,64}")
_ID_BYTES: Final = 5
_KEY_BYTES: Final = 32


class StaffRoom(Protocol):
    """What of twite.gateway.people it stands on."""

    async def user(self, name: str) -> User | None: ...
    async def users(self) -> Sequence[User]: ...
    async def keep_user(self, user: User) -> None: ...
    async def remove_user(self, name: str) -> bool: ...
    async def end_all(self, user: str, *, but: bytes = b"") -> int: ...
    async def api_keys(self) -> Sequence[ApiKey]: ...
    async def keep_api_key(self, key: ApiKey) -> None: ...
    async def revoke_api_key(self, id_: str, *, at: int) -> bool: ...
    async def note(self, deed: Deed) -> None: ...


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A program's key. `text` is shown once and kept nowhere."""

    key: ApiKey
    text: Secret


class Staff:
    """Every method takes `by`, who asks for it, and raises Unfit and LedgerUnavailable."""

    def __init__(self, *, people: StaffRoom, passwords: Passwords, clock: Clock) -> None:
        self._people = people
        self._passwords = passwords
        self._clock = clock

    async def add(
        self, name: str, *, role: Role, password: str, pixels: Iterable[str] | None, by: str
    ) -> User:
        """Let somebody sign in."""
        if not NAME.fullmatch(name):
            raise Unfit(
                f"{name[:64]!r} is no name for a user: 1 to 64 small letters, digits and ._-@+, "
                "a letter or digit first"
            )
        if await self._people.user(name) is not None:
            raise Unfit(f"{name} is there already")
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
        await self._note(by, "user.add", name, f"{role}, {seen(user.pixels)}")
        await self._people.keep_user(user)
        return user

    async def allow(self, name: str, *, role: Role, pixels: Iterable[str] | None, by: str) -> User:
        """Change what somebody may do and see. They are signed out, and sign in anew."""
        user = await self._there(name)
        if user.role is Role.ADMIN and role is not Role.ADMIN:
            await self._refuse_last(name)
        changed = msgspec.structs.replace(user, role=role, pixels=_sorted(pixels))
        await self._note(by, "user.role", name, f"{role}, {seen(changed.pixels)}")
        await self._people.keep_user(changed)
        await self._people.end_all(name)
        return changed

    async def give_password(self, name: str, password: str, *, by: str, but: bytes = b"") -> None:
        """Replace a password. All sessions end but one."""
        user = await self._there(name)
        refuse_weak(password, name=name)
        hash_ = Secret(await self._passwords.hash(password))
        await self._note(by, "user.password", name)
        again = await self._there(name)
        await self._people.keep_user(
            msgspec.structs.replace(again, password=hash_, password_at=self._clock.now())
        )
        await self._people.end_all(user.name, but=but)

    async def drop_codes(self, name: str, *, by: str) -> None:
        """Ask for no code any more, where a device was lost."""
        user = await self._there(name)
        await self._note(by, "user.codes_off", name)
        await self._people.keep_user(
            msgspec.structs.replace(user, code_since=None, recovery=(), code_step=0)
        )
        await self._people.end_all(name)

    async def remove(self, name: str, *, by: str) -> None:
        """Let somebody sign in no more."""
        user = await self._there(name)
        if user.role is Role.ADMIN:
            await self._refuse_last(name)
        await self._note(by, "user.remove", name)
        await self._people.remove_user(name)

    async def make_key(
        self, name: str, *, scopes: Iterable[Scope], pixels: Iterable[str] | None, by: str
    ) -> Made:
        """Let a program ask."""
        chosen = frozenset(scopes)
        if not _KEY_NAME.fullmatch(name):
            raise Unfit("a key needs a name that says whose it is, of 1 to 64 letters and digits")
        if not chosen:
            raise Unfit("a key without a scope opens nothing: choose at least one")
        if Scope.METRICS in chosen and pixels is not None:
            raise Unfit("/metrics tells of every pixel: a key for it cannot be for some pixels")
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
        await self._note(by, "key.add", id_, detail)
        await self._people.keep_api_key(key)
        return Made(key=key, text=Secret(text))

    async def revoke_key(self, id_: str, *, by: str) -> None:
        """Let a key open nothing any more."""
        if not any(key.id == id_ for key in await self.keys()):
            raise Unfit(f"there is no key {id_[:32]!r}; twite key list shows which there are")
        await self._note(by, "key.revoke", id_)
        await self._people.revoke_api_key(id_, at=self._clock.now())

    async def users(self) -> Sequence[User]:
        """Return who may sign in."""
        return await self._people.users()

    async def keys(self) -> Sequence[ApiKey]:
        """Return the programs' keys, revoked ones too."""
        return await self._people.api_keys()

    async def _there(self, name: str) -> User:
        user = await self._people.user(name)
        if user is None:
            raise Unfit(f"there is no user {name[:64]!r}; twite user list shows who there is")
        return user

    async def _refuse_last(self, name: str) -> None:
        others = [user for user in await self._people.users() if user.name != name]
        if not any(user.role is Role.ADMIN for user in others):
            raise Unfit(f"{name} is the only admin: make somebody else one first")

    async def _note(self, by: str, what: str, subject: str, detail: str = "") -> None:
        deed = Deed(at=self._clock.now(), who=by, what=what, subject=subject, detail=detail)
        await self._people.note(deed)


def refuse_weak(password: str, *, name: str) -> None:
    """Raise Unfit for a password that is short, known to everybody, or says the name.

    Length counts, not what it is made of. [ASVS 5.0 6.2.1, 6.2.4, 6.2.5]
    """
    if len(password) < SHORTEST:
        raise Unfit(
            f"a password needs {SHORTEST} characters at least, and 15 or more are better: "
            "a sentence does well"
        )
    if len(password) > LONGEST:
        raise Unfit(f"a password may have {LONGEST:,} characters")
    plain = password.lower()
    if name.lower() in plain and len(plain) - len(name) < SHORTEST:
        raise Unfit("the password is little more than the user's name: choose another")
    if "twite" in plain and len(plain.replace("twite", "")) < SHORTEST:
        raise Unfit("the password is little more than the product's name: choose another")
    if weight(password) < LEAST:
        raise Unfit(
            "the password is made of words and rows that everybody tries first: choose another"
        )


def seen(pixels: Sequence[str] | None) -> str:
    """Say which pixels are seen."""
    return "all pixels" if pixels is None else f"pixels: {', '.join(pixels) or 'none'}"


def _sorted(pixels: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if pixels is None else tuple(sorted(set(pixels)))
