"""Reader: what any process may read of a SQLite store, beside its owner."""

from collections.abc import Sequence
from functools import partial
from typing import Self

from twite.domain.alert import Alert
from twite.gateway.ports.privacy import EraseSearch, EraseTraces
from twite.gateway.ports.state import Pause
from twite.stores.sql import alerts, records, sealed
from twite.stores.sql.named import query
from twite.stores.sql.queries import SqlQueries
from twite.stores.sqlite.directory import SQLiteDirectoryReader
from twite.stores.sqlite.engine.reader import ReadConnection
from twite.stores.sqlite.search import search


class SQLiteReader(SqlQueries):
    """Implements StoreReader."""

    def __init__(self, database: ReadConnection, *, salt: bytes) -> None:
        self._database: ReadConnection = database
        self.salt = salt
        self.people = SQLiteDirectoryReader(database)

    @classmethod
    async def open(cls, path: str) -> Self:
        """Open to read. Raises StoreUnusable when it is no database of this version of Twite."""
        database = await ReadConnection.open(path)
        salt = await database.read(
            lambda connection: bytes(connection.execute(query("opening")).fetchone()[0])
        )
        return cls(database, salt=salt)

    async def close(self) -> None:
        await self._database.close()

    async def pauses(self) -> Sequence[Pause]:
        return await self._database.read(records.pauses)

    async def alerts(self) -> Sequence[Alert]:
        return await self._database.read(alerts.alerts)

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return await self._database.read(partial(sealed.sealed, prefix=prefix))

    async def traces(self, wanted: EraseSearch) -> EraseTraces:
        return await self._database.read(lambda connection: search(connection, wanted))
