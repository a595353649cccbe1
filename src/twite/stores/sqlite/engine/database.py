"""A database that this process owns: one writer, and a connection that reads beside it."""

from typing import TypeVar

from twite.stores.sql.database import UnitOfWork, View
from twite.stores.sqlite.engine.reader import ReadConnection
from twite.stores.sqlite.engine.writer import Writer

T = TypeVar("T")


class SQLiteDatabase:
    """Implements Database."""

    def __init__(self, *, writer: Writer, reader: ReadConnection) -> None:
        self._writer = writer
        self._reader = reader

    async def read(self, view: View[T], *, is_long: bool = False) -> T:
        return await self._reader.read(view, is_long=is_long)

    async def write(self, unit: UnitOfWork[T]) -> T:
        return await self._writer.submit_act(unit)
