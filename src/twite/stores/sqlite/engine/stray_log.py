"""Detect a write-ahead log of another database, and set files aside.

SQLite applies any log that it finds beside a database: nothing in either says that they belong
together. [sqlite.org/howtocorrupt.html#_backup_or_restore_while_a_transaction_is_active] A backup
that is copied into the place of a database whose process was killed finds that database's log, and
becomes a mixture of both.
"""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from twite.stores.sql.named import query
from twite.stores.sqlite.engine.log_file import log_of
from twite.stores.sqlite.engine.mark import deployment_of, read_mark

# The versions of the file format for writing and reading: 1 is a rollback journal, 2 a log.
# [sqlite.org/fileformat2.html#file_format_version_numbers]
_FORMAT: Final = slice(18, 20)
_NEVER_LOGGED: Final = b"\x01\x01"


def stray_log(database: str) -> str | None:
    """Say why the log beside a database belongs to another copy of it; None where it does not.

    No process may have the database open. Changes nothing.
    """
    if log_of(database) is None:
        return None
    try:
        with Path(database).open("rb") as file:
            header = file.read(_FORMAT.stop)
    except FileNotFoundError:
        return None
    # `twite backup` makes one file that needs no other, and SQLite changes this before it begins
    # a log.
    if header[_FORMAT] == _NEVER_LOGGED:
        return "the database is a backup and the log next to it belongs to the previous database"
    mark, found = read_mark(database), _without_log(database)
    if mark is None or found is None or found[0] != mark.deployment or found[1] >= mark.moved:
        return None
    return (
        "the database is an older copy of itself and the log next to it is that of the newer one: "
        f"{mark.moved - found[1]} requests to X are in neither"
    )


def _without_log(database: str) -> tuple[str, int] | None:
    """Return the deployment and the turn that the file has by itself; None where it cannot say."""
    uri = f"{Path(database).resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            salt, _, _, turn, _ = connection.execute(query("opening")).fetchone()
            return deployment_of(salt), int(turn)
    except (sqlite3.Error, UnicodeError, TypeError, ValueError):
        return None


def set_stray_log_aside(database: str) -> str | None:
    """Rename a stray log, and return the sentence that says so. Raises OSError."""
    why = stray_log(database)
    if why is None:
        return None
    # The index is made anew from the log that there is.
    aside = set_aside(database, "stray", suffixes=("-wal", "-shm"))
    return f"{why}. The log is set aside as {Path(aside).name}-wal, and is not used"


def set_aside(
    database: str, word: str, *, suffixes: tuple[str, ...] = ("-wal", "-shm", ".epoch", "")
) -> str:
    """Rename files of a database to `<database>.<word>-<time>…`; return that name without suffix.

    The log goes before the database: SQLite deletes a log whose database is not there.
    Raises OSError.
    """
    now = datetime.now(UTC)
    aside = f"{database}.{word}-{now:%Y%m%dT%H%M%S}"
    if any(Path(f"{aside}{suffix}").exists() for suffix in suffixes):
        aside = f"{database}.{word}-{now:%Y%m%dT%H%M%S%f}"
    for suffix in suffixes:
        there = Path(f"{database}{suffix}")
        if there.exists():
            there.replace(f"{aside}{suffix}")
    sync_folder(database)
    return aside


def sync_folder(path: str) -> None:
    """Make the names in the folder of a file durable. Raises OSError."""
    folder = os.open(Path(path).resolve().parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
