"""Writer thread: commits all waiting changes together (group commit).

A future gets its result only after the COMMIT with its work. A failed group is rolled back, and its
operations are then tried one by one, so that only the bad one fails. A failed operation leaves no
changes.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from twite.domain.errors import LedgerFull, LedgerUnavailable, StoreUnusable
from twite.domain.submission import Recorded, Submission
from twite.stores.sql.intake import record
from twite.stores.sqlite.engine.connection import is_final, is_full
from twite.stores.sqlite.engine.owner_session import OwnerSession

T = TypeVar("T")

# After this many turns of the loop without new operations, the loop has no work left.
_QUIET_TURNS: Final = 3
# The longest that an operation may wait for others, in seconds.
_PATIENCE: Final = 0.003


class Handover(Generic[T]):
    """Queue from the event loop's thread to the writer's.

    Call `put` in the loop's thread, `wait` and `take` in the writer's. Threads that compete for the
    interpreter's lock slow each other down: a request cost the loop 95 µs if every request woke the
    writer, 76 µs if each turn of the loop did, and 63 µs if an idle writer is woken only when the
    loop has no work. So arrivals are collected, for a few milliseconds at most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[T] = deque()
        # Tokens only wake the writer. An extra token causes one useless check.
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._idle = False
        # While the loop checks whether more operations arrive.
        self._looking = False
        self._until = 0.0
        self._seen = 0
        self._quiet = 0

    def put(self, item: T) -> None:
        """Add an operation; the writer is woken when the loop has no more work."""
        self._waiting.append(item)
        if not self._looking:
            self._looking = True
            self._until = self._loop.time() + _PATIENCE
            self._seen = self._quiet = 0
            self._loop.call_soon(self._look)

    def wait(self) -> None:
        """Wait until the queue is not empty."""
        while not self._waiting:
            self._idle = True
            # An operation may have arrived between the check and the flag; then nothing would wake
            # the writer.
            if self._waiting:
                self._idle = False
                return
            self._tokens.get()

    def take(self) -> T | None:
        """Return the next operation, or None."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _look(self) -> None:
        """Wake an idle writer, or check again in the next turn."""
        if self._idle:
            gathered = len(self._waiting)
            self._quiet = self._quiet + 1 if gathered == self._seen else 0
            self._seen = gathered
            if self._quiet < _QUIET_TURNS and self._loop.time() < self._until:
                self._loop.call_soon(self._look)
                return
            self._idle = False
            self._tokens.put(None)
        self._looking = False


_RETRY_AFTER: Final = 1
_RETRY_AFTER_FAILURE: Final = 5
# Larger commits gain nothing, and make every caller wait.
_MOST_TOGETHER: Final = 2_000
# The reason why intake stops while stored conversions are sent and settled.
DISK_FULL: Final = "the disk is full"
# After this result code, a connection's view of the file cannot be trusted.
# sqlite.org/rescode.html#ioerr
_IOERR: Final = 10


@dataclass(slots=True, eq=False)
class Recording:
    """A submission that waits for its commit."""

    submission: Submission
    done: Callable[[Recorded | None, Exception | None], None]
    size: int


@dataclass(slots=True, eq=False)
class Acting(Generic[T]):
    """Any other change that waits for its commit."""

    act: Callable[[OwnerSession], T]
    done: Callable[[T | None, Exception | None], None]


class Closing:
    """The signal to stop, after all queued operations."""


Operation = Recording | Acting[object]
_Outcome = tuple[Callable[[object, Exception | None], None], object, Exception | None]


class Writer:
    """The writer thread, from `start` to `close`.

    Call the `submit…` methods on the event loop's thread.
    """

    def __init__(
        self,
        *,
        open_book: Callable[[], OwnerSession],
        committed: Callable[[], None],
        turn: threading.Lock,
        most_conversions: int,
        most_bytes: int,
        written: Callable[[OwnerSession], None] = lambda _book: None,
        full: Callable[[], object] | None = None,
        failed: Callable[[Exception], None] = lambda _error: None,
        timed: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`turn` is held while a group is written; `committed` is called after each group.

        `open_book` opens the connection, at the start and again after an I/O error. On the writer's
        thread, `written` is called first after each commit, and `full` when the disk is full:
        `refusing` is then set until another component clears it. `failed` is called once, on the
        event loop's thread, when the state of the store is unknown: no operation is executed any
        more. `timed` receives the seconds of each group, on the writer's thread.
        """
        self._open_book = open_book
        self._committed = committed
        self._written = written
        self._full = full
        self._failed = failed
        self._timed = timed
        # Why submissions are refused while other operations continue, or None.
        self.refusing: str | None = None
        # Why no operation is executed any more.
        self._final: Exception | None = None
        self._turn = turn
        self._most_conversions = most_conversions
        self._most_bytes = most_bytes
        self._loop = asyncio.get_running_loop()
        self._queue: Handover[Operation | Closing] = Handover(self._loop)
        self._thread = threading.Thread(target=self._run, name="twite-writer", daemon=True)
        self._book: OwnerSession | None = None
        # Both are used only by the event loop's thread.
        self._waiting_conversions = 0
        self._waiting_bytes = 0
        self._closing = False

    def start(self) -> None:
        """Open the connection and start. Raises the errors of the connection."""
        self._book = self._open_book()
        self._thread.start()

    async def submit(self, submission: Submission) -> Recorded:
        """Commit a submission together with all other waiting changes."""
        future: asyncio.Future[Recorded] = self._loop.create_future()
        self.submit_soon(submission, partial(_settle, future))
        return await future

    def submit_soon(
        self, submission: Submission, done: Callable[[Recorded | None, Exception | None], None]
    ) -> None:
        """Commit a submission together with other queued operations."""
        size = len(submission.body) + sum([len(entry.body) for entry in submission.entries])
        count = max(1, len(submission.entries))
        self._refuse_when_closing()
        if self.refusing is not None:
            raise LedgerUnavailable(reason=self.refusing, retry_after=_RETRY_AFTER_FAILURE)
        # A submission larger than the limit is accepted if the queue is empty.
        if self._waiting_conversions and (
            self._waiting_conversions + count > self._most_conversions
            or self._waiting_bytes + size > self._most_bytes
        ):
            raise LedgerFull(
                reason="too many writes are queued for the disk", retry_after=_RETRY_AFTER
            )
        self._waiting_conversions += count
        self._waiting_bytes += size
        self._queue.put(Recording(submission, done, size))

    async def submit_act(self, act: Callable[[OwnerSession], T]) -> T:
        """Commit another change together with other queued operations."""
        self._refuse_when_closing()
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Acting(act, partial(_settle, future)))
        return await future

    async def close(self) -> None:
        """Finish queued operations, and stop."""
        if not self._closing:
            self._closing = True
            self._queue.put(Closing())
        await asyncio.to_thread(self._thread.join)

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise LedgerUnavailable(reason="the store is closing", retry_after=_RETRY_AFTER_FAILURE)

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._gather()
            if group:
                with self._turn:
                    outcomes = self._outcomes(group)
                self._committed()
                if self._book is not None:
                    self._written(self._book)
                self._loop.call_soon_threadsafe(self._resolve, group, outcomes)
            # Otherwise, the last group's values would stay in memory until the next group.
            del group
        if self._book is not None:
            self._book.connection.close()

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
                together += len(operation.submission.entries)
        return group, True

    def _outcomes(self, group: Sequence[Operation]) -> list[_Outcome]:
        """Commit. After any error, the callers get a result, and the writer continues.

        If even the rollback fails, the connection is closed. Operations of the group that were
        already committed one by one are then reported as failed; a repeated submission counts as a
        duplicate.
        """
        try:
            return self._commit(group)
        except Exception as error:  # noqa: BLE001 - a writer that ends lets everyone wait for ever
            self._book = None
            failure = LedgerUnavailable(
                reason=f"the store failed ({type(error).__name__})",
                retry_after=_RETRY_AFTER_FAILURE,
            )
            failure.__cause__ = error
            return [(operation.done, None, failure) for operation in group]  # type: ignore[misc]  # as above

    def _commit(self, group: Sequence[Operation]) -> list[_Outcome]:
        if self._final is not None:
            return self._refused(group, self._final)
        try:
            return self._transact(group)
        except Exception as error:  # noqa: BLE001 - it must reach its caller, not end the writer
            self._undo(error)
            if is_final(error):
                self._end(error)
                return self._refused(group, error)
            recordings = [change for change in group if isinstance(change, Recording)]
            if self._full is not None and is_full(error) and (self._make_room() or recordings):
                rest = [change for change in group if not isinstance(change, Recording)]
                return [*self._refused(recordings, error), *(self._commit(rest) if rest else ())]
            if len(group) == 1:
                return [(group[0].done, None, _told(error))]  # type: ignore[list-item]  # as above
            return [outcome for operation in group for outcome in self._commit([operation])]

    def _refused(self, group: Sequence[Operation], error: Exception) -> list[_Outcome]:
        return [(operation.done, None, _told(error)) for operation in group]  # type: ignore[misc]  # as above

    def _make_room(self) -> bool:
        """Stop intake, so that stored conversions can be sent; False if it was stopped."""
        if self.refusing is not None or self._full is None:
            return False
        self.refusing = DISK_FULL
        self._full()
        return True

    def _end(self, error: Exception) -> None:
        if self._final is None:
            self._final = error
            self._loop.call_soon_threadsafe(self._failed, error)

    def _transact(self, group: Sequence[Operation]) -> list[_Outcome]:
        if self._book is None:
            self._book = self._open_book()
        book = self._book
        recordings = [operation for operation in group if isinstance(operation, Recording)]
        began = time.perf_counter()
        book.connection.execute("BEGIN IMMEDIATE")
        outcomes: list[_Outcome] = []
        if recordings:
            recorded = record(book, [operation.submission for operation in recordings])
            outcomes += [
                (operation.done, result, None)  # type: ignore[misc]  # as above
                for operation, result in zip(recordings, recorded, strict=True)
            ]
        outcomes += [
            (operation.done, operation.act(book), None)
            for operation in group
            if isinstance(operation, Acting)
        ]
        book.finish()
        book.connection.execute("COMMIT")
        self._timed(time.perf_counter() - began)
        book.committed()
        return outcomes

    def _undo(self, error: Exception) -> None:
        """Roll back; after an I/O error, close the connection, too."""
        book = self._book
        if book is None:
            return
        try:
            if book.connection.in_transaction:
                book.connection.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != _IOERR:
                book.rolled_back()
                return
        except sqlite3.Error:
            pass
        self._book = None
        book.connection.close()

    def _resolve(self, group: Sequence[Operation], outcomes: Sequence[_Outcome]) -> None:
        """Deliver the results, on the event loop's thread."""
        for operation in group:
            if isinstance(operation, Recording):
                self._waiting_conversions -= max(1, len(operation.submission.entries))
                self._waiting_bytes -= operation.size
        for done, result, error in outcomes:
            try:
                done(result, error)
            except Exception as fault:  # noqa: BLE001 - the others of the group must hear theirs
                message = "a callback of the writer failed"
                self._loop.call_exception_handler({"message": message, "exception": fault})


def _settle(future: asyncio.Future[T], result: T | None, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)  # type: ignore[arg-type]  # there is a result or an error
    else:
        future.set_exception(error)


def _told(error: Exception) -> Exception:
    """Turn transient SQLite errors into LedgerUnavailable; bugs keep their type."""
    if not isinstance(error, sqlite3.Error | StoreUnusable):
        return error
    unavailable = LedgerUnavailable(reason=str(error), retry_after=_RETRY_AFTER_FAILURE)
    unavailable.__cause__ = error
    return unavailable
