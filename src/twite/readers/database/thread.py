"""A database in a thread of its own, for a caller with an event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from twite.domain.secret import Secret
from twite.readers.database.connection import PageQuery, QueryPage, RowDatabase, WrittenRow
from twite.readers.database.open import open_database

T = TypeVar("T")


class DatabaseThread:
    """Opens, reads and closes a database in one thread: a connection must not be closed in use.

    If the caller is cancelled, the query is interrupted, and the thread closes the connection.
    Every method raises DatabaseUnusable.
    """

    def __init__(self, secret_url: Secret) -> None:
        self._secret_url = secret_url
        self._database: RowDatabase | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="twite-database")

    async def __aenter__(self) -> Self:
        try:
            await self._call(self._open)
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, asyncio.CancelledError):
            if self._database is not None:
                self._database.interrupt()
            self._end()
            return
        try:
            await self._call(self._close)
        finally:
            self._end()

    async def page(self, query: PageQuery) -> QueryPage:
        return await self._call(lambda: self._opened().page(query))

    async def write(self, table: str, rows: Sequence[WrittenRow]) -> None:
        await self._call(lambda: self._opened().write(table, rows))

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _end(self) -> None:
        self._executor.submit(self._close)
        self._executor.shutdown(wait=False)

    def _open(self) -> None:
        self._database = open_database(self._secret_url)

    def _opened(self) -> RowDatabase:
        assert self._database is not None  # noqa: S101  # for the type checker
        return self._database

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()
