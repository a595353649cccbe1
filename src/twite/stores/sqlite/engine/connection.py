"""SQLite connections with the pragmas for durability, and the classification of errors."""

import os
import sqlite3
from collections.abc import Mapping
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Final

from twite.domain.errors import StoreUnusable

FIX: Final = "Save the undamaged rows with twite recover, or restore a backup"

# Result codes. [sqlite.org/rescode.html]
_CORRUPT: Final = 11
_FULL: Final = 13
_NOTADB: Final = 26
_IOERR: Final = 10
_IOERR_WRITE: Final = _IOERR | (3 << 8)
_IOERR_FSYNC: Final = _IOERR | (4 << 8)
_IOERR_DIR_FSYNC: Final = _IOERR | (5 << 8)
# The log's index, which is a separate file, cannot grow.
_IOERR_SHMSIZE: Final = _IOERR | (19 << 8)
# Has multi-row UPSERT, RETURNING, UPDATE FROM, and JSON functions as built by Debian and Python.
LEAST_SQLITE: Final = (3, 35, 0)
_BUSY_MS: Final = 10_000
# Enough for the pages of the dedup table that are used often; the rest is in the system's file
# cache.
_WRITER_CACHE_KIB: Final = 8 * 1024
_LOG_KEPT: Final = 64 * 1024 * 1024
_READER_CACHE_KIB: Final = 4 * 1024
# Enough for all statements, including every size of those with a variable number of rows.
_STATEMENTS: Final = 256
WRITER_SETTINGS: Final[Mapping[str, tuple[str | int, str | int]]] = {
    # The pragmas, and the values that the database must report.
    "journal_mode": ("WAL", "wal"),
    # A commit survives power loss; NORMAL lost acknowledged rows in 70 of 100 simulated cuts.
    "synchronous": ("FULL", 2),
    # Needed on macOS, where a plain fsync leaves data in the disk's cache; no effect elsewhere.
    "fullfsync": ("ON", 1),
    "checkpoint_fullfsync": ("ON", 1),
    # If a reader has made the log grow beyond this, it is truncated when it restarts.
    "journal_size_limit": (_LOG_KEPT, _LOG_KEPT),
    # Overwrite deleted data: identifiers must not remain in free pages.
    "secure_delete": ("ON", 1),
    # Checkpoints run on a separate thread, because they would delay commits.
    "wal_autocheckpoint": (0, 0),
    "foreign_keys": ("OFF", 0),
    # A CHECK constraint on the state cost 1.5 µs per row. Instead, states come from an enum, and
    # `examine` checks the file.
    "ignore_check_constraints": ("ON", 1),
    "cache_size": (-_WRITER_CACHE_KIB, -_WRITER_CACHE_KIB),
}


def is_damage(error: BaseException) -> bool:
    """Return whether an error of SQLite or of text decoding means a damaged file."""
    if isinstance(error, UnicodeError) or str(error).startswith("Could not decode"):
        return True
    return isinstance(error, sqlite3.DatabaseError) and (_code(error) & 0xFF) == _CORRUPT


def is_full(error: BaseException | None) -> bool:
    """Return whether the disk accepts no more data: it is full, or a quota or limit is reached."""
    if error is None:
        return False
    code = _code(error)
    if (code & 0xFF) == _FULL or code in {_IOERR_WRITE, _IOERR_SHMSIZE}:
        return True
    if isinstance(error, OSError) and error.errno in {ENOSPC, EDQUOT, EFBIG}:
        return True
    return is_full(error.__cause__)


def is_final(error: BaseException | None) -> bool:
    """Return whether the process must end because the store's state is unknown.

    This is so if the file is damaged or a sync failed: after a failed sync, the next one may
    succeed although earlier data was lost.
    """
    if error is None:
        return False
    code = _code(error)
    if (code & 0xFF) in {_CORRUPT, _NOTADB} or code in {_IOERR_FSYNC, _IOERR_DIR_FSYNC}:
        return True
    return is_final(error.__cause__)


