"""PostgreSQL, through asyncpg: numerics are exact, and rows arrive through a cursor."""

import asyncio
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from importlib import import_module
from typing import Any, Final, TypeVar

from twite.domain.secret import Secret
from twite.readers.database.connection import (
    FETCHED_AT_ONCE,
    DatabaseUnusable,
    PageQuery,
    QueryPage,
    WrittenRow,
    double_quoted,
    explained,
    lookup,
    page_sql,
    replacement,
    shown_place,
    without_end,
)

T = TypeVar("T")
# After this, a connection counts as lost: a network may drop it without a word.
_ANSWER_WITHIN: Final = 600.0  # seconds
_CONNECT_WITHIN: Final = 15.0  # seconds


class PostgresClient:
    """A connection to PostgreSQL. asyncpg needs an event loop, which runs in a thread.

    Every method raises DatabaseUnusable.
    """

    def __init__(self, secret_url: Secret) -> None:
        self._secret_url = secret_url
        self._place = shown_place(secret_url.reveal())
        try:
            self._asyncpg: Any = import_module("asyncpg")
        except ImportError:
            raise DatabaseUnusable(
                "PostgreSQL needs the package asyncpg, which is not installed in twite's "
                f"environment: run `{sys.executable} -m pip install asyncpg`"
            ) from None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection: Any = None
        try:
            self._connection = self._run(self._connect())
        except BaseException:
            self._end()
            raise

    def interrupt(self) -> None:
        self._loop.call_soon_threadsafe(self._connection.terminate)

    def close(self) -> None:
        try:
            self._run(self._connection.close(timeout=_CONNECT_WITHIN))
        except DatabaseUnusable:
            self._connection.terminate()
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        errors = (
            OSError,
            TimeoutError,
            ValueError,
            OverflowError,
            self._asyncpg.PostgresError,
            self._asyncpg.InterfaceError,
            self._asyncpg.InternalClientError,
        )
        with explained(self._place, errors, self._secret_url):
            call = asyncio.run_coroutine_threadsafe(work, self._loop)
            try:
                return call.result(_ANSWER_WITHIN)
            except TimeoutError:
                # A rollback could wait for ever, too.
                if not call.done():
                    self.interrupt()
                raise
            except self._asyncpg.InterfaceError:
                if self._connection is not None and self._connection.is_closed():
                    # The driver says which of its functions found that.
                    raise ConnectionResetError("the server closed the connection") from None
                raise

    async def _connect(self) -> Any:  # noqa: ANN401  # asyncpg has no types
        return await self._asyncpg.connect(
            self._secret_url.reveal(),
            timeout=_CONNECT_WITHIN,
            # A pooler in transaction mode keeps no prepared statements.
            statement_cache_size=0,
            server_settings={"application_name": "twite"},
        )


class PostgresRows(PostgresClient):
    """Reads a query's rows, and writes a write-back table."""

    def stream(self, sql: str) -> tuple[tuple[str, ...], Iterator[Sequence[object]]]:
        header, cursor = self._run(self._begin(without_end(sql)))
        return header, self._fetched(cursor)

    def page(self, query: PageQuery) -> QueryPage:
        return self._run(self._page(page_sql(query, double_quoted, _mark), query.after or ()))

    def write(self, table: str, rows: Sequence[WrittenRow]) -> None:
        self._run(self._write(".".join(map(double_quoted, table.split("."))), rows))

    async def _begin(self, sql: str) -> tuple[tuple[str, ...], Any]:
        # The transaction lasts until the connection is closed. All rows are of one snapshot.
        transaction = self._connection.transaction(isolation="repeatable_read", readonly=True)
        await transaction.start()
        statement = await self._connection.prepare(sql)
        header = tuple(column.name for column in statement.get_attributes())
        if not header:
            raise ValueError("the statement returns no rows: use a SELECT")
        return header, await statement.cursor()

    def _fetched(self, cursor: Any) -> Iterator[Sequence[object]]:  # noqa: ANN401
        while rows := self._run(cursor.fetch(FETCHED_AT_ONCE)):
            yield from (tuple(row.values()) for row in rows)

    async def _page(self, sql: str, after: Sequence[object]) -> QueryPage:
        async with self._connection.transaction(readonly=True):
            statement = await self._connection.prepare(sql)
            header = tuple(column.name for column in statement.get_attributes())
            rows = await statement.fetch(*after)
        return QueryPage(header=header, rows=[tuple(row.values()) for row in rows])

    async def _write(self, table: str, rows: Sequence[WrittenRow]) -> None:
        async with self._connection.transaction():
            for row in rows:
                known = lookup(table, _mark), row.sync, row.conversion_id
                if not (row.is_kept and await self._connection.fetch(*known)):
                    for sql, values in replacement(row, table, _mark):
                        await self._connection.execute(sql, *values)


def _mark(place: int) -> str:
    return f"${place}"
