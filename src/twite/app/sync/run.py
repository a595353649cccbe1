"""One run of a sync: read what is new, submit it, and store how far it came.

The position is stored after the rows are durable. If the process ends in between, the next run
reads these rows again, and the gateway's dedup keys make them duplicates.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from twite.app.sync.positions import (
    QueryProgress,
    ReadRow,
    RowPosition,
    UnusableCursor,
    position_of,
)
from twite.app.sync.state import SyncRun, SyncState
from twite.app.sync.submit import FindTarget, submit
from twite.config.syncs import SyncSettings
from twite.domain.errors import ClientError
from twite.domain.plural import plural
from twite.domain.times import DAY, spelled
from twite.formats.files.findings import FileRow, RowAge, remembered_age
from twite.formats.files.results import RowResult, RowResultKind
from twite.formats.files.rows import RowOptions, Rows
from twite.formats.files.table import ColumnMapping, UnknownColumn, recognise
from twite.formats.files.values import as_cell
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import StateStore
from twite.readers.database.connection import PageQuery, QueryPage, RowDatabase, WrittenRow
from twite.readers.database.open import open_database

PAGE: Final = 500  # rows


class SyncBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs of the gateway. `may_write` is whether this gateway still owns its lease."""

    state: StateStore
    clock: Clock
    find_target: FindTarget
    dedup_window: int
    may_write: Callable[[], bool]


class NotOwned(ClientError):
    """Another gateway may run the sync now."""

    def __init__(self) -> None:
        super().__init__("this gateway has lost its lease in the database")


