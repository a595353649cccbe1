"""One run of a sync: read what is new, submit it, and store how far it came.

The position is stored after the rows are durable. If the process ends in between, the next run
reads these rows again, and the gateway's dedup keys make them duplicates.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from twite.app.sync.positions import (
    MOST_RECENT,
    QueryProgress,
    ReadPositions,
    ReadRow,
    RowPosition,
    UnusableCursor,
    column_places,
    position_of,
    read_positions,
)
from twite.app.sync.state import SyncOrigin, SyncRun, SyncState, require_same_origin
from twite.app.sync.submit import FindTarget, submit
from twite.app.sync.write_back import WriteBack
from twite.config.syncs import SyncSettings
from twite.domain.errors import ClientError
from twite.domain.plural import plural
from twite.domain.times import DAY
from twite.formats.files.findings import (
    FileRow,
    RowAge,
    RowFinding,
    remembered_age,
    shared_error,
)
from twite.formats.files.rows import RowOptions, Rows
from twite.formats.files.table import ColumnMapping, UnknownColumn, recognise
from twite.formats.files.values import as_cell
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import StateStore, SyncRecord
from twite.readers.database.connection import PageQuery, QueryPage
from twite.readers.database.thread import DatabaseThread

PAGE: Final = 500  # rows


class SyncBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs of the gateway. Times are in ms.

    `history` is how long the gateway keeps what it received. `may_write` is whether this gateway
    still owns its lease.
    """

    state: StateStore
    clock: Clock
    find_target: FindTarget
    dedup_window: int
    history: int
    may_write: Callable[[], bool]


class NotOwned(ClientError):
    """Another gateway may run the sync now."""

    def __init__(self) -> None:
        super().__init__("this gateway has lost its lease in the database")


def row_options(
    sync: SyncSettings, state: SyncState, *, now: int, dedup_window: int, history: int
) -> RowOptions:
    """Return how the rows of a run are read.

    The gateway does not notice if it received a row before the dedup window, so such a row is
    looked up in its history. A row is skipped if it is older than the history, and than the last
    run that read everything: a later row cannot have been sent. So nothing is lost after a long
    stop. An old row from before the first run is skipped, too, if that run sent nothing.
    """
    if sync.older == "send":
        return sync.rows
    looked_up_before = now - remembered_age(dedup_window)
    begin = history_begin(state, now=now, history=history)
    oldest = 0 if state.caught_up_at is None else min(begin, state.caught_up_at)
    if state.skipped_until is not None:
        oldest = max(oldest, min(state.skipped_until, looked_up_before))
    age = RowAge(
        oldest=oldest,
        days=(now - begin) // DAY,
        is_skipped=True,
        looked_up_before=looked_up_before,
    )
    return msgspec.structs.replace(sync.rows, age=age)


