"""Back up the database while its owner keeps working, and restore a backup.

The copy reads one snapshot, a few megabytes at a time. Commits continue meanwhile: the log grows by
the changes since the snapshot, and shrinks again after the copy.
"""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import Backup, Restored
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine.checkpoints import (
    StoreMark,
    deployment_of,
    later_steps,
    read_mark,
)
from twite.stores.sqlite.engine.connection import connect_reader, damaged, sync_folder
from twite.stores.sqlite.engine.lock import OwnerLock, refuse_other_path
from twite.stores.sqlite.engine.log_file import set_aside
from twite.stores.sqlite.engine.schema import present_version

_PAGES: Final = 256
# The pause between two pieces, so that the owner's writes to the disk have priority.
_PAUSE: Final = 0.004
# How many unwritten pieces the system may cache; without a limit, it would write all of them at
# once.
_UNSYNCED: Final = 4


def backup(path: str, to: str) -> Backup:
    """Copy the database at `path`. Raises StoreUnusable, after deleting the incomplete copy."""
    began = time.monotonic()
    target = Path(to)
    draft = target.with_name(f"{target.name}.part")
    _refuse(path, target)
    try:
        with closing(connect_reader(path)) as source:
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
            _copy(source, draft)
        _check_pages(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(target)
        sync_folder(target)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnusable(
            to, f"the copy failed ({error})", "Check both disks, and try again"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return Backup(to=to, size=target.stat().st_size, seconds=time.monotonic() - began)


def _refuse(path: str, target: Path) -> None:
    """Detect errors now that would otherwise appear only after a long copy."""
    if not Path(path).is_file():
        raise StoreUnusable(path, "the database does not exist", "Give the path of the database")
    refuse_other_path(path)
    if target.exists():
        raise StoreUnusable(
            str(target), "the file already exists", "Choose a file that does not exist"
        )
    if not target.resolve().parent.is_dir():
        raise StoreUnusable(str(target), "its folder does not exist", "Create the folder first")
    size = Path(path).stat().st_size
    if shutil.disk_usage(target.resolve().parent).free < size:
        raise StoreUnusable(
            str(target),
            f"there is not enough space for {size >> 20} MiB",
            "Free some space, or choose a file on another disk",
        )


def _copy(connection: sqlite3.Connection, draft: Path) -> None:
    pieces = 0

    def breathe(_status: int, _left: int, _all: int) -> None:
        nonlocal pieces
        pieces += 1
        if pieces % _UNSYNCED == 0:
            os.fdatasync(descriptor)
        time.sleep(_PAUSE)

    descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = OFF")
            # Without a transaction, each commit by the owner would restart the copy.
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            connection.backup(copy, pages=_PAGES, progress=breathe)
            connection.execute("COMMIT")
            # The backup is a single file that needs no log.
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
    finally:
        os.close(descriptor)


def _check_pages(draft: Path) -> None:
    with closing(connect_reader(str(draft))) as copy:
        problem = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise damaged(str(draft), problem)


def restore(database: str, source: str) -> Restored:
    """Replace the database with a copy of a backup; the previous files are renamed.

    The backup is not changed. Raises StoreInUse, StoreUnusable; nothing is changed then.
    """
    database = os.path.realpath(database)
    if not Path(source).is_file():
        raise StoreUnusable(source, "the file does not exist", "Give the path of the backup")
    if os.path.realpath(source) == database:
        raise StoreUnusable(
            source, "this is the database itself, not a backup", "Give the path of a backup"
        )
    draft = f"{database}.restoring"
    lock = OwnerLock.take(database)
    try:
        Path(draft).unlink(missing_ok=True)
        backup(source, draft)
        try:
            found = _look(draft, source, read_mark(database))
            there = any(Path(f"{database}{suffix}").exists() for suffix in ("", "-wal"))
            aside = set_aside(database, "replaced", suffixes=("-wal", "-shm", ""))
            Path(draft).replace(database)
            sync_folder(database)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreUnusable(
            database,
            f"the backup cannot replace the database ({error.strerror})",
            "Check the folder and its disk, and try again",
        ) from error
    finally:
        lock.release()
    return msgspec.structs.replace(
        found, database=database, backup=source, aside=aside if there else None
    )


def _look(draft: str, source: str, mark: StoreMark | None) -> Restored:
    """Describe what the next start does with a backup and this epoch file. Raises StoreUnusable."""
    try:
        with closing(connect_reader(draft)) as copy:
            if present_version(copy, source) == 0:
                raise StoreUnusable(
                    source, "the file is not a Twite database", "Give the path of a backup"
                )
            salt, turn = copy.execute("SELECT salt, turn FROM deployment").fetchone()
            conversions = copy.execute(query("last_ids")).fetchone()[1]
            pending = copy.execute(
                "SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending')"
            ).fetchone()[0]
            latest = copy.execute("SELECT max(received_at) FROM submission").fetchone()[0]
    except (sqlite3.Error, UnicodeError) as error:
        raise damaged(source, error) from error
    why = _why_held(deployment_of(salt), turn, mark)
    known = 0 if mark is None or mark.deployment != deployment_of(salt) else mark.conversions
    return Restored(
        database="",
        backup="",
        aside=None,
        conversions=conversions,
        latest=latest,
        pending=pending,
        sent=why is None,
        why=why,
        received_after=max(0, known - conversions),
    )


def _why_held(deployment: str, turn: int, mark: StoreMark | None) -> str | None:
    if mark is None:
        return "Twite cannot know what was sent since: the .epoch file is missing"
    if mark.deployment != deployment:
        return "the backup is of a different store than the one it replaces"
    if mark.turn > turn:
        return f"the backup lacks {later_steps(mark.turn - turn)}"
    return None
