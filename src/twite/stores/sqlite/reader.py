"""Reader: what any process may read of a SQLite store, beside its owner."""

from typing import Self

from twite.gateway.ports.privacy import EraseSearch, EraseTraces
from twite.stores.sql.directory import SqlDirectoryReader
from twite.stores.sql.named import query
from twite.stores.sql.queries import SqlQueries
from twite.stores.sql.state import SqlStateReader
from twite.stores.sqlite.engine.reader import ReadConnection
from twite.stores.sqlite.search import search


class SQLiteReader(SqlQueries, SqlStateReader):
    """Implements StoreReader."""

    def __init__(self, database: ReadConnection, *, salt: bytes) -> None:
        self._database: ReadConnection = database
        self.salt = salt
        self.people = SqlDirectoryReader(database)

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

    async def traces(self, wanted: EraseSearch) -> EraseTraces:
        return await self._database.read(lambda connection: search(connection, wanted))
