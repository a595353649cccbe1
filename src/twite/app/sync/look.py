"""What the next run of a sync would do, for `twite sync NAME --dry-run`."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from twite.app.row_check import RowCheck, find_received, row_check
from twite.app.store_access import open_records
from twite.app.sync.run import query_rows, row_options
from twite.app.sync.state import (
    RefusedRow,
    SyncState,
    load_objects,
    load_state,
    refused_row,
    require_same_origin,
)
from twite.app.sync.submit import left_out, without_received
from twite.config.settings import Settings
from twite.config.syncs import SyncSettings
from twite.formats.files.findings import FileRow
from twite.readers.database.connection import PageQuery
from twite.readers.database.open import open_database
from twite.readers.object_storage import ObjectStorage

SHOWN: Final = 20
_FIRST: Final = (
    "The first run sends nothing: it only remembers what is there already. With history = true, it "
    "sends everything."
)


class NextRows(msgspec.Struct, frozen=True, kw_only=True):
    """Where the next run would begin, and its first rows or files."""

    start: str
    rows: tuple[RefusedRow, ...] = ()
    files: tuple[str, ...] = ()


async def read_next_rows(settings: Settings, sync: SyncSettings) -> NextRows:
    """Read the next rows and judge them as the gateway would. Raises OperatorError, ClientError."""
    state, known = SyncState(), {}
    if settings.store.exists:
        async with open_records(settings) as records:
            state = await load_state(records, sync.name)
            known = await load_objects(records, sync.name)
    skips_all = not state.has_begun and not sync.history
    if sync.is_storage:
        storage = await asyncio.to_thread(ObjectStorage, sync.secret_url.reveal())
        objects = await asyncio.to_thread(storage.objects)
        fresh = [
            stored.path
            for stored in objects
            if (old := known.get(stored.path)) is None
            or (old.etag, old.size) != (stored.etag, stored.size)
        ]
        found = NextRows(start=f"New files: {len(fresh)}", files=tuple(fresh[:SHOWN]))
    else:
        found = await _judged(settings, sync, state)
    return NextRows(start=_FIRST) if skips_all else found


async def _judged(settings: Settings, sync: SyncSettings, state: SyncState) -> NextRows:
    require_same_origin(state, sync)
    now = time.time_ns() // 1_000_000
    recent = {row.position for row in state.progress.recent}
    database = open_database(sync.secret_url)
    try:
        page = database.page(
            PageQuery(
                sql=sync.query,
                cursor=sync.cursor,
                key=sync.key,
                after=None if state.progress.position is None else state.progress.position.values,
                limit=SHOWN + len(recent),
            )
        )
    finally:
        database.close()
    options = row_options(
        sync,
        state,
        now=now,
        dedup_window=settings.store.dedup_window,
        history=settings.store.keeping.history,
    )
    rows = query_rows(sync, options, page, seen=recent)[:SHOWN]
    check = row_check(settings, sync.source, now=now)
    sent = await without_received(rows, partial(_received, settings, check))
    judged = {result.number: result for result in await check.submit(sent)} if sent else {}
    results = [judged.get(row.number) or left_out(row) for row in rows]
    return NextRows(
        start=f"The next rows, at most {SHOWN}:",
        rows=tuple(refused_row(result) for result in results),
    )


async def _received(settings: Settings, check: RowCheck, rows: Sequence[FileRow]) -> frozenset[int]:
    if not settings.store.exists:
        return frozenset()
    async with open_records(settings) as records:
        return await find_received(rows, check, records)
