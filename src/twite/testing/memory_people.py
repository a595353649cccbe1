"""Who works with the gateway, in memory."""

from collections.abc import Sequence

import msgspec

from twite.domain.people import NO_HASH, ApiKey, Deed, Entry, Session, User, chained, written

_FOREVER = 1 << 62


class MemoryPeople:
    """The people of a store."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._sessions: dict[bytes, Session] = {}
        self._api_keys: dict[str, ApiKey] = {}
        self._entries: list[Entry] = []

    async def user(self, name: str) -> User | None:
        return self._users.get(name)

    async def users(self) -> Sequence[User]:
        return [self._users[name] for name in sorted(self._users)]

    async def keep_user(self, user: User) -> None:
        self._users[user.name] = user

    async def remove_user(self, name: str) -> bool:
        await self.end_all(name)
        return self._users.pop(name, None) is not None

    async def take_step(self, name: str, step: int) -> bool:
        user = self._users.get(name)
        if user is None or user.code_step >= step:
            return False
        self._users[name] = msgspec.structs.replace(user, code_step=step)
        return True

    async def take_recovery(self, name: str, code: str) -> bool:
        user = self._users.get(name)
        if user is None or code not in user.recovery:
            return False
        left = tuple(one for one in user.recovery if one != code)
        self._users[name] = msgspec.structs.replace(user, recovery=left)
        return True

    async def begin(self, session: Session) -> None:
        self._sessions[session.digest] = session

    async def session(self, digest: bytes) -> Session | None:
        return self._sessions.get(digest)

    async def sessions(self, user: str) -> Sequence[Session]:
        found = [one for one in self._sessions.values() if one.user == user]
        return sorted(found, key=lambda one: one.begun_at, reverse=True)

    async def seen(self, digest: bytes, *, at: int) -> None:
        if digest in self._sessions:
            self._sessions[digest] = msgspec.structs.replace(self._sessions[digest], seen_at=at)

    async def end(self, digest: bytes) -> None:
        self._sessions.pop(digest, None)

    async def end_all(self, user: str, *, but: bytes = b"") -> int:
        ended = [one.digest for one in await self.sessions(user) if one.digest != but]
        for digest in ended:
            del self._sessions[digest]
        return len(ended)

    async def end_old(self, *, begun_before: int, seen_before: int) -> None:
        for one in list(self._sessions.values()):
            if one.begun_at < begun_before or one.seen_at < seen_before:
                del self._sessions[one.digest]

    async def api_keys(self) -> Sequence[ApiKey]:
        return sorted(self._api_keys.values(), key=lambda key: (-key.created_at, key.id))

    async def api_key(self, digest: bytes) -> ApiKey | None:
        return next((key for key in self._api_keys.values() if key.digest == digest), None)

    async def keep_api_key(self, key: ApiKey) -> None:
        self._api_keys[key.id] = key

    async def revoke_api_key(self, id_: str, *, at: int) -> bool:
        key = self._api_keys.get(id_)
        if key is None or key.revoked_at is not None:
            return False
        self._api_keys[id_] = msgspec.structs.replace(key, revoked_at=at)
        return True

    async def note(self, deed: Deed) -> None:
        before = self._entries[-1].hash if self._entries else NO_HASH
        number, kept = len(self._entries) + 1, written(deed)
        entry = Entry(number=number, deed=kept, hash=chained(before, number, kept))
        self._entries.append(entry)

    async def entries(self, *, before: int | None, limit: int) -> Sequence[Entry]:
        until = _FOREVER if before is None else before
        return [one for one in reversed(self._entries) if one.number < until][:limit]

    async def chain(self, *, after: int, limit: int) -> Sequence[Entry]:
        return [one for one in self._entries if one.number > after][:limit]
