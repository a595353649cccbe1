"""The PostgreSQL database: connections for reading and writing. Lost connections are replaced."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

import asyncpg

from twite.domain.errors import LedgerUnavailable
from twite.stores.postgres.driver.address import Address
from twite.stores.postgres.driver.bridge import run_in_greenlet
from twite.stores.postgres.driver.connection import PostgresConnection
from twite.stores.postgres.driver.errors import (
    CLASHES,
    DRIVER_ERRORS,
    LOST,
    NUL,
    READ_ONLY,
    RETRY_AFTER,
)
from twite.stores.postgres.session import (
    MOST_SESSIONS,
    CommitUnknown,
    PostgresSession,
    SharedNames,
)

T = TypeVar("T")

_READERS: Final = 4
# One for the lease, one for the division of the accounts.
_RESERVED: Final = 2
# The maximum number of connections of a gateway.
CONNECTIONS: Final = MOST_SESSIONS + _READERS
# How often a transaction is retried after conflicts with others.
_CLASHES_MOST: Final = 8
_AFTER_A_CLASH: Final = 0.05  # seconds, doubled for each retry
# Seconds between two attempts to connect, and the time limit for finding the result of a COMMIT.
_BACKOFF: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
PATIENCE: Final = 15.0
# Seconds for one statement of a view. Erasures and reports scan whole tables.
_READ: Final = 60.0
_LONG_READ: Final = 600.0
_VACUUM: Final = (
    # Statistics contain some of the most frequent values.
    "VACUUM (ANALYZE) submission, conversion, dedup_report, known_identifier, attempt, outbox, "
    "discarded, amended, called, flagged, rejection, ignored, pause, closure, sync_state, "
    "x_result"
)
# Whether a session, a standby, a replication slot or a prepared transaction needs row versions from
# before a transaction. One VACUUM does not make another keep any.
_IS_OLD_SNAPSHOT: Final = """
SELECT coalesce(max(age(needed)) > age($1::text::xid), false) FROM (
  SELECT backend_xmin AS needed FROM pg_stat_activity
  WHERE pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL)
    AND (coalesce(query, '') NOT LIKE 'autovacuum: VACUUM%'
      OR query LIKE 'autovacuum: VACUUM ANALYZE%')
  UNION ALL SELECT xmin FROM pg_replication_slots
  UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()
) AS snapshots WHERE needed IS NOT NULL
"""
SNAPSHOTS_END_WITHIN: Final = 20.0  # seconds
_AGAIN: Final = 0.1  # seconds
# While the database is unreachable, callers fail immediately between two attempts to connect.
_REFUSED_FOR: Final = 0.5


class Connections:
    """Up to `limit` connections, opened on demand."""

    def __init__(self, address: Address, limit: int) -> None:
        self._address = address
        self._idle: list[PostgresConnection] = []
        self._free = asyncio.Semaphore(limit)
        self._closed = False
        self._lent = 0
        # The time and the reason of the last failed attempt to connect.
        self._failed_at = float("-inf")
        self._problem: LedgerUnavailable | None = None

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[PostgresConnection]:
        """Lend a connection. Raises LedgerUnavailable if none can be opened."""
        async with self._free:
            connection = await self._taken()
            self._lent += 1
            try:
                yield connection
            finally:
                self._lent -= 1
                if connection.is_open and not self._closed:
                    self._idle.append(connection)
                else:
                    connection.terminate()

    async def _taken(self) -> PostgresConnection:
        if self._closed:
            raise LedgerUnavailable(reason="the store is closing", retry_after=RETRY_AFTER)
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        if self._problem is not None and time.monotonic() - self._failed_at < _REFUSED_FOR:
            raise self._problem
        try:
            connection = PostgresConnection(await self._address.connect())
        except DRIVER_ERRORS as error:
            self._failed_at = time.monotonic()
            self._problem = self._address.unavailable(error)
            raise self._problem from error
        self._problem = None
        return connection

    @property
    def in_use(self) -> int:
        """The number of connections that are lent."""
        return self._lent

    def drop(self) -> None:
        """Abort idle connections: their server may no longer be the primary."""
        while self._idle:
            self._idle.pop().terminate()

    async def close(self) -> None:
        """Close idle connections. Connections in use are closed when they are returned."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()


