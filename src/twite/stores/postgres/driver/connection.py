"""A connection to PostgreSQL over asyncpg, for synchronous code."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from twite.stores.postgres.driver.bridge import wait_for
from twite.stores.postgres.driver.errors import LOST
from twite.stores.postgres.statements import STATEMENTS, PostgresStatement, shared

T = TypeVar("T")

# Every transaction begins with this lock, and a migration takes the exclusive one. So a migration
# waits for running transactions, and new ones wait for it before they have a snapshot or another
# lock: they neither miss rows of a rewritten table nor cause a deadlock.
_GATE: Final = "LOCK TABLE schema_version IN ACCESS SHARE MODE"
# While a session waits for a lock, the server does not notice that its client has gone. So
# lock_timeout ends the wait before the client would abort the connection (STALLED).
UNIT: Final = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '10s'; {_GATE}"
)
# All statements of a view read the same snapshot.
_VIEW: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_GATE}"
# Long enough: a writing statement waits only for the locks of other short transactions.
STALLED: Final = 20.0  # seconds


class ResultRows:
    """The result of a statement: rows, or the number of changed rows. Implements Cursor."""

    def __init__(self, rows: Iterable[Any], count: int) -> None:
        self._rows = iter(rows)
        self.rowcount = count

    def fetchone(self) -> Any:  # noqa: ANN401 - a row
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class PostgresConnection:
    """Implements SqlConnection, for code that runs in a greenlet."""

    def __init__(self, driver: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.driver = driver
        # After this many seconds without a result, the server counts as cut off.
        self.patience = STALLED
        # PostgreSQL cannot store NUL. Few strings contain one, so only the strings of a failed
        # statement are cleaned.
        self.replaces_nul = False

    def run(self, name: str, /, **values: object) -> ResultRows:
        """Run a named statement."""
        return self._run(STATEMENTS[name], values)

    def execute(self, statement: str, values: Any = (), /) -> ResultRows:  # noqa: ANN401 - of any type
        """Run a statement of stores/sql, or one without parameters."""
        if statement == "BEGIN":
            statement = _VIEW
        return self._run(shared(statement), values)

    def begin(self) -> None:
        self._wait(self.driver.execute(UNIT))

    def commit(self) -> None:
        """Commit. Raises TransactionRollbackError if the transaction had failed."""
        tag = self._wait(self.driver.execute("COMMIT"))
        if tag != "COMMIT":
            raise asyncpg.TransactionRollbackError(tag)

    def _run(
        self, statement: PostgresStatement, values: Mapping[str, object] | Sequence[object]
    ) -> ResultRows:
        arguments = statement.values(values)
        if self.replaces_nul:
            arguments = [without_nul(value) for value in arguments]
        if statement.has_rows:
            rows = self._wait(self.driver.fetch(statement.text, *arguments))
            return ResultRows([tuple(row) for row in rows], len(rows))
        tag = self._wait(self.driver.execute(statement.text, *arguments))
        count = tag.rpartition(" ")[2]
        return ResultRows((), int(count) if count.isdigit() else 0)

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        return wait_for(self._watched(call))

    async def _watched(self, call: Coroutine[Any, Any, T]) -> T:
        """Abort the connection if a call takes too long, without a cancel request."""
        alarm = asyncio.get_running_loop().call_later(self.patience, self.terminate)
        try:
            return await call
        except AttributeError as error:
            if self.is_open:
                raise
            # The connection was aborted between two messages of a statement, and the driver's
            # protocol object is gone.
            raise asyncpg.InterfaceError("the connection was aborted") from error
        finally:
            alarm.cancel()

    @property
    def is_open(self) -> bool:
        return not self.driver.is_closed()

    def terminate(self) -> None:
        """Abort the connection, without a message to the server."""
        self.driver.terminate()

    async def close(self) -> None:
        """Close the connection; do not wait for a server that does not answer."""
        try:
            await asyncio.wait_for(self.driver.close(), 2)
        except (*LOST, asyncpg.PostgresError):
            self.driver.terminate()


def without_nul(value: object) -> object:
    """Return a value with U+FFFD in place of each NUL in its strings."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    return [without_nul(part) for part in value] if isinstance(value, list) else value
