"""Open a database: check that the file is intact and not an older copy of itself."""

import shutil
import sqlite3
import time
from contextlib import closing
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import OLDER_COPY, UNKNOWN_COPY
from twite.domain.errors import StoreUnusable
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine.checkpoints import (
    StoreMark,
    deployment_of,
    later_steps,
    mark_path,
    read_mark,
    write_mark,
)
from twite.stores.sqlite.engine.connection import (
    connect_reader,
    connect_writer,
    create,
    damaged,
    is_damage,
    is_full,
)
from twite.stores.sqlite.engine.examine import examine
from twite.stores.sqlite.engine.log_file import set_stray_log_aside
from twite.stores.sqlite.engine.reserve import Reserve
from twite.stores.sqlite.engine.schema import (
    migrate,
    newest_schema,
    newest_version,
    present_version,
    schema_of,
)

# A file of about 200 MB is checked in this time. A larger file is accepted: unsettled deliveries
# are checked first, and `twite check` checks the whole file.
CHECKED_FOR: Final = 1.0
# Bytes. Space for a start: the gateway's address file and the content of the log need some pages.
_A_START: Final = 256 * 1024


class OpenedStore(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of the deployment.

    `notices` contains remarks for the operator about the state of the file.
    """

    salt: bytes
    mark: StoreMark
    notices: tuple[str, ...] = ()


class _Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Why pending deliveries may have been sent: `reason` is stored, `found` is for users."""

    reason: str
    found: str


def prepare(path: str, reserve: Reserve) -> OpenedStore:
    """Prepare the file for its owner.

    Raises StoreUnusable. If the disk is full, the reserve is released, so that the start can write.
    """
    try:
        stray = set_stray_log_aside(path)
        try:
            opened = _prepared(path, stray)
        except (sqlite3.Error, OSError, StoreUnusable) as error:
            if not (is_full(error) and reserve.give_up()):
                raise
            return _prepared(path, stray)
        if reserve.there and shutil.disk_usage(reserve.path.parent).free < _A_START:
            reserve.give_up()
    except (sqlite3.Error, UnicodeError, OSError) as error:
        raise _unusable(path, error) from error
    except StoreUnusable as error:
        if is_full(error):
            raise _unusable(path, error) from error
        raise
    return opened


def _unusable(path: str, error: Exception) -> StoreUnusable:
    if is_full(error):
        return StoreUnusable(path, "the disk is full", "Free space on it, and start again")
    if is_damage(error):
        return damaged(path, error)
    return StoreUnusable(path, f"it cannot be opened ({error})", "Check the disk, and start again")


def _prepared(path: str, stray: str | None) -> OpenedStore:
    create(path)
    examine(path, seconds=CHECKED_FOR)
    return _opened(path, stray)


def older_copy(path: str) -> str | None:
    """Return why pending deliveries would be held at the next start, or None. Changes nothing.

    Check for a stray log first.
    """
    with closing(connect_reader(path)) as connection:
        if present_version(connection, path) < newest_version():
            return None
        salt, epoch, _, turn, marked = connection.execute(query("read_deployment")).fetchone()
    here = StoreMark(deployment=deployment_of(salt), epoch=epoch, turn=turn, conversions=0)
    doubt = _doubt(path, here, read_mark(path)) if marked else None
    return None if doubt is None else doubt.found


def _opened(path: str, stray: str | None) -> OpenedStore:
    with closing(connect_writer(path)) as connection:
        migrate(connection, path)
        if not set(newest_schema()) <= set(schema_of(connection)):
            raise damaged(path, "its schema is not the one Twite created")
        salt, epoch, _, turn, marked = connection.execute(query("read_deployment")).fetchone()
        conversions = connection.execute(query("last_ids")).fetchone()[1]
        here = StoreMark(
            deployment=deployment_of(salt), epoch=epoch, turn=turn, conversions=conversions
        )
        left = read_mark(path)
        doubt = _doubt(path, here, left) if marked else None
        known = left if left is not None and left.deployment == here.deployment else here
        begun = StoreMark(
            deployment=here.deployment,
            epoch=max(epoch, known.epoch) + 1,
            turn=max(turn, known.turn) + (doubt is not None),
            conversions=conversions,
            # Not the turn of another copy: this file has not reached it.
            moved=0 if doubt is not None or stray is not None else known.moved,
        )
        if not marked:
            # The epoch file is written before the database records that it exists. Otherwise, after
            # a crash in between, the file would seem lost.
            write_mark(path, here)
        connection.execute("BEGIN IMMEDIATE")
        restored = [] if stray is None else [stray]
        if doubt is not None:
            held = _hold(connection, doubt.reason)
            restored.append(f"{doubt.found}, so {held} pending deliveries are held")
        connection.execute(query("opened"), {"epoch": begun.epoch, "turn": begun.turn})
        connection.execute("COMMIT")
        if marked and known.conversions > conversions:
            restored.append(
                f"{known.conversions - conversions} conversions received after the last one in "
                "the database are missing"
            )
        write_mark(path, begun)
    return OpenedStore(salt=salt, mark=begun, notices=tuple(restored))


def _doubt(path: str, own_mark: StoreMark, left_mark: StoreMark | None) -> _Doubt | None:
    name = mark_path(path).name
    if left_mark is None:
        return _Doubt(
            reason=UNKNOWN_COPY,
            found=f"{name} is missing or unreadable: Twite cannot know which deliveries were sent",
        )
    if left_mark.deployment != own_mark.deployment:
        return _Doubt(reason=UNKNOWN_COPY, found=f"{name} belongs to another store")
    if left_mark.turn > own_mark.turn:
        missing = left_mark.turn - own_mark.turn
        return _Doubt(
            reason=OLDER_COPY,
            found=f"the database is an older copy. It lacks {later_steps(missing)}",
        )
    return None


def _hold(connection: sqlite3.Connection, reason: str) -> int:
    now = time.time_ns() // 1_000_000
    why = {"cause": DeliveryCause.STORE_RESTORED, "reason": reason}
    held = connection.execute(query("hold_pending"), {**why, "now": now}).rowcount
    connection.execute(query("drop_leases"))
    connection.execute(query("pause_syncs"), {"now": str(now)})
    return held