def row_options(
    sync: SyncSettings, *, caught_up_at: int | None, now: int, dedup_window: int
) -> RowOptions:
    """Return how the rows of a run are read.

    A row is too old if the gateway may have forgotten it, and if it is from before the last run
    that read everything: a later row cannot have been sent. So nothing is lost after a long stop.
    """
    if sync.older == "send" or caught_up_at is None:
        return sync.rows
    age = remembered_age(dedup_window)
    oldest = min(now - age, caught_up_at)
    return msgspec.structs.replace(
        sync.rows, age=RowAge(oldest=oldest, days=age // DAY, is_skipped=True)
    )


def require_columns(columns: ColumnMapping, sync: SyncSettings) -> None:
    """Raise ClientError if rows could not be sent only once, and with their own time."""
    missing = {
        "conversion_id": "the order id",
        "event": "" if sync.rows.event is not None else "the event",
        "time": "" if "time" in sync.map else "the time",
    }
    for field, what in missing.items():
        if what and field not in columns.taken:
            fix = (
                'set event = "purchase"' if field == "event" else f'map = {{ {field} = "COLUMN" }}'
            )
            raise ClientError(f"no column has {what}. Name it {field}, or {fix}")


class QueryRun:
    """A run of a sync of a database."""

    def __init__(self, sync: SyncSettings, basis: SyncBasis) -> None:
        self._sync = sync
        self._basis = basis

    async def run(self, state: SyncState, run: SyncRun, *, until: Callable[[], bool]) -> SyncState:
        """Submit new rows, page by page, until `until` is true. Returns the new state."""
        order = (self._sync.cursor, self._sync.key)
        if state.order not in {None, order}:
            raise ClientError(
                "the cursor or the key has changed, and the position is of "
                f"{', '.join(state.order or ())}. Give the sync another name, to begin at the "
                "newest row"
            )
        database = await asyncio.to_thread(open_database, self._sync.secret_url)
        try:
            if not state.has_begun:
                state = await self._begun(database, state, run)
                if not self._sync.history:
                    return state
            return await self._continued(database, state, run, until)
        finally:
            await asyncio.to_thread(database.close)

    async def _begun(self, database: RowDatabase, state: SyncState, run: SyncRun) -> SyncState:
        """Decide where the first run begins: at the newest row, or with `history` at the first."""
        low = None
        if not self._sync.history:
            newest = await self._page(database, None, limit=1, newest=True)
            positions = self._positions(newest)
            if positions.unusable is not None:
                raise positions.unusable
            low = positions.found[0] if positions.found else None
        begun = msgspec.structs.replace(
            state,
            has_begun=True,
            order=(self._sync.cursor, self._sync.key),
            progress=QueryProgress(position=low),
            caught_up_at=None if self._sync.history else run.at,
        )
        return await self._stored(begun)

    async def _continued(
        self, database: RowDatabase, state: SyncState, run: SyncRun, until: Callable[[], bool]
    ) -> SyncState:
        options = row_options(
            self._sync,
            caught_up_at=state.caught_up_at,
            now=run.at,
            dedup_window=self._basis.dedup_window,
        )
        reader = _RowReader(self._sync, options)
        earlier = {row.position: row for row in state.progress.recent}
        read: list[ReadRow] = []
        low = after = state.progress.position
        while True:
            page = await self._page(database, after, limit=PAGE)
            positions = self._positions(page)
            found = positions.found
            fresh = [place for place, each in enumerate(found) if each not in earlier]
            rows = await asyncio.to_thread(reader.read, page, fresh)
            results = await submit(rows, self._basis.find_target(self._sync.source))
            await self._written_back(database, results)
            run.add(results)
            now = self._basis.clock.now()
            read += [earlier.get(each) or ReadRow(now, each) for each in found]
            is_last = len(page.rows) < PAGE and positions.unusable is None
            progress = QueryProgress(position=low, recent=tuple(read)).trimmed(
                before=now - self._sync.look_back
            )
            low, read = progress.position, list(progress.recent)
            state = msgspec.structs.replace(
                state,
                progress=progress,
                caught_up_at=run.at if is_last else state.caught_up_at,
            )
            if rows or is_last:
                state = await self._stored(state)
            if positions.unusable is not None:
                raise positions.unusable
            if is_last:
                return state
            if rows and until():
                run.is_done = False
                return state
            after = found[-1]

    async def _page(
        self,
        database: RowDatabase,
        position: RowPosition | None,
        *,
        limit: int,
        newest: bool = False,
    ) -> QueryPage:
        query = PageQuery(
            sql=self._sync.query,
            cursor=self._sync.cursor,
            key=self._sync.key,
            after=None if position is None else position.values,
            limit=limit,
            newest=newest,
        )
        return await asyncio.to_thread(database.page, query)

    def _positions(self, page: QueryPage) -> "_Positions":
        """Return the positions of the rows, up to the first that has none."""
        cursor, key = (page.header.index(name) for name in (self._sync.cursor, self._sync.key))
        now = self._basis.clock.now()
        found: list[RowPosition] = []
        for row in page.rows:
            try:
                each = position_of(row[cursor], row[key], now=now, column=self._sync.cursor)
            except UnusableCursor as error:
                return _Positions(found, error)
            found.append(each)
        return _Positions(found)

    async def _written_back(self, database: RowDatabase, results: Sequence[RowResult]) -> None:
        table = self._sync.write_back
        if table is None or not results:
            return
        at = spelled(self._basis.clock.now())
        rows = [_written(self._sync.name, result, at) for result in results]
        await asyncio.to_thread(database.write, table, rows)

    async def _stored(self, state: SyncState) -> SyncState:
        if not self._basis.may_write():
            raise NotOwned
        await self._basis.state.put([state.record(self._sync.name)])
        return state


class _Positions(msgspec.Struct, frozen=True):
    """The positions of the first rows of a page, and why the next row has none."""

    found: list[RowPosition]
    unusable: UnusableCursor | None = None


class _RowReader:
    """Reads the rows of all pages of a run, so that repeated orders are noticed."""

    def __init__(self, sync: SyncSettings, options: RowOptions) -> None:
        self._sync = sync
        self._options = options
        self._rows: Rows | None = None
        self._number = 0

    def read(
        self, page: QueryPage, places: Sequence[int], *, is_strict: bool = True
    ) -> list[FileRow]:
        """Read the rows at some places of a page.

        Raises ClientError, with `is_strict` also if no row is correct.
        """
        if self._rows is None:
            try:
                columns = recognise(page.header, self._sync.map)
            except UnknownColumn as error:
                raise ClientError(f"map: {error.message}") from None
            require_columns(columns, self._sync)
            # A row without an id could not be recognized when it comes again.
            self._rows = Rows(columns, self._options, ids=None)
        found = []
        for place in places:
            self._number += 1
            cells = [as_cell(value) for value in page.rows[place]]
            found.append(self._rows.read(self._number, cells))
        if is_strict and found and all(row.errors for row in found):
            raise ClientError(_none_readable(found))
        return found


def query_rows(
    sync: SyncSettings,
    options: RowOptions,
    page: QueryPage,
    *,
    seen: Collection[RowPosition],
    now: int,
) -> list[FileRow]:
    """Read the rows of a page that were not seen before. Raises ClientError."""
    cursor, key = (page.header.index(name) for name in (sync.cursor, sync.key))
    fresh = [
        place
        for place, row in enumerate(page.rows)
        if position_of(row[cursor], row[key], now=now, column=sync.cursor) not in seen
    ]
    return _RowReader(sync, options).read(page, fresh, is_strict=False)


def _none_readable(rows: Sequence[FileRow]) -> str:
    """Say that every new row is wrong, which a setting may cause: so the position stays."""
    first = rows[0].errors[0]
    return (
        f"Twite cannot read any of {plural(len(rows), 'new row')}, and waits until one is correct. "
        f"{first.code}: {first.message}"
    )


def _written(sync: str, result: RowResult, at: str) -> WrittenRow:
    first = next(iter((*result.errors, *result.notes)), None)
    return WrittenRow(
        sync=sync,
        conversion_id=result.order,
        verdict=result.kind,
        code=first.code if first else "",
        message=first.message if first else "",
        at=at,
        is_kept=result.kind is RowResultKind.DUPLICATE,
    )
