"""The vault of a store: its own small port, on the store's writer and reader."""

from collections.abc import Sequence

from twite.stores.sqlite import sealed_rows
from twite.stores.sqlite.reader import SQLiteReader
from twite.stores.sqlite.writer import Writer


class SQLiteVault:
    """Keeps sealed secrets by name; see twite.gateway.vault."""

    def __init__(self, *, writer: Writer, reader: SQLiteReader) -> None:
        self._writer = writer
        self._reader = reader

    async def put(self, name: str, sealed: bytes) -> None:
        await self._writer.submit_act(lambda book: sealed_rows.put(book, name, sealed))

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return await self._reader.sealed(prefix)

    async def forget(self, name: str) -> None:
        await self._writer.submit_act(lambda book: sealed_rows.forget(book, name))
