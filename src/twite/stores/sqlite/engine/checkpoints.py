"""Checkpoints of the write-ahead log, on their own thread and connection, and the epoch file.

A commit waits for a checkpoint only when the log has grown past its limit.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import msgspec

from twite.stores.sqlite.engine.connection import connect_checkpointer, is_final, sync_folder

_LINE: Final = (
    "twite-epoch 1 {deployment} {epoch:020d} {turn:020d} {conversions:020d} {moved:020d}\n"
)
_READ: Final = re.compile(
    rb"twite-epoch 1 ([0-9a-f]{16}) ([0-9]{20}) ([0-9]{20}) ([0-9]{20}) ([0-9]{20})\n"
)
_EVERY: Final = 0.25  # seconds
_LOG_LIMIT: Final = 32 * 1024 * 1024
_REPORTED_FROM: Final = 8
_PASSES: Final = 4
# How long to wait for readers, in milliseconds.
_BUSY: Final = 10
_AT_THE_END: Final = 10_000
_UNNOTICED: Final = 0.01  # the longest that a commit may wait, in seconds


class StoreMark(msgspec.Struct, frozen=True, kw_only=True):
    """The store's progress, in `<database>.epoch`, by which a restored backup is detected.

    A restored database does not know what was sent since the backup. Both the database and this
    file count claims, settlements and erasures ("turns"); the file is written after each commit,
    before its data is sent. A database with fewer turns than the file is an older copy. The file is
    written in place and synced about once a second: it is up to date if the process is killed, and
    after a power loss it may be behind the database, but never ahead. `deployment` identifies the
    store; `conversions` is the highest id of a conversion so far. `moved` is a turn whose changes
    have been moved from the log into the database file. A database file that has not reached this
    turn is another copy, to which the log next to it does not belong.
    """

    deployment: str
    epoch: int
    turn: int
    conversions: int
    moved: int = 0


def deployment_of(salt: bytes) -> str:
    """Return a 16-character id of a deployment that does not reveal its salt."""
    return hashlib.blake2b(salt, digest_size=8, person=b"twite-mark").hexdigest()


def later_steps(number: int) -> str:
    """Describe how many turns an older copy lacks, and what a turn is."""
    steps = "step" if number == 1 else "steps"
    return f"{number} later {steps} (deliveries taken from the queue, results recorded, erasures)"


def mark_path(database: str) -> Path:
    return Path(f"{database}.epoch")


def read_mark(database: str) -> StoreMark | None:
    """Read the epoch file; None if it is missing or invalid."""
    try:
        match = _READ.fullmatch(mark_path(database).read_bytes())
    except OSError:
        return None
    if match is None:
        return None
    return StoreMark(
        deployment=match[1].decode(),
        epoch=int(match[2]),
        turn=int(match[3]),
        conversions=int(match[4]),
        moved=int(match[5]),
    )


def write_mark(database: str, mark: StoreMark) -> None:
    """Replace the epoch file, durably and readable only by its owner. Raises OSError."""
    path = mark_path(database)
    draft = path.with_name(f"{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, _spelled(mark))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    sync_folder(path)


class MarkKeeper:
    """Keeps the epoch file up to date.

    Call `note` in the writer's thread, other methods in the checkpoint thread.
    """

    def __init__(self, database: str, mark: StoreMark) -> None:
        """Raises OSError if the file does not exist."""
        self._mark = mark
        self._descriptor = os.open(mark_path(database), os.O_WRONLY | os.O_CLOEXEC)
        self._unsynced = False
        self._lock = threading.Lock()

    @property
    def turn(self) -> int:
        """The latest committed turn."""
        return self._mark.turn

    def note(self, *, turn: int, conversions: int) -> None:
        """Record the store's progress."""
        if (turn, conversions) == (self._mark.turn, self._mark.conversions):
            return
        with self._lock:
            self._write(msgspec.structs.replace(self._mark, turn=turn, conversions=conversions))

    def moved(self, turn: int) -> None:
        """Record that the database file has durably reached a turn."""
        if turn == self._mark.moved:
            return
        with self._lock:
            self._write(msgspec.structs.replace(self._mark, moved=turn))

    def _write(self, mark: StoreMark) -> None:
        self._mark = mark
        # A disk that fails here also fails at the next commit, which reports the error.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _spelled(mark), 0)
        self._unsynced = True

    def sync(self) -> None:
        if self._unsynced:
            self._unsynced = False
            with contextlib.suppress(OSError):
                os.fdatasync(self._descriptor)

    def close(self) -> None:
        self.sync()
        os.close(self._descriptor)


def _spelled(mark: StoreMark) -> bytes:
    return _LINE.format(**msgspec.structs.asdict(mark)).encode("ascii")