def damaged(path: str, error: object) -> StoreUnusable:
    return StoreUnusable(path, f"it is damaged ({error})", FIX)


def final(path: str, error: BaseException) -> StoreUnusable:
    """Return the error that ends the process."""
    if isinstance(error, StoreUnusable):
        return error
    if (_code(error) & 0xFF) in {_CORRUPT, _NOTADB}:
        return damaged(path, error)
    return StoreUnusable(
        path,
        f"the disk did not confirm a write ({error})",
        "Check the disk and the system log, then start Twite again. Twite checks the file first",
    )


def _code(error: BaseException) -> int:
    code = getattr(error, "sqlite_errorcode", 0)
    return code if isinstance(code, int) else 0


def create(path: str) -> None:
    """Create a missing file, readable only by its owner, and sync its folder."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(path)
    except OSError as error:
        raise StoreUnusable(
            path, f"it cannot be opened ({error.strerror})", "The folder must exist and be writable"
        ) from error


def sync_folder(path: str | Path) -> None:
    """Make new file names in a file's folder durable. Raises OSError."""
    folder = os.open(Path(path).resolve().parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def connect_writer(path: str, *, patience: int = _BUSY_MS) -> sqlite3.Connection:
    """Open the only connection that writes.

    Raises StoreUnusable if a pragma has no effect. `patience` is how long the connection waits for
    a lock, in milliseconds.
    """
    refuse_old_sqlite(path, sqlite3.sqlite_version_info)
    connection = _connect(path, f"{Path(path).resolve().as_uri()}?mode=rw", patience)
    try:
        for name, (asked, expected) in WRITER_SETTINGS.items():
            connection.execute(f"PRAGMA {name} = {asked}")
            _refuse_other(path, name, expected, connection.execute(f"PRAGMA {name}").fetchone()[0])
    except (sqlite3.Error, UnicodeError) as error:
        connection.close()
        if is_damage(error):
            raise damaged(path, error) from error
        raise StoreUnusable(
            path, str(error), "Check the file and its folder, or choose another path"
        ) from error
    except StoreUnusable:
        connection.close()
        raise
    return connection


def connect_checkpointer(path: str) -> sqlite3.Connection:
    """Open the connection for checkpoints of the write-ahead log."""
    connection = connect_writer(path)
    connection.execute("PRAGMA cache_size = -256")
    return connection


def connect_reader(path: str) -> sqlite3.Connection:
    """Open a connection that only reads."""
    connection = _connect(path, f"{Path(path).resolve().as_uri()}?mode=ro", _BUSY_MS)
    try:
        connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
        connection.execute("PRAGMA query_only = ON")
        # A damaged text must not make the other rows unreadable.
        connection.text_factory = _text
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except (sqlite3.Error, UnicodeError) as error:
        connection.close()
        if is_damage(error):
            raise damaged(path, error) from error
        if is_full(error):
            raise StoreUnusable(
                path, "the disk is full", "Free space on it, and try again"
            ) from error
        raise StoreUnusable(
            path,
            str(error),
            "Choose a Twite database. If this is one, twite recover saves the undamaged rows",
        ) from error
    return connection


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def refuse_old_sqlite(path: str, version: tuple[int, int, int]) -> None:
    """Raise StoreUnusable when SQLite is older than 3.35."""
    if version < LEAST_SQLITE:
        raise StoreUnusable(
            path,
            f"SQLite {'.'.join(map(str, version))} is too old",
            "Use a Python built with SQLite 3.35 or newer",
        )


def _refuse_other(path: str, name: str, expected: str | int, answer: str | int) -> None:
    if answer != expected:
        raise StoreUnusable(
            path,
            f"SQLite leaves {name} at {answer}, but Twite needs {expected}",
            "Use a file on a local disk",
        )


def _connect(path: str, uri: str, patience: int) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            uri,
            uri=True,
            timeout=patience / 1_000,
            isolation_level=None,
            # Each connection is used by one thread at a time; it may be closed by another.
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )
    except sqlite3.Error as error:
        raise StoreUnusable(path, str(error), "The file must exist and be readable") from error
