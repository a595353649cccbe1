"""Recover: build a new database from the intact rows of a damaged one, with a correct balance."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import Recovered
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine.checkpoints import StoreMark, deployment_of, mark_path, write_mark
from twite.stores.sqlite.engine.connection import connect_writer, create, sync_folder
from twite.stores.sqlite.engine.lock import OwnerLock
from twite.stores.sqlite.engine.log_file import set_aside, set_stray_log_aside
from twite.stores.sqlite.engine.schema import migrate, refuse_development
from twite.stores.sqlite.recovery.pages import Pages
from twite.stores.sqlite.recovery.rebuild import Rebuild
from twite.stores.sqlite.recovery.salvage import Salvage


def recover(path: str, to: str | None, *, known: Sequence[tuple[str, str]] = ()) -> Recovered:
    """Save the intact rows into a new file, and rename the damaged one.

    Without `to`, the new file takes its place. `known` contains pairs (pixel, event), which
    identify conversions whose queue row is lost. Raises StoreInUse, StoreUnusable.
    """
    path = os.path.realpath(path)
    target = to or f"{path}.recovered"
    for there in (target, f"{target}-wal"):
        if Path(there).exists():
            raise StoreUnusable(
                there, "the file already exists", "Choose a file that does not exist"
            )
    if not Path(path).is_file():
        raise StoreUnusable(path, "the file does not exist", "Give the path of the database")
    lock = OwnerLock.take(path)
    try:
        set_stray_log_aside(path, also_older=False)
        done = _saved(path, target, known)
        # No process may send from the damaged file.
        aside = set_aside(path, "damaged")
        if to is None:
            Path(target).replace(path)
            mark_path(target).replace(mark_path(path))
        sync_folder(path)
        sync_folder(target)
    finally:
        lock.release()
    return msgspec.structs.replace(done, to=to or path, quarantined=aside)


def _saved(path: str, target: str, known: Sequence[tuple[str, str]]) -> Recovered:
    """Create the new file; delete it if that fails."""
    pages = Pages(path)
    refuse_development(*pages.versions(), path)
    try:
        create(target)
        with closing(connect_writer(target)) as new:
            migrate(new, target)
            new.execute("BEGIN IMMEDIATE")
            done = Rebuild(path, _newest(pages, new), new, known).run()
            new.execute("COMMIT")
            _refuse(target, new.execute("PRAGMA quick_check(1)").fetchone()[0])
            new.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            mark = _mark(new)
        write_mark(target, mark)
    except BaseException:
        for suffix in ("", "-wal", "-shm", ".epoch"):
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        raise
    return done


def _newest(pages: Pages, connection: sqlite3.Connection) -> Pages:
    """Ignore the log if it is truncated, and the database file already contains later commits."""
    alone = pages.without_log()
    return alone if _commits(alone, connection) > _commits(pages, connection) else pages


def _commits(pages: Pages, connection: sqlite3.Connection) -> int:
    row = next(iter(Salvage(pages, connection).rows("deployment")), None)
    commits = None if row is None else row.values.get("commits")
    return commits if isinstance(commits, int) else 0


def _refuse(target: str, problem: str) -> None:
    if problem != "ok":
        raise StoreUnusable(target, problem, "Check its disk")


def _mark(connection: sqlite3.Connection) -> StoreMark:
    salt, epoch, _, turn, _ = connection.execute(query("read_deployment")).fetchone()
    return StoreMark(
        deployment=deployment_of(salt),
        epoch=epoch,
        turn=turn,
        conversions=connection.execute(query("last_ids")).fetchone()[1],
    )
