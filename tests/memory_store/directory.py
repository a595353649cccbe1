"""Users, sessions, API keys and the audit log, in memory."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from memory_store.state import MemoryState
from twite.domain.people.sign_in_limits import (
    FailedSignIns,
    SignInLimit,
    longest_wait,
    one_more,
)
from twite.domain.people.users import (
    NO_HASH,
    ApiKey,
    AuditEntry,
    AuditEvent,
    Change,
    ChangeOfOne,
    KeyMade,
    KeyRevoked,
    LinkMade,
    PasswordSet,
    Result,
    Session,
    TwoFactorDisabled,
    TwoFactorEnabled,
    User,
    UserAdded,
    UserAllowed,
    UserRemoved,
    chained,
    ends_admin,
    spared,
    written,
)
from twite.domain.secret import Secret
from twite.gateway.ports.directory import (
    FailuresReset,
    RecoveryUsed,
    Rehashed,
    SessionBegun,
    SessionEnded,
    SessionMoved,
    SessionSeen,
    SessionsEnded,
    SignInTried,
    SignInUpdate,
    StepUsed,
)
from twite.gateway.ports.secret_store import CODES
from twite.gateway.ports.state import SealedSecret

_FOREVER = 1 << 62


_METHODS: Final[Mapping[type, str]] = {
    SessionBegun: "_begin",
    SessionMoved: "_move",
    SessionSeen: "_seen",
    SessionEnded: "_end",
    SessionsEnded: "_end_all",
    StepUsed: "_take_step",
    RecoveryUsed: "_take_recovery",
    Rehashed: "_rehash",
    SignInTried: "_try",
    FailuresReset: "_reset",
}


class MemoryDirectory:
    """Users, sessions, API keys and the audit log of a store."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._users: dict[str, User] = {}
        self._sessions: dict[bytes, Session] = {}
        self._api_keys: dict[str, ApiKey] = {}
        self._entries: list[AuditEntry] = []
        self._failed: dict[bytes, FailedSignIns] = {}

    async def user(self, name: str) -> User | None:
        return self._users.get(name)

    async def users(self) -> Sequence[User]:
        return [self._users[name] for name in sorted(self._users)]

    async def change(
        self, change: Change, *, audit_event: AuditEvent, session_digest: bytes = b""
    ) -> Result:
        if session_digest and session_digest not in self._sessions:
            return Result.OVER
        result = self._made(change)
        if result is Result.DONE:
            if isinstance(change, TwoFactorDisabled | UserRemoved):
                await self._state.delete(SealedSecret, CODES + change.name)
            await self.note(audit_event)
        return result

    def _take_step(self, user: str, step: int) -> bool:
        known = self._users.get(user)
        if known is None or known.code_step >= step:
            return False
        self._users[user] = msgspec.structs.replace(known, code_step=step)
        return True

    def _take_recovery(self, user: str, code: str) -> bool:
        known = self._users.get(user)
        if known is None or code not in known.recovery:
            return False
        left = tuple(unused for unused in known.recovery if unused != code)
        self._users[user] = msgspec.structs.replace(known, recovery=left)
        return True

    def _rehash(self, user: str, *, was: Secret, now: Secret) -> bool:
        known = self._users.get(user)
        if known is None or known.password != was:
            return False
        self._users[user] = msgspec.structs.replace(known, password=now)
        return True

    def _begin(self, session: Session, *, user: User, begun_before: int, seen_before: int) -> bool:
        for other in list(self._sessions.values()):
            if other.begun_at < begun_before or other.seen_at < seen_before:
                del self._sessions[other.digest]
        stored = self._users.get(session.user)
        known = None if stored is None else (stored.password, stored.code_since)
        if known != (user.password, user.code_since):
            return False
        self._sessions[session.digest] = session
        return True

    def _move(self, digest: bytes, *, to: bytes) -> bool:
        moved = self._sessions.pop(digest, None)
        if moved is None:
            return False
        self._sessions[to] = msgspec.structs.replace(moved, digest=to)
        return True

    async def session(self, digest: bytes) -> Session | None:
        return self._sessions.get(digest)

    async def sessions(self, user: str) -> Sequence[Session]:
        found = [session for session in self._sessions.values() if session.user == user]
        return sorted(found, key=lambda session: session.begun_at, reverse=True)

    def _seen(self, digest: bytes, *, at: int) -> bool:
        if digest not in self._sessions:
            return False
        self._sessions[digest] = msgspec.structs.replace(self._sessions[digest], seen_at=at)
        return True

    def _end(self, digest: bytes) -> bool:
        return self._sessions.pop(digest, None) is not None

    def _end_all(self, user: str, *, but: bytes = b"") -> int:
        ended = [
            session.digest
            for session in self._sessions.values()
            if session.user == user and session.digest != but
        ]
        for digest in ended:
            del self._sessions[digest]
        return len(ended)

    async def api_keys(self) -> Sequence[ApiKey]:
        return sorted(self._api_keys.values(), key=lambda key: (-key.created_at, key.id))

    async def api_key(self, digest: bytes) -> ApiKey | None:
        return next((key for key in self._api_keys.values() if key.digest == digest), None)

    async def failed_sign_ins(self, keys: Sequence[bytes]) -> Mapping[bytes, FailedSignIns]:
        return {key: self._failed[key] for key in keys if key in self._failed}

    def _try(self, limits: Sequence[SignInLimit], *, at: int) -> int:
        if longest_wait(limits, self._failed, now=at):
            return 0
        for key in (limit.key for limit in limits):
            self._failed[key] = one_more(self._failed.get(key), key, now=at)
        return len(limits)

    def _reset(self, key: bytes, *, others: Sequence[bytes]) -> int:
        found = [other for other in (key, *others) if other in self._failed]
        for other in found:
            failed = self._failed.pop(other)
            if other != key and failed.times > 1:
                self._failed[other] = msgspec.structs.replace(failed, times=failed.times - 1)
        return len(found)

    async def note(self, audit_event: AuditEvent) -> None:
        before = self._entries[-1].hash if self._entries else NO_HASH
        number, kept = len(self._entries) + 1, written(audit_event)
        entry = AuditEntry(number=number, audit_event=kept, hash=chained(before, number, kept))
        self._entries.append(entry)

    async def audit(
        self, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[AuditEntry]:
        if after is not None:
            return [entry for entry in self._entries if entry.number > after][:limit]
        until = _FOREVER if before is None else before
        return [entry for entry in reversed(self._entries) if entry.number < until][:limit]

    async def update(self, update: SignInUpdate) -> int:
        # The fields of an update are the arguments of its method.
        values = {name: getattr(update, name) for name in update.__struct_fields__}
        return int(getattr(self, _METHODS[type(update)])(**values))

    def _made(self, change: Change) -> Result:
        match change:
            case UserAdded(user=user) if user.name in self._users:
                return Result.TAKEN
            case UserAdded(user=user):
                self._users[user.name] = user
            case KeyMade(key=key):
                self._api_keys[key.id] = key
            case KeyRevoked(id=id_, at=at):
                known = self._api_keys.get(id_)
                if known is None or known.revoked_at is not None:
                    return Result.GONE
                self._api_keys[id_] = msgspec.structs.replace(known, revoked_at=at)
            case LinkMade(session=session, user=user):
                if not self._begin(session, user=user, begun_before=0, seen_before=0):
                    return Result.OTHERWISE
            case _:
                return self._of_one(change)
        return Result.DONE

    def _of_one(self, change: ChangeOfOne) -> Result:
        user = self._users.get(change.name)
        if user is None:
            return Result.GONE
        others = any(other.is_admin for other in self._users.values() if other.name != user.name)
        if user.is_admin and ends_admin(change) and not others:
            return Result.LAST
        changed = _changed(user, change)
        if changed is None:
            return Result.OTHERWISE
        self._users[user.name] = changed
        if isinstance(change, UserRemoved):
            del self._users[user.name]
        for session in list(self._sessions.values()):
            if session.user == user.name and session.digest != spared(change):
                del self._sessions[session.digest]
        return Result.DONE


def _changed(user: User, change: ChangeOfOne) -> User | None:
    """Return the changed user; None if the stored user is not what the change expects."""
    replace = msgspec.structs.replace
    match change:
        case UserRemoved():
            return user
        case UserAllowed():
            return replace(user, role=change.role, pixels=change.pixels)
        case PasswordSet():
            fits = change.was in {None, user.password}
            return replace(user, password=change.password, password_at=change.at) if fits else None
        case TwoFactorEnabled():
            if user.code_since is not None:
                return None
            return replace(
                user, code_since=change.since, code_step=change.step, recovery=change.recovery
            )
        case TwoFactorDisabled():
            return replace(user, code_since=None, code_step=0, recovery=())
