"""Store reader: what any process may read of a SQLite store, beside its owner."""

from collections.abc import Sequence
from typing import Self

from twite.gateway.ports.privacy import EraseSearch, EraseTraces
from twite.stores.sql.named import query
from twite.stores.sqlite.directory import SQLiteDirectoryReader
from twite.stores.sqlite.engine.reader import SQLiteReader
from twite.stores.sqlite.search import search
from twite.stores.sqlite.tag_payloads import heads


class SQLiteStoreReader(SQLiteReader):
    """Implements StoreReader."""

    salt = b""

    @classmethod
    async def open(cls, path: str) -> Self:
        """Open to read. Raises StoreUnusable when it is no database of this version of Twite."""
        reader = await super().open(path)
        reader.salt = await reader.read(
            lambda connection: bytes(connection.execute(query("opening")).fetchone()[0])
        )
        return reader

    @property
    def people(self) -> SQLiteDirectoryReader:
        return SQLiteDirectoryReader(self)

    async def heads(self) -> Sequence[tuple[bytes, int]]:
        return await self.read(heads)

    async def traces(self, wanted: EraseSearch) -> EraseTraces:
        return await self.read(lambda connection: search(connection, wanted))