def history_begin(state: SyncState, *, now: int, history: int) -> int:
    """Return since when (ms) the history has all conversions.

    If `keep_history` is raised, older ones are gone all the same.
    """
    return max(state.history_begin, now - remembered_age(history))


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
        require_same_origin(state, self._sync)
        async with DatabaseThread(self._sync.secret_url) as database:
            if not state.has_begun:
                state = await self._begun(database, state, run)
                if not self._sync.history:
                    return state
            write_back = None
            if self._sync.write_back is not None:
                name, table = self._sync.name, self._sync.write_back
                write_back = WriteBack(name, table, database, at=run.at)
                await write_back.catch_up(self._basis.state)
            state = await self._continued(database, write_back, state, run, until)
        if write_back is not None and write_back.unusable is not None:
            raise write_back.unusable
        return state

    async def _begun(self, database: DatabaseThread, state: SyncState, run: SyncRun) -> SyncState:
        """Decide where the first run begins: at the newest rows, or with `history` at the first."""
        progress = QueryProgress()
        if not self._sync.history:
            newest = await self._page(database, None, limit=MOST_RECENT, newest=True)
            positions = self._positions(newest.header, list(reversed(newest.rows)))
            if positions.unusable is not None:
                raise positions.unusable
            # Among the newest rows, one that is committed late is still found.
            progress = QueryProgress(recent=tuple(positions.found))
            if len(newest.rows) == MOST_RECENT:
                oldest, *later = positions.found
                progress = QueryProgress(position=oldest.position, recent=tuple(later))
        begun = msgspec.structs.replace(
            state,
            has_begun=True,
            origin=SyncOrigin.of(self._sync),
            progress=progress,
            caught_up_at=None if self._sync.history else run.at,
            history_begin=history_begin(state, now=run.at, history=self._basis.history),
            skipped_until=None if self._sync.history else run.at,
        )
        return await self._stored(begun)

    async def _continued(
        self,
        database: DatabaseThread,
        write_back: WriteBack | None,
        state: SyncState,
        run: SyncRun,
        until: Callable[[], bool],
    ) -> SyncState:
        options = row_options(
            self._sync,
            state,
            now=run.at,
            dedup_window=self._basis.dedup_window,
            history=self._basis.history,
        )
        reader = _RowReader(self._sync, options)
        earlier = {row.position: row for row in state.progress.recent}
        begin = history_begin(state, now=run.at, history=self._basis.history)
        state = msgspec.structs.replace(state, history_begin=begin)
        read: list[ReadRow] = []
        on_last_page: frozenset[RowPosition] = frozenset()
        low = after = state.progress.position
        while True:
            if write_back is not None:
                write_back.require_room()
            # A page repeats the end of the last one: the database may consider several keys equal.
            limit = PAGE + bool(on_last_page)
            page = await self._page(database, after, limit=limit, repeats=bool(on_last_page))
            positions = self._positions(page.header, page.rows)
            places = [
                place
                for place, row in enumerate(positions.found)
                if row.position not in on_last_page
            ]
            found = [positions.found[place] for place in places]
            is_last = len(page.rows) < limit and positions.unusable is None
            if not found and not is_last and positions.unusable is None:
                raise UnusableCursor(
                    "the database considers too many keys equal: choose another column for key"
                )
            fresh = [place for place in places if positions.found[place].position not in earlier]
            rows = await asyncio.to_thread(reader.read, page, fresh)
            results = await submit(rows, self._basis.find_target(self._sync.source))
            run.add(results)
            now = self._basis.clock.now()
            read += [earlier.get(row.position, row) for row in found]
            progress = QueryProgress(position=low, recent=tuple(read)).trimmed(
                now=now, begin=run.at, look_back=self._sync.look_back
            )
            low, read = progress.position, list(progress.recent)
            state = msgspec.structs.replace(
                state,
                progress=progress,
                caught_up_at=run.at if is_last else state.caught_up_at,
            )
            if rows and write_back is not None:
                written = write_back.record(results)
                state = await self._stored(state, written)
                await write_back.write(self._basis.state, written)
            elif rows or is_last:
                state = await self._stored(state)
            if positions.unusable is not None:
                raise positions.unusable
            if is_last:
                return state
            if rows and until():
                run.is_done = False
                return state
            after = positions.found[-1].position
            on_last_page = frozenset(row.position for row in positions.found)

    async def _page(
        self,
        database: DatabaseThread,
        position: RowPosition | None,
        *,
        limit: int,
        repeats: bool = False,
        newest: bool = False,
    ) -> QueryPage:
        query = PageQuery(
            sql=self._sync.query,
            cursor=self._sync.cursor,
            key=self._sync.key,
            after=None if position is None else position.values,
            limit=limit,
            includes_after=repeats,
            newest=newest,
        )
        return await database.page(query)

    def _positions(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> ReadPositions:
        places = column_places(header, self._sync.cursor, self._sync.key)
        now, zone = self._basis.clock.now(), self._sync.rows.zone
        return read_positions(rows, places, now=now, zone=zone)

    async def _stored(self, state: SyncState, *records: SyncRecord) -> SyncState:
        if not self._basis.may_write():
            raise NotOwned
        await self._basis.state.put([state.record(self._sync.name), *records])
        return state


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

        Raises ClientError, with `is_strict` also if no row is correct, for one reason.
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
        if is_strict and found and (finding := shared_error(found)) is not None:
            raise ClientError(_none_readable(len(found), finding))
        return found


def query_rows(
    sync: SyncSettings, options: RowOptions, page: QueryPage, *, seen: Collection[RowPosition]
) -> list[FileRow]:
    """Read the rows of a page that were not seen before. Raises ClientError."""
    cursor, key = column_places(page.header, sync.cursor, sync.key)
    fresh = [
        place
        for place, row in enumerate(page.rows)
        if position_of(row[cursor], row[key]) not in seen
    ]
    return _RowReader(sync, options).read(page, fresh, is_strict=False)


def _none_readable(rows: int, finding: RowFinding) -> str:
    """Say that every new row has an error that a setting may cause: so the position stays."""
    return (
        f"Twite cannot read any of {plural(rows, 'new row')}, and waits until one is correct. "
        f"{finding.code}: {finding.message}"
    )
