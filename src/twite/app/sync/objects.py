"""A run of a sync of object storage: files that are new, by path and etag."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import msgspec

from twite.app.sync.run import (
    PAGE,
    NotOwned,
    SyncBasis,
    history_begin,
    require_columns,
    row_options,
)
from twite.app.sync.state import (
    SentObject,
    SyncOrigin,
    SyncRun,
    SyncState,
    load_objects,
    require_same_origin,
)
from twite.app.sync.submit import submit
from twite.config.syncs import SyncSettings
from twite.domain.errors import ClientError
from twite.formats.files.findings import FileRow, shared_error
from twite.formats.files.rows import RowOptions
from twite.formats.files.table import UnknownColumn
from twite.gateway.ports.state import SyncRecord
from twite.readers.files import EmptyFile, OpenedInput, examine, read_rows
from twite.readers.object_storage import ObjectStorage, StorageUnusable, StoredObject
from twite.readers.parquet import ParquetMissing

_SHOWN: Final = 3


class ObjectRun:
    """A run of a sync of object storage. A file counts as sent once all its rows are durable."""

    def __init__(self, sync: SyncSettings, basis: SyncBasis) -> None:
        self._sync = sync
        self._basis = basis

    async def run(self, state: SyncState, run: SyncRun, *, until: Callable[[], bool]) -> SyncState:
        """Submit new files, until `until` is true. Returns the new state.

        A file that cannot be read stops no other file, and is tried again in the next run.
        """
        require_same_origin(state, self._sync)
        storage = await asyncio.to_thread(ObjectStorage, self._sync.secret_url.reveal())
        objects = await asyncio.to_thread(storage.objects)
        known = await load_objects(self._basis.state, self._sync.name)
        if not state.has_begun and not self._sync.history:
            for stored in objects:
                await self._keep(stored, rows=0)
            known = await load_objects(self._basis.state, self._sync.name)
            state = msgspec.structs.replace(state, skipped_until=run.at)
        state = msgspec.structs.replace(
            state,
            has_begun=True,
            origin=SyncOrigin.of(self._sync),
            history_begin=history_begin(state, now=run.at, history=self._basis.history),
        )
        await self._forget(known.keys() - {stored.path for stored in objects})
        options = row_options(
            self._sync,
            state,
            now=run.at,
            dedup_window=self._basis.dedup_window,
            history=self._basis.history,
        )
        wrong: list[str] = []
        for stored in objects:
            earlier = known.get(stored.path)
            if earlier is not None and (earlier.etag, earlier.size) == (stored.etag, stored.size):
                continue
            if until():
                run.is_done = False
                break
            try:
                rows = await self._sent(storage, stored, options, run)
            except (ClientError, UnknownColumn, StorageUnusable, ParquetMissing) as error:
                wrong.append(f"{stored.path}: {getattr(error, 'message', error)}")
                continue
            run.files += 1
            await self._keep(stored, rows=rows)
        # A file that cannot be read for a week must not let later exports repeat old orders.
        if run.is_done:
            state = msgspec.structs.replace(state, caught_up_at=run.at)
        self._require_lease()
        await self._basis.state.put([state.record(self._sync.name)])
        if wrong:
            more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
            raise ClientError("; ".join(wrong[:_SHOWN] + more))
        return state

    async def _sent(
        self, storage: ObjectStorage, stored: StoredObject, options: RowOptions, run: SyncRun
    ) -> int:
        """Submit the rows of a file; return their number."""
        try:
            opened = await asyncio.to_thread(self._opened, storage, stored)
        except EmptyFile:
            return 0
        rows = read_rows(opened, options, derives_ids=False)
        count = 0
        while batch := await asyncio.to_thread(_next, rows):
            if count == 0 and (shared := shared_error(batch)) is not None:
                raise ClientError(
                    f"none of the first rows can be read. {shared.code}: {shared.message}"
                )
            count += len(batch)
            run.add(await submit(batch, self._basis.find_target(self._sync.source)))
        return count

    def _opened(self, storage: ObjectStorage, stored: StoredObject) -> OpenedInput:
        opened = examine(storage.file(stored), self._sync.map)
        if opened.rows:
            require_columns(opened.columns, self._sync)
        return opened

    async def _keep(self, stored: StoredObject, *, rows: int) -> None:
        self._require_lease()
        sent = SentObject(etag=stored.etag, size=stored.size, at=self._basis.clock.now(), rows=rows)
        await self._basis.state.put([sent.record(self._sync.name, stored.path)])

    async def _forget(self, paths: set[str]) -> None:
        """Forget objects that were deleted."""
        if paths:
            names = [f"{self._sync.name}/{path}" for path in sorted(paths)]
            await self._basis.state.delete(SyncRecord, *names)

    def _require_lease(self) -> None:
        if not self._basis.may_write():
            raise NotOwned


def _next(rows: Iterator[FileRow]) -> list[FileRow]:
    return list(islice(rows, PAGE))
