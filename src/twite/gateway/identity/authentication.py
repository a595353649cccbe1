"""Authentication: sign in, sessions, sign out, API keys.

A wrong name, a wrong password and a wrong code get the same response after the same time. Attempts
are limited by address (for IPv6, by /64 network), by name, and by both together. The counts are
stored, so that all gateways on one database share them.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

import msgspec

from twite.domain.errors import SignedOut
from twite.domain.people.sign_in_limits import SignInLimit, longest_wait
from twite.domain.people.users import (
    NAME,
    ApiKey,
    AuditAction,
    AuditEvent,
    Session,
    User,
    Viewer,
)
from twite.domain.plural import plural
from twite.domain.secret import Masked, Secret
from twite.domain.test_mode import with_test_names
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.identity.two_factor import hash_of, step_of
from twite.gateway.ports.directory import (
    Directory,
    DirectoryReader,
    FailuresReset,
    Passwords,
    RecoveryUsed,
    Rehashed,
    SessionBegun,
    SessionEnded,
    SessionMoved,
    SessionSeen,
    SessionsEnded,
    SignInTried,
    StepUsed,
)
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.secret_store import CODES, SecretStore

_LONGEST_PASSWORD: Final = 1_024
_BYTES: Final = 32  # 256 bits
_SEEN_EVERY: Final = MINUTE
# A link is usually opened at once. It travels through a terminal or a chat, so it ends soon.
LINK_TIME: Final = 15 * MINUTE


class SessionTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The idle timeout and the maximum duration of a session, in milliseconds."""

    idle: int = 30 * MINUTE
    longest: int = 12 * HOUR


class LoginAttempt(Masked, frozen=True, kw_only=True):
    """Name, password and code as typed, and the client's address. Its repr shows no secrets."""

    in_repr = ("address",)
    name: str
    password: str
    code: str = ""
    address: str = ""
    agent: str = ""


class LoginSucceeded(msgspec.Struct, frozen=True, kw_only=True):
    """A successful sign-in, with the token for the browser."""

    token: Secret
    viewer: Viewer


class LoginFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A failed sign-in.

    `wait` is the number of seconds until the next attempt is allowed, 0 for no wait.
    """

    wait: int = 0


class AuthenticatedSession(msgspec.Struct, frozen=True, kw_only=True):
    viewer: Viewer
    session: Session
    user: User


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Authentication:
    """Signs users in and out, and finds their sessions.

    Without a secret store, two-factor authentication is not available.
    """

    directory: Directory
    passwords: Passwords
    clock: Clock
    secret_store: SecretStore | None
    times: SessionTimes = field(default_factory=SessionTimes)
    _nobodys: str | None = field(init=False, default=None)
    _is_open: bool = field(init=False, default=False)

    async def is_open(self) -> bool:
        """Return whether there is an admin: without one, nobody can manage users."""
        # Once there is an admin, there is always one: the last admin cannot be removed
        # (Result.LAST).
        if not self._is_open:
            self._is_open = any(user.is_admin for user in await self.directory.users())
        return self._is_open

    async def sign_in(self, attempt: LoginAttempt) -> LoginSucceeded | LoginFailed:
        wait = await self._admit(attempt)
        if wait:
            return LoginFailed(wait=-(-wait // SECOND))
        user = await self._known(attempt)
        now = self.clock.now()
        if user is None:
            await self._refused(attempt, at=now)
            return LoginFailed()
        user = await self._rehashed(user, attempt.password)
        begun = await self._begin(user, address=attempt.address, agent=attempt.agent)
        if isinstance(begun, LoginFailed):
            # While the hash was computed, the user was removed or got another password.
            await self._refused(attempt, at=now)
            return begun
        await self._passed(attempt)
        await self.directory.note(
            AuditEvent(at=now, who=user.name, what=AuditAction.SIGN_IN, detail=attempt.address)
        )
        return begun

    async def user_of_link(self, token: str) -> User | None:
        """Return the user whom a link signs in; None if it was used, has expired or is unknown."""
        link = await self.directory.session(link_digest_of(token))
        if link is None or self.clock.now() - link.begun_at >= LINK_TIME:
            return None
        user = await self.directory.user(link.user)
        return None if user is None or user.code_since is not None else user

    async def use_link(
        self, token: str, *, address: str, agent: str
    ) -> LoginSucceeded | LoginFailed:
        """Sign a user in by a link, once: of concurrent uses, only one removes the link."""
        user = await self.user_of_link(token)
        if user is None or not await self.directory.update(
            SessionEnded(digest=link_digest_of(token))
        ):
            return LoginFailed()
        begun = await self._begin(user, address=address, agent=agent)
        what = (
            AuditAction.SIGN_IN
            if isinstance(begun, LoginSucceeded)
            else AuditAction.SIGN_IN_REFUSED
        )
        await self.directory.note(
            AuditEvent(
                at=self.clock.now(), who=user.name, what=what, detail=f"{address}, by a link"
            )
        )
        return begun

    async def _begin(self, user: User, *, address: str, agent: str) -> LoginSucceeded | LoginFailed:
        """Begin a session, if the user still exists with this password."""
        token, now = secrets.token_urlsafe(_BYTES), self.clock.now()
        session = Session(
            digest=digest_of(token),
            user=user.name,
            begun_at=now,
            seen_at=now,
            address=address,
            agent=agent[:200],
        )
        begun = await self.directory.update(
            SessionBegun(
                session=session,
                user=user,
                begun_before=now - self.times.longest,
                seen_before=now - self.times.idle,
            )
        )
        if not begun:
            return LoginFailed()
        return LoginSucceeded(token=Secret(token), viewer=viewer_of(user))

    async def inside(self, token: str) -> AuthenticatedSession | None:
        """Return the session of a token; None if it has ended."""
        session = await self.directory.session(digest_of(token))
        if session is None:
            return None
        now = self.clock.now()
        times = self.times
        user = await self.directory.user(session.user)
        over = now - session.begun_at >= times.longest or now - session.seen_at >= times.idle
        if over or user is None:
            await self.directory.update(SessionEnded(digest=session.digest))
            return None
        if now - session.seen_at >= min(_SEEN_EVERY, times.idle // 2):
            await self.directory.update(SessionSeen(digest=session.digest, at=now))
        return AuthenticatedSession(viewer=viewer_of(user), session=session, user=user)

    async def confirms(self, session: AuthenticatedSession, password: str, address: str) -> bool:
        """Return whether the signed-in user's password is correct; used before a sensitive action.

        A wrong password counts as a failed sign-in. Raises SignedOut if the session ended or the
        password changed meanwhile.
        """
        user = session.user
        attempt = LoginAttempt(name=user.name, password=password, address=address)
        if not password or len(password) > _LONGEST_PASSWORD or await self._admit(attempt):
            return False
        right = await self.passwords.verify(user.password.reveal(), password)
        if right:
            await self._passed(attempt)
            now = await self.directory.user(user.name)
            still = await self.directory.session(session.session.digest)
            if now is None or now.password != user.password or still is None:
                raise SignedOut
        else:
            await self._refused(attempt, at=self.clock.now(), what=AuditAction.CONFIRM_REFUSED)
        return right

    async def renew(self, session: AuthenticatedSession) -> Secret:
        """Give a session a new token after a change of credentials.

        Raises SignedOut if the session has ended.
        """
        token = secrets.token_urlsafe(_BYTES)
        moved = SessionMoved(digest=session.session.digest, to=digest_of(token))
        if not await self.directory.update(moved):
            raise SignedOut
        return Secret(token)

    async def leave(self, session: AuthenticatedSession) -> None:
        await self.directory.update(SessionEnded(digest=session.session.digest))
        await self.directory.note(
            AuditEvent(at=self.clock.now(), who=session.user.name, what=AuditAction.SIGN_OUT)
        )

    async def leave_everywhere(self, session: AuthenticatedSession) -> int:
        """End the other sessions of a user; return how many there were."""
        ended = await self.directory.update(
            SessionsEnded(user=session.user.name, but=session.session.digest)
        )
        await self.directory.note(
            AuditEvent(
                at=self.clock.now(),
                who=session.user.name,
                what=AuditAction.SIGN_OUT_ELSEWHERE,
                detail=f"{plural(ended, 'session')}",
            )
        )
        return ended

    async def _known(self, attempt: LoginAttempt) -> User | None:
        """Return the user with this password and code."""
        fits = NAME.fullmatch(attempt.name) and len(attempt.password) <= _LONGEST_PASSWORD
        user = await self.directory.user(attempt.name) if fits else None
        # Created even if the user is known. Otherwise, the first sign-in with an unknown name would
        # take longer.
        nobodys = await self._nobody()
        hash_ = user.password.reveal() if user is not None and user.has_password else nobodys
        right = await self.passwords.verify(hash_, attempt.password if fits else "")
        if (
            user is None
            or not user.has_password
            or not right
            or not await self._second(user, attempt.code)
        ):
            return None
        return user

    async def _second(self, user: User, code: str) -> bool:
        """Return whether the code is valid and unused, or no code is required."""
        if user.code_since is None:
            return True
        if self.secret_store is not None:
            for name, plain in await self.secret_store.all(CODES + user.name):
                if name == CODES + user.name:
                    step = step_of(Secret(plain.decode()), code, now=self.clock.now())
                    if step is not None:
                        used = StepUsed(user=user.name, step=step)
                        return bool(await self.directory.update(used))
        recovery = RecoveryUsed(user=user.name, code=hash_of(code))
        return bool(code) and bool(await self.directory.update(recovery))

    async def _refused(
        self, attempt: LoginAttempt, *, at: int, what: str = AuditAction.SIGN_IN_REFUSED
    ) -> None:
        await self.directory.note(
            AuditEvent(at=at, who=_name(attempt), what=what, detail=attempt.address)
        )

    async def _rehashed(self, user: User, password: str) -> User:
        """Rehash a password stored with a different cost; return the updated user."""
        if self.passwords.is_current(user.password.reveal()):
            return user
        hash_ = Secret(await self.passwords.hash(password))
        if not await self.directory.update(Rehashed(user=user.name, was=user.password, now=hash_)):
            return user
        return msgspec.structs.replace(user, password=hash_)

    async def _nobody(self) -> str:
        """Return the hash of a random password, so that an unknown name takes as much time."""
        if self._nobodys is None:
            self._nobodys = await self.passwords.hash(secrets.token_urlsafe(_BYTES))
        return self._nobodys

    async def _admit(self, attempt: LoginAttempt) -> int:
        """Return the milliseconds to wait; if 0, count a failure.

        The failure is counted before the check. Otherwise, many concurrent attempts would all be
        checked.
        """
        limits, now = _limits(attempt), self.clock.now()
        while True:
            failed = await self.directory.failed_sign_ins([limit.key for limit in limits])
            wait = longest_wait(limits, failed, now=now)
            if wait or await self.directory.update(SignInTried(limits=limits, at=now)):
                return wait

    async def _passed(self, attempt: LoginAttempt) -> None:
        by_both, *others = (limit.key for limit in _limits(attempt))
        await self.directory.update(FailuresReset(key=by_both, others=tuple(others)))


def _limits(attempt: LoginAttempt) -> tuple[SignInLimit, ...]:
    """Return the limits of a sign-in. The first one is by name and address."""
    name, network = _name(attempt), _network(attempt)
    return (
        SignInLimit(key=digest_of(f"{name} {network}"), free=5),
        SignInLimit(key=digest_of(f" {network}"), free=20),
        SignInLimit(key=digest_of(name), free=50),
    )


def digest_of(token: str) -> bytes:
    """Return the digest to store for a token or API key: random values need no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def link_digest_of(token: str) -> bytes:
    """Return the digest of a sign-in link, which is never that of a session's token."""
    return digest_of(f"link {token}")


def viewer_of(user: User) -> Viewer:
    """Return a user's permissions and visible pixels, with their tests."""
    pixels = None if user.pixels is None else with_test_names(user.pixels)
    return Viewer(name=user.name, role=user.role, pixels=pixels)


def _name(attempt: LoginAttempt) -> str:
    """Return the name if it is well-formed: it may be a password typed into the wrong field."""
    return attempt.name if NAME.fullmatch(attempt.name) else "(no name)"


def _network(attempt: LoginAttempt) -> str:
    """Return the address; for IPv6, its /64 network, because a client has the whole network."""
    try:
        there = ip_address(attempt.address)
    except ValueError:
        return attempt.address
    if isinstance(there, IPv6Address):
        return str(IPv6Network((int(there) >> 64 << 64, 64)))
    return attempt.address


class ApiKeyLookup:
    """Finds keys by digest. A revoked key is refused from the next request on."""

    def __init__(self, directory: DirectoryReader) -> None:
        self._api_keys = directory

    async def find(self, text: str) -> ApiKey | None:
        """Return the key, unless it is unknown or revoked. Raises LedgerUnavailable."""
        key = await self._api_keys.api_key(digest_of(text))
        return None if key is None or key.revoked_at is not None else key
