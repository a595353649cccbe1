"""Users, sessions, API keys and the audit log: any process may read, the owner writes."""

from collections.abc import Sequence
from functools import partial

from twite.domain.people.account_changes import Change, Result
from twite.domain.people.users import ApiKey, AuditEntry, AuditEvent, Session, User
from twite.domain.secret import Secret
from twite.stores.sql import directory as people_rows
from twite.stores.sql import directory_changes as people_changes
from twite.stores.sqlite.engine.reader import ReadConnection
from twite.stores.sqlite.engine.writer import Writer


class SQLiteDirectoryReader:
    """Reads beside the owner; see twite.gateway.ports.directory."""

    def __init__(self, reader: ReadConnection) -> None:
        self._reader = reader

    async def user(self, name: str) -> User | None:
        return await self._reader.read(partial(people_rows.user, name=name))

    async def users(self) -> Sequence[User]:
        return await self._reader.read(people_rows.users)

    async def session(self, digest: bytes) -> Session | None:
        return await self._reader.read(partial(people_rows.session, digest=digest))

    async def sessions(self, user: str) -> Sequence[Session]:
        return await self._reader.read(partial(people_rows.sessions, name=user))

    async def api_keys(self) -> Sequence[ApiKey]:
        return await self._reader.read(people_rows.api_keys)

    async def api_key(self, digest: bytes) -> ApiKey | None:
        return await self._reader.read(partial(people_rows.api_key, digest=digest))

    async def entries(self, *, before: int | None, limit: int) -> Sequence[AuditEntry]:
        return await self._reader.read(partial(people_rows.entries, before=before, limit=limit))

    async def chain(self, *, after: int, limit: int) -> Sequence[AuditEntry]:
        return await self._reader.read(partial(people_rows.chain, after=after, limit=limit))


class SQLiteDirectory(SQLiteDirectoryReader):
    """Reads and writes, for the owner."""

    def __init__(self, *, writer: Writer, reader: ReadConnection) -> None:
        super().__init__(reader)
        self._writer = writer

    async def change(
        self, change: Change, *, audit_event: AuditEvent, warrant: bytes = b""
    ) -> Result:
        return await self._writer.submit_act(
            lambda book: people_changes.changed(
                book, change, audit_event=audit_event, warrant=warrant
            )
        )

    async def take_step(self, name: str, step: int) -> bool:
        return await self._writer.submit_act(
            lambda book: book.run("take_step", user=name, step=step).rowcount > 0
        )

    async def take_recovery(self, name: str, code: str) -> bool:
        return await self._writer.submit_act(
            lambda book: people_rows.take_recovery(book, name, code)
        )

    async def rehash(self, name: str, *, was: Secret, now: Secret) -> bool:
        return await self._writer.submit_act(
            lambda book: (
                book.run("rehash", user=name, was=was.reveal(), now=now.reveal()).rowcount > 0
            )
        )

    async def begin(
        self, session: Session, *, known: User, begun_before: int = 0, seen_before: int = 0
    ) -> bool:
        return await self._writer.submit_act(
            lambda book: people_rows.begin(
                book, session, known=known, begun_before=begun_before, seen_before=seen_before
            )
        )

    async def move(self, digest: bytes, *, to: bytes) -> bool:
        return await self._writer.submit_act(
            lambda book: book.run("move_session", digest=digest, to=to).rowcount > 0
        )

    async def seen(self, digest: bytes, *, at: int) -> None:
        await self._writer.submit_act(lambda book: book.run("seen_session", digest=digest, at=at))

    async def end(self, digest: bytes) -> None:
        await self._writer.submit_act(lambda book: book.run("end_session", digest=digest))

    async def end_all(self, user: str, *, but: bytes = b"") -> int:
        return await self._writer.submit_act(
            lambda book: book.run("end_sessions", user=user, but=but).rowcount
        )

    async def note(self, audit_event: AuditEvent) -> None:
        await self._writer.submit_act(lambda book: people_rows.note(book, audit_event))
