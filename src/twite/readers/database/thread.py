"""A database in a thread of its own, for a caller with an event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, Self, TypeVar

from twite.domain.secret import Secret
from twite.readers.database.connection import PageQuery, QueryPage, RowDatabase, WrittenRow
from twite.readers.database.open import open_database

T = TypeVar("T")


class ClosableConnection(Protocol):
    """A connection whose calls block. Every method raises DatabaseUnusable."""

    def interrupt(self) -> None:
        """End the running call soon, from another thread. Later calls may fail."""

    def close(self) -> None: ...


C = TypeVar("C", bound=ClosableConnection)


class ConnectionThread(Generic[C]):
    """Opens, uses and closes a connection in one thread: it must not be closed in use.

    If the caller is cancelled, the call is interrupted, and the thread closes the connection.
    Every method raises DatabaseUnusable.
    """

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._connection: C | None = None
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
            if self._connection is not None:
                self._connection.interrupt()
            self._end()
            return
        try:
            await self._call(self._close)
        finally:
            self._end()

    async def run(self, work: Callable[[C], T]) -> T:
        """Run a call of the connection in the thread."""
        return await self._call(lambda: work(self._opened()))

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _end(self) -> None:
        self._executor.submit(self._close)
        self._executor.shutdown(wait=False)

    def _open(self) -> None:
        self._connection = self._connect()

    def _opened(self) -> C:
        assert self._connection is not None  # noqa: S101  # for the type checker
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class DatabaseThread(ConnectionThread[RowDatabase]):
    """A database whose rows are read."""

    def __init__(self, secret_url: Secret) -> None:
        super().__init__(lambda: open_database(secret_url))

    async def page(self, query: PageQuery) -> QueryPage:
        return await self.run(lambda database: database.page(query))

    async def write(self, table: str, rows: Sequence[WrittenRow]) -> None:
        await self.run(lambda database: database.write(table, rows))
