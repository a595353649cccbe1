"""SQLite as a store engine: a store is a file and its companion files."""

import asyncio
import sqlite3
from collections.abc import Sequence

from twite.domain.errors import LedgerUnavailable
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
        return await SQLiteReader.open(place)

    async def examine(self, place: str, *, is_owned: bool) -> StoreExamination:
        return await asyncio.to_thread(_examined, place, is_owned=is_owned)

    def back_up(self, place: str, to: str) -> Backup:
        return backup(place, to)

    def restore(self, place: str, source: str) -> Restored:
        return restore(place, source)

    def recover(self, place: str, to: str | None, known: Sequence[tuple[str, str]]) -> Recovered:
        return recover(place, to, known=known)

    async def open_copy_source(self, place: str) -> CopySource:
        return await asyncio.to_thread(SQLiteCopySource.open, place)

    async def open_copy_target(
        self, place: str, *, state: str, accept_weak_durability: bool
    ) -> CopyTarget:
        del accept_weak_durability  # of servers
        return await asyncio.to_thread(SQLiteCopyTarget.open_for, place, state=state)


def _examined(path: str, *, is_owned: bool) -> StoreExamination:
    stray = None if is_owned else stray_log(path)
    if stray is not None:
        return StoreExamination(stray=stray)
    try:
        examine(path, seconds=None, owned=is_owned)
        return StoreExamination(older=None if is_owned else older_copy(path))
    except sqlite3.Error as error:
        raise LedgerUnavailable(reason=str(error), retry_after=1) from error
