"""Back up the database while its owner goes on: a copy of one moment.

The copy reads one snapshot, a few megabytes at a time. Commits go on meanwhile; the log keeps what
came since the snapshot, and is cut again when the copy is done.
"""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store_engine import Backup
from twite.stores.sqlite.engine.connection import connect_reader
from twite.stores.sqlite.engine.damage import damaged

_PAGES: Final = 256
# Between two pieces: the disk is the owner's first.
_PAUSE: Final = 0.004
# How many pieces the system may hold back before it is made to write them: else all come at once.
_UNSYNCED: Final = 4


def backup(path: str, to: str) -> Backup:
    """Copy the database at `path`. Raises StoreUnusable; what was begun is gone then."""
    began = time.monotonic()
    target = Path(to)
    draft = target.with_name(f"{target.name}.part")
    _refuse(path, target)
    try:
        with closing(connect_reader(path)) as source:
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
            _copy(source, draft)
        _look(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(target)
        folder = os.open(target.resolve().parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnusable(
            path=to, reason=f"the copy failed ({error})", cure="Check both disks, and try again"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return Backup(to=to, size=target.stat().st_size, seconds=time.monotonic() - began)


def _refuse(path: str, target: Path) -> None:
    """Say at once what could only fail after a long time."""
    if not Path(path).is_file():
        raise StoreUnusable(path=path, reason="there is no such database", cure="Name another")
    if target.exists():
        raise StoreUnusable(
            path=str(target), reason="it is there already", cure="Name a file that does not exist"
        )
    if not target.resolve().parent.is_dir():
        raise StoreUnusable(
            path=str(target), reason="its folder does not exist", cure="Make the folder first"
        )
    size = Path(path).stat().st_size
    if shutil.disk_usage(target.resolve().parent).free < size:
        raise StoreUnusable(
            path=str(target),
            reason=f"there is no room for {size >> 20} MiB",
            cure="Free some space, or name a file on another disk",
        )


def _copy(source: sqlite3.Connection, draft: Path) -> None:
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
            # Without it, each commit of the owner would make the copy begin anew.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(copy, pages=_PAGES, progress=breathe)
            source.execute("COMMIT")
            # One file that needs no other beside it.
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
    finally:
        os.close(descriptor)


def _look(draft: Path) -> None:
    with closing(connect_reader(str(draft))) as copy:
        problem = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise damaged(str(draft), problem)
