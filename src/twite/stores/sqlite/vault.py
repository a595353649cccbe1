"""The vault of a store: its own small port, on the store's writer and reader."""

from collections.abc import Sequence

from twite.domain.people import Deed
from twite.stores.sqlite import people_rows, sealed_rows
from twite.stores.sqlite.book import Book
from twite.stores.sqlite.reader import SQLiteReader
from twite.stores.sqlite.writer import Writer


class SQLiteVault:
    """Keeps sealed secrets by name; see twite.gateway.vault."""

    def __init__(self, *, writer: Writer, reader: SQLiteReader) -> None:
        self._writer = writer
        self._reader = reader

    async def put(self, name: str, sealed: bytes, *, deed: Deed | None = None) -> None:
        def act(book: Book) -> None:
            sealed_rows.put(book, name, sealed)
            _note(book, deed)

        await self._writer.submit_act(act)

    async def reseal(self, name: str, *, was: bytes, sealed: bytes) -> None:
        await self._writer.submit_act(
            lambda book: sealed_rows.reseal(book, name, was=was, sealed=sealed)
        )

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        return await self._reader.sealed(prefix)

    async def forget(self, name: str, *, deed: Deed | None = None) -> None:
        def act(book: Book) -> None:
            sealed_rows.forget(book, name)
            _note(book, deed)

        await self._writer.submit_act(act)


def _note(book: Book, deed: Deed | None) -> None:
    if deed is not None:
        people_rows.note(book, deed)
