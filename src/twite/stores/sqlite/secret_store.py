"""Secret store: sealed secrets by name, on the SQLite store's writer and reader."""

from collections.abc import Sequence
from functools import partial

from twite.domain.people.users import AuditEvent
from twite.stores.sql import directory as people_rows
from twite.stores.sql import sealed as sealed_rows
from twite.stores.sql.writer_session import WriterSession
from twite.stores.sqlite.engine.reader import ReadConnection
from twite.stores.sqlite.engine.writer import Writer


class SQLiteSecretRecords:
    """Keeps sealed secrets by name; see twite.gateway.ports.secret_store."""

    def __init__(self, *, writer: Writer, reader: ReadConnection) -> None:
        self._writer = writer
        self._reader = reader

    async def put(self, name: str, sealed: bytes, *, deed: AuditEvent | None = None) -> None:
        def act(book: WriterSession) -> None:
            sealed_rows.put(book, name, sealed)
            _note(book, deed)

        await self._writer.submit_act(act)

    async def reseal(self, name: str, *, was: bytes, sealed: bytes) -> None:
        await self._writer.submit_act(
            lambda book: sealed_rows.reseal(book, name, was=was, sealed=sealed)
        )

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return await self._reader.read(partial(sealed_rows.sealed, prefix=prefix))

    async def forget(self, name: str, *, deed: AuditEvent | None = None) -> None:
        def act(book: WriterSession) -> None:
            sealed_rows.forget(book, name)
            _note(book, deed)

        await self._writer.submit_act(act)


def _note(book: WriterSession, deed: AuditEvent | None) -> None:
    if deed is not None:
        people_rows.note(book, deed)
