"""Directory changes: write each change of users and API keys together with its audit event.

The writer runs changes one at a time, each in one transaction, so conditions checked here
still hold at the commit.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.people.sign_in_limits import (
    FORGOTTEN_AFTER,
    MOST_COUNTS,
    longest_wait,
    one_more,
)
from twite.domain.people.users import (
    ApiKey,
    AuditEvent,
    Change,
    ChangeOfOne,
    KeyMade,
    KeyRevoked,
    LinkMade,
    PasswordSet,
    Result,
    TwoFactorDisabled,
    TwoFactorEnabled,
    User,
    UserAdded,
    UserAllowed,
    UserRemoved,
    ends_admin,
    spared,
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
from twite.stores.sql.database import Database, WriterSession
from twite.stores.sql.directory import (
    SqlDirectoryReader,
    begin,
    failed_sign_ins,
    listed,
    note,
    session_of,
    take_recovery,
    user,
)
from twite.stores.sql.state import delete_secret
from twite.stores.sql.statements import Cursor

_ANY: Final = 1 << 62
_UPDATES: Final[Mapping[type[SignInUpdate], str]] = {
    SessionMoved: "move_session",
    SessionSeen: "seen_session",
    SessionEnded: "end_session",
    SessionsEnded: "end_sessions",
    StepUsed: "take_step",
    Rehashed: "rehash",
}


class SqlDirectory(SqlDirectoryReader):
    """Implements Directory."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database

    async def change(
        self, change: Change, *, audit_event: AuditEvent, session_digest: bytes = b""
    ) -> Result:
        return await self._database.write(
            lambda session: changed(
                session, change, audit_event=audit_event, session_digest=session_digest
            )
        )

    async def note(self, audit_event: AuditEvent) -> None:
        await self._database.write(lambda session: note(session, audit_event))

    async def update(self, update: SignInUpdate) -> int:
        return await self._database.write(lambda session: updated(session, update))


def updated(session: WriterSession, update: SignInUpdate) -> int:
    """Update sessions or a user's sign-in data; return how many records changed."""
    if isinstance(update, SessionBegun):
        return int(begin(session, update))
    if isinstance(update, RecoveryUsed):
        return int(take_recovery(session, update.user, update.code))
    if isinstance(update, SignInTried):
        return _try_sign_in(session, update)
    if isinstance(update, FailuresReset):
        return _reset_failures(session, update)
    # The fields of an update are the parameters of its statement.
    fields = {name: getattr(update, name) for name in update.__struct_fields__}
    values = {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in fields.items()
    }
    return session.run(_UPDATES[type(update)], **values).rowcount


def _try_sign_in(session: WriterSession, tried: SignInTried) -> int:
    keys = [limit.key for limit in tried.limits]
    failed = failed_sign_ins(session.connection, keys=keys)
    if longest_wait(tried.limits, failed, now=tried.at):
        return 0
    for key in keys:
        count = one_more(failed.get(key), key, now=tried.at)
        session.run("keep_failed_sign_in", **msgspec.structs.asdict(count))
    session.run("forget_old_failed_sign_ins", before=tried.at - FORGOTTEN_AFTER, most=MOST_COUNTS)
    return len(keys)


def _reset_failures(session: WriterSession, reset: FailuresReset) -> int:
    changed = session.run("forget_failed_sign_in", key=reset.key, most=_ANY).rowcount
    for key in reset.others:
        gone = session.run("forget_failed_sign_in", key=key, most=1).rowcount
        changed += gone or session.run("subtract_failed_sign_in", key=key).rowcount
    return changed


def changed(
    session: WriterSession, change: Change, *, audit_event: AuditEvent, session_digest: bytes
) -> Result:
    """Apply a change and write its audit event, or do neither."""
    if session_digest and session_of(session.connection, digest=session_digest) is None:
        return Result.OVER
    result = _made(session, change)
    if result is Result.DONE:
        note(session, audit_event)
    return result


def _made(session: WriterSession, change: Change) -> Result:
    match change:
        case UserAdded():
            return Result.DONE if _add(session, change.user) else Result.TAKEN
        case KeyMade():
            _keep_key(session, change.key)
            return Result.DONE
        case KeyRevoked():
            revoked = session.run("revoke_api_key", id=change.id, at=change.at).rowcount > 0
            return Result.DONE if revoked else Result.GONE
        case LinkMade():
            begun = SessionBegun(session=change.session, user=change.user)
            return Result.DONE if begin(session, begun) else Result.OTHERWISE
        case _:
            return _of_one(session, change)


def _of_one(session: WriterSession, change: ChangeOfOne) -> Result:
    """Change an existing user, and end their sessions."""
    found = user(session.connection, name=change.name)
    if found is None:
        return Result.GONE
    if found.is_admin and ends_admin(change) and not _another_admin(session, change.name):
        return Result.LAST
    if not _run(session, change).rowcount:
        return Result.OTHERWISE
    session.run("end_sessions", user=change.name, but=spared(change))
    if isinstance(change, TwoFactorDisabled | UserRemoved):
        delete_secret(session, CODES + change.name)
    return Result.DONE


def _run(session: WriterSession, change: ChangeOfOne) -> Cursor:
    match change:
        case UserRemoved():
            return session.run("remove_user", user=change.name)
        case UserAllowed():
            return session.run(
                "set_role",
                user=change.name,
                role=change.role.value,
                pixels=listed(change.pixels),
            )
        case PasswordSet():
            return session.run(
                "set_password",
                user=change.name,
                password=change.password.reveal(),
                at=change.at,
                was=None if change.was is None else change.was.reveal(),
            )
        case TwoFactorEnabled():
            return session.run(
                "begin_codes",
                user=change.name,
                since=change.since,
                step=change.step,
                recovery=listed(change.recovery),
            )
        case TwoFactorDisabled():
            return session.run("end_codes", user=change.name)


def _another_admin(session: WriterSession, name: str) -> bool:
    return bool(session.run("other_admin", user=name).fetchone()[0])


def _add(session: WriterSession, user: User) -> bool:
    row = session.run(
        "add_user",
        user=user.name,
        role=user.role.value,
        pixels=listed(user.pixels),
        password=user.password.reveal(),
        created_at=user.created_at,
        password_at=user.password_at,
        code_since=user.code_since,
        code_step=user.code_step,
        recovery=listed(user.recovery),
    )
    return row.rowcount > 0


def _keep_key(session: WriterSession, key: ApiKey) -> None:
    session.run(
        "keep_api_key",
        id=key.id,
        called=key.name,
        digest=key.digest,
        scopes=listed(sorted(key.scopes)),
        created_at=key.created_at,
        made_by=key.made_by,
        pixels=listed(key.pixels),
        revoked_at=key.revoked_at,
    )
