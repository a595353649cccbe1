"""A table in PostgreSQL as the target of an export."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from twite.domain.secret import Secret
from twite.gateway.ports.exports import ExportBatch, ExportPosition
from twite.readers.database.connection import require_escaped
from twite.readers.database.export_table import ExportTable
from twite.readers.database.thread import ConnectionThread


class TableTarget:
    """Implements ExportTarget. Each page is a transaction."""

    def __init__(self, connection: ConnectionThread[ExportTable]) -> None:
        self._connection = connection

    async def examine(self) -> None:
        """Raise ClientError if Twite cannot write tables that exist, or create them."""
        await self._connection.run(lambda table: table.examine())

    async def begin(self) -> ExportPosition | None:
        return await self._connection.run(lambda table: table.begin())

    async def tracked(self, after: int, through: int, limit: int) -> Mapping[int, int]:
        return await self._connection.run(lambda table: table.tracked(after, through, limit))

    async def write(self, batch: ExportBatch) -> None:
        await self._connection.run(lambda table: table.write(batch))

    async def finish(self) -> None:
        """Do nothing: each page is stored already."""


@asynccontextmanager
async def open_table(
    secret_url: Secret, *, table: str, store: str, export: str
) -> AsyncIterator[TableTarget]:
    """Connect to the database. Raises DatabaseUnusable."""
    require_escaped(secret_url)
    async with ConnectionThread(
        lambda: ExportTable(secret_url, table=table, store=store, export=export)
    ) as connection:
        yield TableTarget(connection)
