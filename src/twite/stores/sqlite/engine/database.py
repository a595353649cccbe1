"""The owner's database: a writer, and a read-only connection in its own thread."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.stores.sql.database import UnitOfWork, View
from twite.stores.sql.statements import refuse_older
from twite.stores.sqlite.engine.connection import connect_reader, damaged, is_damage
from twite.stores.sqlite.engine.schema import newest_version, present_version
from twite.stores.sqlite.engine.writer import Writer

T = TypeVar("T")


class ReadConnection:
    """A read-only database, whose owner may be another process."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._counting = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="twite-reader")

    @classmethod
    async def open(cls, path: str) -> Self:
        """Open for reading.

        Raises StoreUnusable if it is not a database of this version of Twite.
        """
        return cls(await asyncio.to_thread(_connect, path), path)

    async def close(self) -> None:
        await self.read(sqlite3.Connection.close)
        self._thread.shutdown()

    async def read(self, view: Callable[[sqlite3.Connection], T], *, is_long: bool = False) -> T:
        """Run a view, and return its result.

        Views that take long share a separate connection, and wait for each other.
        """
        if is_long:
            async with self._counting:
                return await self._translated(asyncio.to_thread(_apart, self._path, view))
        loop = asyncio.get_running_loop()
        return await self._translated(loop.run_in_executor(self._thread, view, self._connection))

    async def _translated(self, reading: Awaitable[T]) -> T:
        """Await a result. SQLite errors become errors of the port."""
        try:
            return await reading
        except sqlite3.Error as error:
            if is_damage(error):
                raise damaged(self._path, error) from error
            raise LedgerUnavailable(reason=str(error), retry_after=1) from error


def _apart(path: str, what: Callable[[sqlite3.Connection], T]) -> T:
    connection = connect_reader(path)
    try:
        return what(connection)
    finally:
        connection.close()


def _connect(path: str) -> sqlite3.Connection:
    connection = connect_reader(path)
    try:
        refuse_older(present_version(connection, path), newest_version(), path)
    except (StoreUnusable, sqlite3.DatabaseError) as error:
        connection.close()
        if is_damage(error):
            raise damaged(path, error) from error
        raise
    return connection


class SQLiteDatabase:
    """Implements Database."""

    def __init__(self, *, writer: Writer, connection: ReadConnection) -> None:
        self._writer = writer
        self._reader = connection

    async def read(self, view: View[T], *, is_long: bool = False) -> T:
        return await self._reader.read(view, is_long=is_long)

    async def write(self, unit: UnitOfWork[T]) -> T:
        return await self._writer.submit_act(unit)
