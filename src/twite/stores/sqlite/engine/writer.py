"""Writer thread: commits all waiting changes together (group commit).

The caller gets the result of an operation only after the COMMIT that contains it. A failed group is
rolled back, and its operations are then tried one by one, so that only the faulty one fails. If the
disk fails, a few are tried. A failed operation changes nothing.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Generic, TypeVar

from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.stores.intake_queue import IntakeQueue, Outcome, Recording, closing, settle
from twite.stores.sql.intake import record
from twite.stores.sqlite.engine.connection import is_final, is_full
from twite.stores.sqlite.engine.handover import Handover
from twite.stores.sqlite.engine.owner_session import OwnerSession

T = TypeVar("T")

_RETRY_AFTER_FAILURE: Final = 5
# Larger commits are not more efficient, and make every caller wait.
_MOST_TOGETHER: Final = 2_000
# The reason why intake stops while stored conversions are sent and settled.
DISK_FULL: Final = "the disk is full"
# After this result code, a connection's view of the file cannot be trusted.
# sqlite.org/rescode.html#ioerr
_IOERR: Final = 10
# After this many I/O errors in a row, the rest of a group fails, too: after each error, opening the
# connection again takes a while, and its callers wait.
_MOST_IO_ERRORS: Final = 3


@dataclass(slots=True, eq=False)
class Acting(Generic[T]):
    """Any operation other than Recording that waits for its commit."""

    act: Callable[[OwnerSession], T]
    done: Callable[[T | None, Exception | None], None]


class Closing:
    """The signal to stop, after all queued operations."""


Operation = Recording | Acting[object]


class Writer(IntakeQueue):
    """The writer thread, from `start` to `close`."""

    def __init__(
        self,
        *,
        open_session: Callable[[], OwnerSession],
        committed: Callable[[], None],
        turn: threading.Lock,
        most_conversions: int,
        most_bytes: int,
        written: Callable[[OwnerSession], None] = lambda _session: None,
        full: Callable[[], object] | None = None,
        failed: Callable[[Exception], None] = lambda _error: None,
        timed: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`turn` is held while a group is written; `committed` is called after each group.

        `open_session` opens the connection, at the start and again after an I/O error. On the
        writer's thread, `written` is called first after each commit, and `full` when the disk is
        full: `refusing` is then set until another component clears it. `failed` is called once, on
        the event loop's thread, when the state of the store is unknown; from then on, no operation
        is executed. `timed` receives the duration of each group in seconds, on the writer's thread.
        """
        self._open_session = open_session
        self._committed = committed
        self._written = written
        self._full = full
        self._failed = failed
        self._timed = timed
        # Why no operation is executed any more, or None.
        self._final: Exception | None = None
        # The I/O errors since the group began, or since a part of it was committed.
        self._io_errors: list[Exception] = []
        self._turn = turn
        self._queue: Handover[Operation | Closing] = Handover(asyncio.get_running_loop())
        super().__init__(self._queue.put, most_conversions=most_conversions, most_bytes=most_bytes)
        self._thread = threading.Thread(target=self._run, name="twite-writer", daemon=True)
        self._session: OwnerSession | None = None

    def start(self) -> None:
        """Open the connection and start. Raises the errors of the connection."""
        self._session = self._open_session()
        self._thread.start()

    async def submit_act(self, act: Callable[[OwnerSession], T]) -> T:
        """Commit another change together with other queued operations."""
        if self._closing:
            raise closing()
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Acting(act, partial(settle, future)))
        return await future

    async def close(self) -> None:
        """Finish queued operations, and stop."""
        if not self._closing:
            self._closing = True
            self._queue.put(Closing())
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._gather()
            if group:
                with self._turn:
                    outcomes = self._outcomes(group)
                self._committed()
                if self._session is not None:
                    self._written(self._session)
                self._loop.call_soon_threadsafe(self._resolve, group, outcomes)
            # Free the memory of this group now, not when the next group replaces it.
            del group
        if self._session is not None:
            self._session.connection.close()

    def _gather(self) -> tuple[list[Operation], bool]:
        """Wait for one operation, then take all queued ones, up to a limit."""
        group: list[Operation] = []
        together = 0
        self._queue.wait()
        while together < _MOST_TOGETHER:
            operation = self._queue.take()
            if isinstance(operation, Closing):
                return group, False
            if operation is None:
                break
            group.append(operation)
            if isinstance(operation, Recording):
                together += operation.count
        return group, True

    def _outcomes(self, group: Sequence[Operation]) -> list[Outcome]:
        """Commit a group. Whatever fails, the callers get a result and the writer continues.

        If even the rollback fails, the connection is closed. Then even operations that were already
        committed one by one are reported as failed; a submission that is repeated because of this
        counts as a duplicate.
        """
        self._io_errors.clear()
        try:
            return self._commit(group)
        except Exception as error:  # noqa: BLE001 if the writer ended, all callers would wait forever
            session, self._session = self._session, None
            if session is not None:
                session.connection.close()
            failure = LedgerUnavailable(
                reason=f"the store failed ({type(error).__name__})",
                retry_after=_RETRY_AFTER_FAILURE,
            )
            failure.__cause__ = error
            return [(operation.done, None, failure) for operation in group]

    def _commit(self, group: Sequence[Operation]) -> list[Outcome]:
        if self._final is not None:
            return self._refused(group, self._final)
        if len(self._io_errors) >= _MOST_IO_ERRORS:
            return self._refused(group, self._io_errors[-1])
        try:
            outcomes = self._transact(group)
        except Exception as error:  # noqa: BLE001 - the error goes to its caller, and must not end the writer
            if _is_io_error(error):
                self._io_errors.append(error)
            self._undo(error)
            if is_final(error):
                self._end(error)
                return self._refused(group, error)
            recordings = [change for change in group if isinstance(change, Recording)]
            if self._full is not None and is_full(error) and (self._make_room() or recordings):
                rest = [change for change in group if not isinstance(change, Recording)]
                return [*self._refused(recordings, error), *(self._commit(rest) if rest else ())]
            return self._one_by_one(group, error)
        self._io_errors.clear()
        return outcomes

    def _one_by_one(self, group: Sequence[Operation], error: Exception) -> list[Outcome]:
        """Commit the parts of a failed group separately, so that only a faulty one fails."""
        if len(group) > 1:
            return [outcome for operation in group for outcome in self._commit([operation])]
        (operation,) = group
        if not isinstance(operation, Recording) or len(operation.submissions) == 1:
            return self._refused(group, error)
        results: list[object] = []
        for submission in operation.submissions:
            ((_, result, failure),) = self._commit([Recording([submission], operation.done)])
            results += [failure] if failure is not None else result  # type: ignore[arg-type]  # a list
        return [(operation.done, results, None)]

    def _refused(self, group: Sequence[Operation], error: Exception) -> list[Outcome]:
        return [(operation.done, None, _translated(error)) for operation in group]

    def _make_room(self) -> bool:
        """Stop intake, so that stored conversions can be sent; return False if already stopped."""
        if self.refusing is not None or self._full is None:
            return False
        self.refusing = DISK_FULL
        self._full()
        return True

    def _end(self, error: Exception) -> None:
        if self._final is None:
            self._final = error
            self._loop.call_soon_threadsafe(self._failed, error)

    def _transact(self, group: Sequence[Operation]) -> list[Outcome]:
        if self._session is None:
            self._session = self._open_session()
        session = self._session
        recordings = [operation for operation in group if isinstance(operation, Recording)]
        began = time.perf_counter()
        session.connection.execute("BEGIN IMMEDIATE")
        outcomes: list[Outcome] = []
        if recordings:
            recorded = iter(
                record(
                    session,
                    [each for operation in recordings for each in operation.submissions],
                )
            )
            outcomes += [
                (operation.done, list(islice(recorded, len(operation.submissions))), None)
                for operation in recordings
            ]
        outcomes += [
            (operation.done, operation.act(session), None)
            for operation in group
            if isinstance(operation, Acting)
        ]
        session.finish()
        session.connection.execute("COMMIT")
        self._timed(time.perf_counter() - began)
        session.committed()
        return outcomes

    def _undo(self, error: Exception) -> None:
        """Roll back; after an I/O error, close the connection, too."""
        session = self._session
        if session is None:
            return
        try:
            if session.connection.in_transaction:
                session.connection.execute("ROLLBACK")
            if not _is_io_error(error):
                session.rolled_back()
                return
        except sqlite3.Error:
            pass
        self._session = None
        session.connection.close()

    def _resolve(self, group: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        """Deliver the results, on the event loop's thread."""
        self._release([each for each in group if isinstance(each, Recording)])
        self._deliver(outcomes)


def _is_io_error(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == _IOERR


def _translated(error: Exception) -> Exception:
    """Turn transient SQLite errors into LedgerUnavailable; bugs keep their type."""
    if not isinstance(error, sqlite3.Error | StoreUnusable):
        return error
    unavailable = LedgerUnavailable(reason=str(error), retry_after=_RETRY_AFTER_FAILURE)
    unavailable.__cause__ = error
    return unavailable
