"""SQLite files as source and target of `twite store copy`."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store_copy import PIECE, CopiedDeployment, CopiedTable, CopyReader, Row
from twite.stores.sql.rows.insertions import TABLES, quoted
from twite.stores.sql.statements import START_ONCE, named, query, refuse_older
from twite.stores.sqlite.engine.checkpoints import deployment_of
from twite.stores.sqlite.engine.connection import (
    connect_reader,
    connect_writer,
    create,
    damaged,
    is_damage,
    is_full,
    sync_folder,
)
from twite.stores.sqlite.engine.examine import examine
from twite.stores.sqlite.engine.lock import OwnerLock
from twite.stores.sqlite.engine.log_file import stray_log
from twite.stores.sqlite.engine.opening import older_copy
from twite.stores.sqlite.engine.schema import migrate, newest_version, present_version
from twite.stores.sqlite.store import SQLiteReader

T = TypeVar("T")

_GIVE: Final = "Give the path of the database that the gateway uses"

_SQL: Final = named(Path(__file__).with_name("copying.sql").read_text("utf-8"))
COPIED_KEYS: Final = f"{_SQL['held_keys']} {_SQL['keys'].replace('taken_at', _SQL['taken_at'])}"
COUNT_KEYS: Final = f"{_SQL['held_keys']} {_SQL['count_keys']}"

# Only in SQLite can a delivery be in flight while its state says otherwise: its lease shows it.
_UNMARKED: Final = "FROM lease CROSS JOIN json_each(lease.deliveries) AS claimed WHERE unmarked"
_LISTED: Final = f"outbox.id IN (SELECT claimed.value {_UNMARKED})"
_LISTED_BY: Final = f"(SELECT lease.id {_UNMARKED} AND claimed.value = outbox.id)"
# Expressions for columns that are copied with another value than the stored one.
_WRITTEN: Final = {
    ("outbox", "state"): f"CASE WHEN {_LISTED} THEN 'sending' ELSE state END",
    ("outbox", "lease"): f"CASE WHEN {_LISTED} THEN {_LISTED_BY} ELSE outbox.lease END",
}


class SQLiteCopySource:
    """Implements CopySource. Holds the owner's lock until `close`."""

    tables: Sequence[CopiedTable] = TABLES

    def __init__(self, path: str, lock: OwnerLock, connection: sqlite3.Connection) -> None:
        self.shown = path
        self._file = path
        self._lock = lock
        self._connection = connection
        # A single thread, so that an interrupted copy closes the connection after the running
        # statement.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="twite-copy")
        connection.text_factory = str

    @classmethod
    def open(cls, path: str) -> Self:
        """Lock the file, and check it. Raises StoreInUse, StoreUnusable."""
        path = os.path.realpath(path)
        if not Path(path).is_file() or not Path(path).stat().st_size:
            raise StoreUnusable(
                path, "the database does not exist", "Give the path of the database"
            )
        lock = OwnerLock.take(path)
        try:
            _refuse(path)
            return cls(path, lock, connect_reader(path))
        except BaseException:
            lock.release()
            raise

    async def state(self) -> str:
        found = await self._asked("SELECT salt, epoch, commits FROM deployment")
        salt, epoch, commits = found[0]
        return f"{deployment_of(salt)} {epoch} {commits}"

    async def count(self, table: CopiedTable) -> int:
        counting = f'SELECT count(*) FROM "{table.name}"'  # noqa: S608 own table
        found = await self._asked(COUNT_KEYS if table.name == "dedup" else counting)
        return int(found[0][0])

    async def rows(self, table: CopiedTable, after: Row | None = None) -> AsyncIterator[list[Row]]:
        if table.name == "dedup":
            values: Any = {"after": b"" if after is None else after[0]}
            cursor = await self._ran(lambda: self._connection.execute(COPIED_KEYS, values))
        else:
            statement = _reading(table, is_continued=after is not None)
            cursor = await self._ran(lambda: self._connection.execute(statement, after or ()))
        while piece := await self._ran(lambda: cursor.fetchmany(PIECE)):
            yield piece

    async def deployment(self) -> CopiedDeployment:
        found = await self._asked(
            "SELECT salt, epoch, ahead, bodies, histories FROM deployment, pruning"
        )
        salt, epoch, ahead, bodies, histories = found[0]
        return CopiedDeployment(
            salt=salt, epoch=epoch, ahead=ahead, bodies=bodies, histories=histories
        )

    async def open_reader(self) -> CopyReader:
        return await SQLiteReader.open(self._file)

    async def close(self) -> None:
        await self._ran(self._connection.close)
        self._thread.shutdown()
        self._lock.release()

    async def _asked(self, statement: str) -> list[Any]:
        return await self._ran(lambda: self._connection.execute(statement).fetchall())

    async def _ran(self, act: Callable[[], T]) -> T:
        """Run a function on the connection's thread. Raises StoreUnusable."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, act)
        except (sqlite3.Error, OSError, UnicodeError) as error:
            if is_damage(error):
                raise damaged(self._file, error) from error
            raise StoreUnusable(
                self.shown,
                "the disk is full" if is_full(error) else str(error),
                "Check the disk, then run the same command again: the copy continues",
            ) from error


class SQLiteCopyTarget(SQLiteCopySource):
    """Implements CopyTarget. The copy is in `<path>.copying` until it is published."""

    def __init__(self, path: str, lock: OwnerLock, connection: sqlite3.Connection) -> None:
        super().__init__(path, lock, connection)
        self._file = _draft_of(path)

    @classmethod
    def open_for(cls, path: str, *, state: str) -> Self:
        """Begin a copy, or continue one of a source with the same state.

        Raises StoreInUse, StoreUnusable.
        """
        path = os.path.realpath(path)
        lock = OwnerLock.take(path)
        try:
            _refuse_existing(path)
            draft = _draft_of(path)
            _discard_incomplete(draft)
            create(draft)
            connection = connect_writer(draft)
            try:
                _begin(connection, draft, state)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.release()
            raise
        return cls(path, lock, connection)

    async def last_key(self, table: CopiedTable) -> Row | None:
        keys = quoted(table.columns[: table.key])
        found = await self._asked(
            f'SELECT {", ".join(keys)} FROM "{table.name}" '  # noqa: S608 own table
            f"ORDER BY {', '.join(f'{key} DESC' for key in keys)} LIMIT 1"
        )
        return found[0] if found else None

    async def add(self, table: CopiedTable, rows: Sequence[Row]) -> None:
        await self._ran(lambda: self._add(table, rows))

    def _add(self, table: CopiedTable, rows: Sequence[Row]) -> None:
        # SQLite does not store the time at which a key was taken.
        columns = table.columns[: table.compared]
        if len(columns) < len(table.columns):
            rows = [row[: len(columns)] for row in rows]
        marks = ", ".join("?" * len(columns))
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                f'INSERT INTO "{table.name}" ({", ".join(quoted(columns))}) '  # noqa: S608 - as above
                f"VALUES ({marks})",
                rows,
            )
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def stored(self, row: Row) -> Row:
        return row

    async def complete(self, deployment: CopiedDeployment) -> None:
        await self._ran(lambda: self._complete(deployment))

    def _complete(self, deployment: CopiedDeployment) -> None:
        execute = self._connection.execute
        # The next epoch's fencing tokens must be higher than those of copied leases.
        tokens = execute("SELECT coalesce(max(id), 0) >> 32 FROM lease").fetchone()[0]
        following = 1 + execute(query("last_ids")).fetchone()[1]
        execute("BEGIN IMMEDIATE")
        execute(
            "UPDATE deployment SET salt = ?, epoch = ?, ahead = ?, clean = 1",
            (deployment.salt, max(deployment.epoch, tokens), deployment.ahead),
        )
        execute(
            "UPDATE pruning SET bodies = ?, histories = ?",
            (deployment.bodies, deployment.histories),
        )
        # All keys are in the table; the log will have the keys of the conversions that follow.
        execute("UPDATE merge_round SET bucket = 0, began = :at, low = :at, high = :at",
                {"at": following})  # fmt: skip
        execute("COMMIT")

    async def publish(self) -> None:
        await self._ran(self._publish)

    def _publish(self) -> None:
        execute = self._connection.execute
        problem = execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreUnusable(self._file, problem, "Check its disk")
        execute("DROP TABLE store_copy")
        execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()
        for suffix in ("-wal", "-shm"):
            Path(f"{self.shown}{suffix}").unlink(missing_ok=True)
        Path(self._file).replace(self.shown)
        sync_folder(self.shown)


def _refuse(path: str) -> None:
    """Raise StoreUnusable for a store whose state is in doubt."""
    stray = stray_log(path)
    if stray is not None:
        raise StoreUnusable(path, stray, START_ONCE)
    try:
        examine(path, seconds=None)
        connection = connect_reader(path)
        try:
            present = present_version(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        if is_damage(error):
            raise damaged(path, error) from error
        raise StoreUnusable(path, str(error), "Check the file") from error
    if present == 0:
        raise StoreUnusable(path, "the file is not a Twite database", _GIVE)
    refuse_older(present, newest_version(), path, fix=START_ONCE)
    older = older_copy(path)
    if older is not None:
        raise StoreUnusable(path, older, START_ONCE)


def _refuse_existing(path: str) -> None:
    log = Path(f"{path}-wal")
    # An empty log is left by commands that only read.
    if Path(path).exists() or (log.exists() and log.stat().st_size):
        raise StoreUnusable(
            path,
            "the file or its write-ahead log already exists",
            "Choose a file that does not exist",
        )


def _draft_of(path: str) -> str:
    return f"{path}.copying"


def _discard_incomplete(draft: str) -> None:
    """Remove a `.copying` file that names no source: the copy stopped in its first or last step."""
    if Path(draft).exists():
        connection = connect_reader(draft)
        try:
            found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'store_copy'")
            is_known = found.fetchone() is not None
        finally:
            connection.close()
        if is_known:
            return
    for suffix in ("-wal", "-shm", ""):
        Path(f"{draft}{suffix}").unlink(missing_ok=True)


def _begin(connection: sqlite3.Connection, draft: str, state: str) -> None:
    connection.execute("PRAGMA wal_autocheckpoint = 1000")
    migrate(connection, draft)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS store_copy (state TEXT NOT NULL)")
    found = connection.execute("SELECT state FROM store_copy").fetchone()
    if found is None:
        connection.execute("INSERT INTO store_copy (state) VALUES (?)", (state,))
    connection.execute("COMMIT")
    if found is not None and found[0] != state:
        raise StoreUnusable(
            draft,
            "the file contains an incomplete copy of another store, or of an earlier state "
            "of this store",
            "Delete the file, then run the command again: the copy starts over",
        )


@cache
def _reading(table: CopiedTable, *, is_continued: bool) -> str:
    """Return the statement that reads the rows of a table, all of them or those after a key."""
    keys = ", ".join(quoted(table.columns[: table.key]))
    marks = ", ".join("?" * table.key)
    columns = ", ".join(
        _WRITTEN.get((table.name, column), name)
        for column, name in zip(table.columns, quoted(table.columns), strict=True)
    )
    after = f"WHERE ({keys}) > ({marks})" if is_continued else ""
    return f'SELECT {columns} FROM "{table.name}" {after} ORDER BY {keys}'  # noqa: S608 - as above
