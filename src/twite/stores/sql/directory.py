"""Directory: read users, sessions, API keys and the audit log."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from twite.domain.people.sign_in_limits import FailedSignIns
from twite.domain.people.users import (
    NO_HASH,
    ApiKey,
    AuditEntry,
    AuditEvent,
    KeyScope,
    Role,
    Session,
    User,
    chained,
    written,
)
from twite.domain.secret import Secret
from twite.gateway.ports.directory import SessionBegun
from twite.stores.sql.database import ReadsViews, WriterSession
from twite.stores.sql.rows.user_tables import ApiKeyRow, AuditEventRow, SessionRow, UserRow
from twite.stores.sql.statements import SqlConnection, query

T = TypeVar("T")
Row = tuple[Any, ...]

_FOREVER: Final = 1 << 62
_SCOPES: Final = frozenset(scope.value for scope in KeyScope)


class SqlDirectoryReader:
    """Implements DirectoryReader."""

    def __init__(self, reads: ReadsViews) -> None:
        self._reads = reads

    async def user(self, name: str) -> User | None:
        return await self._reads.read(partial(user, name=name))

    async def users(self) -> Sequence[User]:
        return await self._rows("users", _user)

    async def session(self, digest: bytes) -> Session | None:
        return await self._reads.read(partial(session_of, digest=digest))

    async def sessions(self, user: str) -> Sequence[Session]:
        return await self._rows("sessions", _session, user=user)

    async def api_key(self, digest: bytes) -> ApiKey | None:
        found = await self._rows("api_key", _api_key, digest=digest)
        return found[0] if found else None

    async def api_keys(self) -> Sequence[ApiKey]:
        return await self._rows("api_keys", _api_key)

    async def failed_sign_ins(self, keys: Sequence[bytes]) -> Mapping[bytes, FailedSignIns]:
        return await self._reads.read(partial(failed_sign_ins, keys=keys))

    async def audit(
        self, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[AuditEntry]:
        if after is not None:
            return await self._rows("audit_events_after", _entry, after=after, limit=limit)
        before = _FOREVER if before is None else before
        return await self._rows("audit_events_before", _entry, before=before, limit=limit)

    async def _rows(self, name: str, read: Callable[[Row], T], /, **values: object) -> list[T]:
        return await self._reads.read(
            lambda connection: [read(row) for row in connection.execute(query(name), values)]
        )


def user(connection: SqlConnection, *, name: str) -> User | None:
    row = connection.execute(query("user"), {"user": name}).fetchone()
    return None if row is None else _user(row)


def take_recovery(session: WriterSession, name: str, code: str) -> bool:
    """Delete a used recovery code."""
    found = user(session.connection, name=name)
    if found is None or code not in found.recovery:
        return False
    left = tuple(unused for unused in found.recovery if unused != code)
    session.run("set_recovery", user=name, recovery=listed(left))
    return True


def begin(session: WriterSession, begun: SessionBegun) -> bool:
    """Store a session if the user's credentials are unchanged, and delete expired sessions."""
    session.run("end_old_sessions", begun_before=begun.begun_before, seen_before=begun.seen_before)
    kept = session.run(
        "begin_session",
        password=begun.user.password.reveal(),
        code_since=begun.user.code_since,
        **msgspec.structs.asdict(begun.session),
    )
    return kept.rowcount > 0


def session_of(connection: SqlConnection, *, digest: bytes) -> Session | None:
    row = connection.execute(query("session"), {"digest": digest}).fetchone()
    return None if row is None else _session(row)


def failed_sign_ins(
    connection: SqlConnection, *, keys: Iterable[bytes]
) -> dict[bytes, FailedSignIns]:
    """Return the failed sign-ins counted for each key."""
    found = {}
    for key in keys:
        row = connection.execute(query("failed_sign_in"), {"key": key}).fetchone()
        if row is not None:
            found[key] = FailedSignIns(key=key, times=row[0], at=row[1])
    return found


def note(session: WriterSession, audit_event: AuditEvent) -> None:
    """Append an event to the audit log."""
    kept = written(audit_event)
    last = session.run("last_audit_event").fetchone()
    number, before = (0, NO_HASH) if last is None else last
    session.run(
        "add_audit_event",
        number=number + 1,
        hash=chained(before, number + 1, kept),
        **msgspec.structs.asdict(kept),
    )


def _user(row: Row) -> User:
    user = UserRow(*row)
    read = {
        "role": Role(user.role),
        "password": Secret(user.password),
        "pixels": _names(user.pixels),
        "recovery": _names(user.recovery) or (),
    }
    return User(**msgspec.structs.asdict(user) | read)


def _session(row: Row) -> Session:
    return Session(**msgspec.structs.asdict(SessionRow(*row)))


def _api_key(row: Row) -> ApiKey:
    """Read an API key. A scope that this version does not know grants nothing."""
    api_key = ApiKeyRow(*row)
    scopes = _SCOPES.intersection(msgspec.json.decode(api_key.scopes))
    read = {"scopes": frozenset(map(KeyScope, scopes)), "pixels": _names(api_key.pixels)}
    return ApiKey(**msgspec.structs.asdict(api_key) | read)


def _entry(row: Row) -> AuditEntry:
    read = msgspec.structs.asdict(AuditEventRow(*row))
    number, hash_ = read.pop("number"), read.pop("hash")
    return AuditEntry(number=number, audit_event=AuditEvent(**read), hash=hash_)


def listed(names: Iterable[str] | None) -> str | None:
    """Encode names as they are stored."""
    return None if names is None else msgspec.json.encode(list(names)).decode()


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else msgspec.json.decode(text, type=tuple[str, ...])
