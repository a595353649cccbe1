"""Who works with the gateway, in a store: read by anybody, written by its owner."""

from collections.abc import Sequence
from functools import partial

from twite.domain.people import ApiKey, Deed, Entry, Session, User
from twite.stores.sqlite import people_rows
from twite.stores.sqlite.reader import SQLiteReader
from twite.stores.sqlite.writer import Writer


class SQLitePeopleReader:
    """What can be asked beside the owner; see twite.gateway.people."""

    def __init__(self, reader: SQLiteReader) -> None:
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

    async def entries(self, *, before: int | None, limit: int) -> Sequence[Entry]:
        return await self._reader.read(partial(people_rows.entries, before=before, limit=limit))

    async def chain(self, *, after: int, limit: int) -> Sequence[Entry]:
        return await self._reader.read(partial(people_rows.chain, after=after, limit=limit))


class SQLitePeople(SQLitePeopleReader):
    """People, for the owner."""

    def __init__(self, *, writer: Writer, reader: SQLiteReader) -> None:
        super().__init__(reader)
        self._writer = writer

    async def keep_user(self, user: User) -> None:
        await self._writer.submit_act(lambda book: people_rows.keep_user(book, user))

    async def remove_user(self, name: str) -> bool:
        return await self._writer.submit_act(lambda book: people_rows.remove_user(book, name))

    async def take_step(self, name: str, step: int) -> bool:
        return await self._writer.submit_act(
            lambda book: book.run("take_step", user=name, step=step).rowcount > 0
        )

    async def take_recovery(self, name: str, code: str) -> bool:
        return await self._writer.submit_act(
            lambda book: people_rows.take_recovery(book, name, code)
        )

    async def begin(self, session: Session) -> None:
        await self._writer.submit_act(lambda book: people_rows.begin(book, session))

    async def seen(self, digest: bytes, *, at: int) -> None:
        await self._writer.submit_act(lambda book: book.run("seen_session", digest=digest, at=at))

    async def end(self, digest: bytes) -> None:
        await self._writer.submit_act(lambda book: book.run("end_session", digest=digest))

    async def end_all(self, user: str, *, but: bytes = b"") -> int:
        return await self._writer.submit_act(
            lambda book: book.run("end_sessions", user=user, but=but).rowcount
        )

    async def end_old(self, *, begun_before: int, seen_before: int) -> None:
        await self._writer.submit_act(
            lambda book: book.run(
                "end_old_sessions", begun_before=begun_before, seen_before=seen_before
            )
        )

    async def keep_api_key(self, key: ApiKey) -> None:
        await self._writer.submit_act(lambda book: people_rows.keep_api_key(book, key))

    async def revoke_api_key(self, id_: str, *, at: int) -> bool:
        return await self._writer.submit_act(
            lambda book: book.run("revoke_api_key", id=id_, at=at).rowcount > 0
        )

    async def note(self, deed: Deed) -> None:
        await self._writer.submit_act(lambda book: people_rows.note(book, deed))
