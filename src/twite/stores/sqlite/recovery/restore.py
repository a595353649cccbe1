"""Restore a backup: put it in place of the database, and set the old files aside."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store_engine import Restored
from twite.stores.sql.named import query
from twite.stores.sqlite.engine.connection import connect_reader
from twite.stores.sqlite.engine.damage import damaged
from twite.stores.sqlite.engine.lock import OwnerLock
from twite.stores.sqlite.engine.mark import StoreMark, deployment_of, read_mark
from twite.stores.sqlite.engine.schema import refuse_newer, version_of
from twite.stores.sqlite.engine.stray_log import set_aside, sync_folder
from twite.stores.sqlite.recovery.backup import backup


def restore(database: str, source: str) -> Restored:
    """Put a copy of a backup in the place of the database, and the files that were there aside.

    The backup stays where it is. Raises StoreInUse, StoreUnusable; nothing is changed then.
    """
    database = os.path.realpath(database)
    if not Path(source).is_file():
        raise StoreUnusable(path=source, reason="there is no such file", cure="Name the backup")
    if os.path.realpath(source) == database:
        raise StoreUnusable(
            path=source, reason="that is the database itself", cure="Name a backup of it"
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
            path=database,
            reason=f"the backup cannot be put in its place ({error.strerror})",
            cure="Check the folder and its disk, and try again",
        ) from error
    finally:
        lock.release()
    return msgspec.structs.replace(
        found, database=database, backup=source, aside=aside if there else None
    )


def _look(draft: str, source: str, mark: StoreMark | None) -> Restored:
    """Say what the next start does with a backup beside a mark. Raises StoreUnusable."""
    try:
        with closing(connect_reader(draft)) as copy:
            version = version_of(copy)
            if version == 0:
                raise StoreUnusable(
                    path=source, reason="it is not a Twite database", cure="Name a backup"
                )
            refuse_newer(version, source)
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
        return "it is unknown what was sent since: the file .epoch is not next to the database"
    if mark.deployment != deployment:
        return "the backup is of a different store than the one it replaces"
    if mark.turn > turn:
        return f"{mark.turn - turn} requests to X, or more, were made after the backup"
    return None
