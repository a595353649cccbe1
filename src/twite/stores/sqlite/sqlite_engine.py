"""SQLite as a store engine: a store is a file and its companion files."""

import asyncio
import sqlite3
from collections.abc import Sequence

from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.gateway.ports.store import (
    Backup,
    Recovered,
    Restored,
    Store,
    StoreExamination,
    StoreOptions,
    StoreReader,
)
from twite.gateway.ports.store_copy import CopySource, CopyTarget
from twite.stores.sqlite.engine.examine import examine
from twite.stores.sqlite.engine.lock import has_owner, refuse_other_path, refuse_second_name
from twite.stores.sqlite.engine.log_file import stray_log
from twite.stores.sqlite.engine.opening import older_copy
from twite.stores.sqlite.recovery.backup import backup, restore
from twite.stores.sqlite.recovery.copying import SQLiteCopySource, SQLiteCopyTarget
from twite.stores.sqlite.recovery.recover import recover
from twite.stores.sqlite.store import SQLiteReader, SQLiteStore


class SQLiteEngine:
    """Implements StoreEngine."""

    is_server = False

    @property
    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    async def open(self, place: str, options: StoreOptions) -> Store:
        return await SQLiteStore.open(place, options)

    async def open_reader(self, place: str) -> StoreReader:
        await asyncio.to_thread(refuse_other_path, place)
        return await SQLiteReader.open(place)

    async def examine(self, place: str) -> StoreExamination:
        return await asyncio.to_thread(_examined, place)

    def back_up(self, place: str, to: str) -> Backup:
        return backup(place, to)

    def restore(self, place: str, source: str) -> Restored:
        return restore(place, source)

    async def hold_pending(self, place: str) -> int:
        raise StoreUnusable(
            place,
            "a gateway itself holds what an older SQLite database may have sent",
            "Run twite restore, and start the gateway",
        )

    def recover(self, place: str, to: str | None, known: Sequence[tuple[str, str]]) -> Recovered:
        return recover(place, to, known=known)

    async def open_copy_source(self, place: str) -> CopySource:
        return await asyncio.to_thread(SQLiteCopySource.open, place)

    async def open_copy_target(
        self, place: str, *, state: str, accept_weak_durability: bool
    ) -> CopyTarget:
        del accept_weak_durability  # of servers
        return await asyncio.to_thread(SQLiteCopyTarget.open_for, place, state=state)


def _examined(path: str) -> StoreExamination:
    refuse_other_path(path)
    refuse_second_name(path)
    is_owned = has_owner(path)
    stray = None if is_owned else stray_log(path)
    if stray is not None:
        return StoreExamination(stray=stray)
    try:
        examine(path, seconds=None, owned=is_owned)
        return StoreExamination(older=None if is_owned else older_copy(path))
    except sqlite3.Error as error:
        raise LedgerUnavailable(reason=str(error), retry_after=1) from error