class Checkpoints:
    """The checkpoint thread, from `start` to `close`. `wake` may be called from any thread."""

    def __init__(
        self,
        path: str,
        *,
        turn: threading.Lock,
        log_limit: int = _LOG_LIMIT,
        mark: MarkKeeper | None = None,
        failed: Callable[[Exception], None] = lambda _error: None,
        grown: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """`turn` is the writer's lock, acquired to truncate the log.

        `mark` is synced a few times a second during writes, and told how far the database file has
        come. Two callbacks run on the event loop's thread: `failed` when the file or the disk can
        no longer be trusted, and `grown` with the size of the log (bytes), each time the log has
        doubled because a reader prevents its restart.
        """
        self._mark = mark
        self._failed = failed
        self._grown = grown
        self._reported_size = _REPORTED_FROM * log_limit
        self._loop = asyncio.get_running_loop()
        self._cutting = False
        # How often a checkpoint has emptied the log.
        self._emptied = 0
        self._path = path
        self._log = Path(f"{path}-wal")
        self._turn = turn
        self._log_limit = log_limit
        self._written = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="twite-checkpoints", daemon=True)

    def start(self) -> None:
        """Open the connection and start. Raises the errors of the connection."""
        self._connection = connect_checkpointer(self._path)
        # While a checkpoint waits for readers, commits wait, too.
        self._connection.execute(f"PRAGMA busy_timeout = {_BUSY}")
        self._thread.start()

    def wake(self) -> None:
        """Report a commit."""
        self._written.set()

    def cut(self) -> None:
        """Request that the log is emptied, because it still contains pruned data."""
        self._cutting = True
        self._written.set()

    async def emptied(self, *, patience: float) -> bool:
        """Wait until the log has been emptied; return False if a reader prevents it."""
        before, until = self._emptied, time.monotonic() + patience
        while self._emptied == before:
            if time.monotonic() >= until:
                return False
            self.cut()
            await asyncio.sleep(_EVERY)
        return True

    def close(self) -> None:
        """Checkpoint the whole log, and stop."""
        self._stop.set()
        self._written.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with closing(self._connection) as connection:
            while not self._stop.is_set():
                self._written.wait()
                self._stop.wait(_EVERY)
                self._written.clear()
                self._move(connection)
                if self._mark is not None:
                    self._mark.sync()
            connection.execute(f"PRAGMA busy_timeout = {_AT_THE_END}")
            self._checkpoint(connection, "TRUNCATE")

    def _move(self, connection: sqlite3.Connection) -> None:
        """Checkpoint the log; past the size limit, repeat until the log restarts.

        A pass does not move what is committed while it runs. So it is repeated until a pass is
        short, and only the last one makes the writer wait.
        """
        took = self._checkpoint(connection, "PASSIVE")
        if self._size() < self._log_limit and not self._cutting:
            return
        for _ in range(_PASSES):
            if took < _UNNOTICED:
                break
            took = self._checkpoint(connection, "PASSIVE")
        kind = "TRUNCATE" if self._cutting else "PASSIVE"
        self._cutting = False
        emptied = self._emptied
        with self._turn:
            self._checkpoint(connection, kind)
        if kind == "TRUNCATE" and self._emptied == emptied:
            # A reader still uses the data to be removed: try again after the next commit or
            # request.
            self._cutting = True
        self._mind_the_size()

    def _mind_the_size(self) -> None:
        size = self._size()
        if size < self._log_limit * _REPORTED_FROM:
            self._reported_size = self._log_limit * _REPORTED_FROM
        elif size >= self._reported_size:
            self._reported_size = 2 * size
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._grown, size)

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def _checkpoint(self, connection: sqlite3.Connection, kind: str) -> float:
        """Return the duration in seconds."""
        start = time.monotonic()
        turn = 0 if self._mark is None else self._mark.turn
        try:
            busy, logged, moved = found = _wal_checkpoint(connection, kind)
            whole = not busy and logged == moved
            # If a commit intervenes, SQLite skips the sync of the database without reporting it. If
            # a second checkpoint finds the log unchanged, there was no such commit.
            if whole and kind == "PASSIVE":
                whole = _wal_checkpoint(connection, "PASSIVE") == found
            if whole and self._mark is not None:
                self._mark.moved(turn)
            self._emptied += kind == "TRUNCATE" and not busy
        except sqlite3.Error as error:
            # The disk is full or a reader blocks: the log keeps everything until the next attempt.
            # An unconfirmed sync is an error.
            if is_final(error):
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._failed, error)
        return time.monotonic() - start


def _wal_checkpoint(connection: sqlite3.Connection, kind: str) -> tuple[int, int, int]:
    """Return whether the checkpoint was blocked, the number of frames, and how many were moved."""
    busy, logged, moved = connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
    return busy, logged, moved
