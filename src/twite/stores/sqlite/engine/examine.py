"""Integrity check of a database before anything is written to it, within bounded time."""

import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from twite.domain.plural import plural
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine.connection import connect_reader, damaged
from twite.stores.sqlite.engine.log_file import log_of
from twite.stores.sqlite.engine.schema import present_version

# Unsent deliveries and the balance are checked first.
_FIRST: Final = ("deployment", "queue", "account", "lease", "pause", "outbox")
_INTERRUPTED: Final = 9
# The position of the number of valid frames in the log's index. [sqlite.org/walformat.html]
_VALID_FRAMES: Final = 16
# A power failure may truncate what was being written: at most one transaction.
_CUT_BY_POWER: Final = 1


def examine(path: str, *, seconds: float | None, owned: bool = False) -> bool:
    """Check for damage; return whether the check could be completed in time.

    With `owned`, the log is skipped, because its owner changes it. If the file or its log is
    damaged, or of a version that this one does not read, raises StoreUnusable, which says what to
    do.
    """
    if Path(path).stat().st_size == 0:
        if log_of(path) is not None:
            # Opening an empty file makes SQLite delete the log.
            raise damaged(path, "it is empty, but the log next to it is not")
        return True
    # Closed after the connection: a process that closes a file loses SQLite's locks on it.
    with (
        ExitStack() as files,
        closing(connect_reader(path)) as connection,
        _within(connection, seconds),
    ):
        try:
            if not owned:
                _refuse_a_cut_log(connection, path, files)
            # The statements below know only the tables of this version.
            present_version(connection, path)
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
            for table in _FIRST:
                if table in tables:
                    _refuse(path, connection.execute(f"PRAGMA quick_check({table})").fetchone()[0])
            _refuse_damaged_lease(path, connection)
            _refuse(path, connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            if "conversion" in tables:
                _refuse_what_is_adrift(path, connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == _INTERRUPTED:
                return False
            raise
        except (sqlite3.DatabaseError, UnicodeError) as error:
            raise damaged(path, error) from error
    return True


@contextmanager
def _within(connection: sqlite3.Connection, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _refuse(path: str, problem: str) -> None:
    if problem != "ok":
        raise damaged(path, problem.replace("\n", ": "))


def _refuse_damaged_lease(path: str, connection: sqlite3.Connection) -> None:
    """Check the lists in leases, the only record of which deliveries are under unmarked leases."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(lease)")}
    if "unmarked" not in columns:  # a new file, or an older schema, which is migrated later
        return
    found = connection.execute(query("find_damaged_lease")).fetchone()
    if found is not None:
        raise damaged(path, f"lease {found[0]} and the queue list different deliveries")


def _refuse_what_is_adrift(path: str, connection: sqlite3.Connection) -> None:
    """Check references, because SQLite does not notice a number that was changed by damage."""
    found = connection.execute(query("find_orphans")).fetchone()
    if found is not None:
        raise damaged(
            path, f"conversion {found[0]} refers to a request or a pixel that does not exist"
        )


def _refuse_a_cut_log(connection: sqlite3.Connection, path: str, files: ExitStack) -> None:
    """Raise an error if a frame is damaged, because SQLite silently drops the log from there on."""
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    dropped = _dropped_commits(path, files)
    if dropped > _CUT_BY_POWER:
        raise damaged(path, f"its log lacks the last {plural(dropped, 'commit')}")


def _dropped_commits(path: str, files: ExitStack) -> int:
    """Return the number of complete commits in the log after what SQLite takes for its end.

    A connection must have read the database before, because that builds the log's index. `files`
    gets the files that are opened.
    """
    log = log_of(path)
    if log is None:
        return 0
    try:
        index = files.enter_context(Path(f"{path}-shm").open("rb"))  # noqa: SIM115 `files` closes it
    except FileNotFoundError:
        return 0
    index.seek(_VALID_FRAMES)
    valid = int.from_bytes(index.read(4), sys.byteorder)
    left = log.headers(after=valid)
    commits = sum(1 for frame in left if frame.pages)
    if log.begins_well or not commits:
        return commits
    # Commits that the database file already contains are not lost.
    file = files.enter_context(Path(path).open("rb"))  # noqa: SIM115 - as above
    for frame in {frame.page: frame for frame in left}.values():
        file.seek((frame.page - 1) * log.page_size)
        if file.read(log.page_size) != log.page(frame):
            return commits
    return 0
