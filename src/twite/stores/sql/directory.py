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
from twite.stores.sql.statements import SqlConnection, query

T = TypeVar("T")

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

    async def _rows(self, name: str, read: Callable[[Any], T], /, **values: object) -> list[T]:
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


def _user(row: tuple[str, str, str | None, str, int, int, int | None, int, str]) -> User:
    name, role, pixels, password, created_at, password_at, code_since, code_step, recovery = row
    return User(
        name=name,
        role=Role(role),
        password=Secret(password),
        created_at=created_at,
        password_at=password_at,
        pixels=_names(pixels),
        code_since=code_since,
        code_step=code_step,
        recovery=_names(recovery) or (),
    )


def _session(row: tuple[bytes, str, int, int, str, str]) -> Session:
    digest, name, begun_at, seen_at, address, agent = row
    return Session(
        digest=digest, user=name, begun_at=begun_at, seen_at=seen_at, address=address, agent=agent
    )


def _api_key(row: tuple[str, str, bytes, str, str | None, int, str, int | None]) -> ApiKey:
    """Read an API key. A scope that this version does not know grants nothing."""
    id_, name, digest, scopes, pixels, created_at, made_by, revoked_at = row
    return ApiKey(
        id=id_,
        name=name,
        digest=digest,
        scopes=frozenset(
            KeyScope(scope) for scope in msgspec.json.decode(scopes) if scope in _SCOPES
        ),
        created_at=created_at,
        made_by=made_by,
        pixels=_names(pixels),
        revoked_at=revoked_at,
    )


def _entry(row: tuple[int, int, str, str, str, str, bytes]) -> AuditEntry:
    number, at, who, what, subject, detail, hash_ = row
    audit_event = AuditEvent(at=at, who=who, what=what, subject=subject, detail=detail)
    return AuditEntry(number=number, audit_event=audit_event, hash=hash_)


def listed(names: Iterable[str] | None) -> str | None:
    """Encode names as they are stored."""
    return None if names is None else msgspec.json.encode(list(names)).decode()


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else msgspec.json.decode(text, type=tuple[str, ...])