class PostgresReads:
    """Implements ReadsViews."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._readers = Connections(address, _READERS)

    async def read(self, view: Callable[[PostgresConnection], T], *, is_long: bool = False) -> T:
        """Run a view, and return its result. If the connection is lost, try once more."""
        replaces_nul = False
        for again in (True, False):
            async with self._readers.lend() as connection:
                connection.replaces_nul = replaces_nul
                connection.patience = _LONG_READ if is_long else _READ
                try:
                    return await run_in_greenlet(partial(view, connection))
                except ValueError:
                    connection.terminate()
                    raise  # the view cannot decode a value
                except (*LOST, *READ_ONLY) as error:
                    connection.terminate()
                    self._readers.drop()
                    if not again:
                        raise self._address.unavailable(error) from error
                except asyncpg.PostgresError as error:
                    connection.terminate()  # the connection may be inside a transaction
                    replaces_nul = isinstance(error, NUL)
                    if not (replaces_nul and again):
                        raise self._address.unavailable(error) from error
        raise AssertionError  # the second try returns or raises

    async def close(self) -> None:
        await self._readers.close()


class PostgresDatabase(PostgresReads):
    """Implements Database.

    Units of work run concurrently, each in its own transaction. A unit that has begun is finished
    even if its caller is cancelled, because the result of a cancelled COMMIT would be unknown.
    """

    def __init__(
        self,
        address: Address,
        *,
        window: int,
        timed: Callable[[float], None],
        committed: Callable[[PostgresSession], None],
    ) -> None:
        """`window` is the dedup window (ms); `timed` gets each commit's duration in seconds."""
        super().__init__(address)
        self._writers = Connections(address, MOST_SESSIONS - _RESERVED)
        self._reserved = Connections(address, _RESERVED)
        self._sessions: dict[PostgresConnection, PostgresSession] = {}
        self._window = window
        self._timed = timed
        self._committed = committed
        self._running: set[asyncio.Task[Any]] = set()
        self._is_closing = False
        self.names = SharedNames()
        # The id of this process among the nodes, after it has joined.
        self.node = 0

    async def write(
        self,
        unit: Callable[[PostgresSession], T],
        *,
        patience: float = PATIENCE,
        begins: bool = False,
        reserved: bool = False,
    ) -> T:
        """Commit a unit of work. Raises LedgerUnavailable.

        `reserved` is for the lease of this process and for the division of the accounts: they have
        connections of their own, because hundreds of workers, or transactions that wait for a lock,
        can occupy the others for seconds.

        If the result of a COMMIT is unknown, look for it for up to `patience` seconds. `begins` is
        explained in PostgresSession.transact.
        """
        work = partial(PostgresSession.transact, unit=unit, lost=LOST, begins=begins)
        pool = self._reserved if reserved else self._writers
        return await self._kept(self._written(work, patience, pool))

    @property
    def connections_in_use(self) -> int:
        """The number of writing connections that are in use."""
        return self._writers.in_use

    def _kept(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return asyncio.shield(task)

    async def _written(
        self, work: Callable[[PostgresSession], T], patience: float, connections: Connections
    ) -> T:
        replaces_nul = False
        for tries in count(1):
            try:
                return await self._tried(work, connections, replaces_nul=replaces_nul)
            except CommitUnknown as unknown:
                if await self._is_committed(unknown, patience, connections):
                    return unknown.result  # type: ignore[return-value]  # of this unit
            except DRIVER_ERRORS as error:
                # COMMIT was not sent, so nothing was written.
                if isinstance(error, (*LOST, *READ_ONLY)):
                    self._drop()
                if tries >= _tries(error):
                    raise self._address.unavailable(error) from error
                replaces_nul = isinstance(error, NUL)
                if isinstance(error, CLASHES):
                    # This pause also suffices if all ids of this second are used: the next second
                    # has new ones.
                    await asyncio.sleep(min(_AFTER_A_CLASH * 2 ** (tries - 1), 0.5))
        raise AssertionError  # the last attempt returns or raises

    async def _tried(
        self, work: Callable[[PostgresSession], T], connections: Connections, *, replaces_nul: bool
    ) -> T:
        async with connections.lend() as connection:
            connection.replaces_nul = replaces_nul
            session = self._sessions.get(connection)
            began = time.perf_counter()
            try:
                if session is None:
                    session = await run_in_greenlet(partial(self._session, connection))
                result = await run_in_greenlet(partial(work, session))
            except (CommitUnknown, *LOST, *READ_ONLY):
                connection.terminate()
                raise
            finally:
                if not connection.is_open:
                    self._sessions.pop(connection, None)
            self._timed(time.perf_counter() - began)
            self._committed(session)
            return result

    def _session(self, connection: PostgresConnection) -> PostgresSession:
        used = {other.place for other in self._sessions.values()}
        session = self._sessions[connection] = PostgresSession(
            connection,
            names=self.names,
            window=self._window,
            place=next(place for place in count() if place not in used),
            node=lambda: self.node,
        )
        return session

    def _drop(self) -> None:
        self._writers.drop()
        self._reserved.drop()
        self._sessions = {
            connection: session
            for connection, session in self._sessions.items()
            if connection.is_open
        }

    async def _is_committed(
        self, unknown: CommitUnknown, patience: float, connections: Connections
    ) -> bool:
        """Find out if a COMMIT succeeded. Raises LedgerUnavailable if that stays unknown.

        While the database closes, the search takes at most PATIENCE.
        """
        began = time.monotonic()
        pauses = iter(_BACKOFF)
        pause = 0.0
        while True:
            try:
                async with connections.lend() as connection:
                    return await run_in_greenlet(partial(_looked_up, connection, unknown.mark))
            except (LedgerUnavailable, *DRIVER_ERRORS) as error:
                self._drop()
                most = min(patience, PATIENCE) if self._is_closing else patience
                if time.monotonic() - began > most:
                    raise LedgerUnavailable(
                        reason="the database did not confirm the commit",
                        retry_after=RETRY_AFTER,
                    ) from error
            pause = next(pauses, pause)
            await asyncio.sleep(pause)

    async def vacuum(self) -> bool:
        """Remove old row versions, which may hold personal data; return whether that worked.

        VACUUM keeps, without an error, what an older snapshot may still read. So this waits for
        older snapshots to end.
        """
        try:
            driver = await self._address.connect()
            try:
                now = await driver.fetchval("SELECT pg_current_xact_id()::text")
                until = time.monotonic() + SNAPSHOTS_END_WITHIN
                while is_needed := await driver.fetchval(_IS_OLD_SNAPSHOT, now):
                    if time.monotonic() >= until:
                        break
                    await asyncio.sleep(_AGAIN)
                await driver.execute(_VACUUM)
            finally:
                driver.terminate()
        except DRIVER_ERRORS:
            return False
        return not is_needed

    async def close(self) -> None:
        """Wait for running operations, and close the connections."""
        self._is_closing = True
        while self._running:
            await asyncio.wait(list(self._running))
        await self._writers.close()
        await self._reserved.close()
        await super().close()


def _tries(error: Exception) -> int:
    """Return the maximum number of tries of a unit of work that fails with this error."""
    if isinstance(error, CLASHES):
        return _CLASHES_MOST
    return 2 if isinstance(error, (*LOST, NUL)) and not isinstance(error, READ_ONLY) else 1


def _looked_up(connection: PostgresConnection, mark: int) -> bool:
    """Return whether a transaction was committed; if it was, wait until the commit is durable."""
    if connection.run("confirm", id=mark).fetchone() is not None:
        return False  # nor can it be from now on: `confirm` has used its mark
    # With a synchronous standby, a later commit is only confirmed after this one.
    connection.run("begin", mark=None)
    return True
