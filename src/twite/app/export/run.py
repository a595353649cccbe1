"""One run of an export: rows that may have changed, new conversions, and rejections.

Only a conversion that is not settled can change its state, so the target remembers those, each with
a digest of its row. A run reads them again, and then the conversions after the stored position. On
PostgreSQL, a transaction may commit after one with greater numbers, so the position stays behind
the latest conversions, and these are remembered, too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from twite.domain.errors import ClientError
from twite.domain.times import LATEST, MINUTE, SECOND
from twite.gateway.operations.export_rows import (
    FINAL_STATES,
    SCHEMA_VERSION,
    EventNamesOf,
    digest_of,
    rejected_rows,
    row_of,
)
from twite.gateway.ports.exports import (
    ConversionsAfterQuery,
    ConversionsQuery,
    ExportBatch,
    ExportPosition,
    ExportRow,
    ExportTarget,
    NumberQuery,
    StoredConversion,
)
from twite.gateway.ports.listing import ConversionSummary, ListedState, ListQuery
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries

PAGE: Final = 500  # conversions
# How long a transaction may take to commit.
LOOK_BACK: Final = 5 * MINUTE
# Numbers may differ from the order of receipt by this.
_JITTER: Final = 20 * SECOND
# How long to rest after a page, as a multiple of the time that it took, and in milliseconds.
_RESTS: Final = 2
_LONGEST_REST: Final = 100
_OTHER_SCHEMA: Final = (
    "the target has rows of schema version {}, and this version of Twite writes version {}. Export "
    "to another table or prefix"
)


class ExportRun(msgspec.Struct, kw_only=True):
    """What a run did. `at` is its start (ms), `place` what it wrote, without the password.

    `read` counts the conversions that it looked at, `rows` those that were new or had changed;
    `rejected` of these were rejected.
    """

    at: int
    read: int = 0
    rows: int = 0
    rejected: int = 0
    error: str = ""
    place: str = ""


class ExportBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs. With `rests`, it leaves the process time for intake.

    `progressed` is called after each page.
    """

    queries: Queries
    store_id: str
    clock: Clock
    event_names: EventNamesOf
    rests: bool = True
    progressed: Callable[[ExportRun], None] = lambda _run: None


class ExportRange(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions received in `since <= time < until` (ms)."""

    since: int = 0
    until: int = LATEST

    def __contains__(self, at: int) -> bool:
        return self.since <= at < self.until


class ConversionPages:
    """Reads the conversions of a range by their numbers, a page at a time."""

    def __init__(self, basis: ExportBasis, range_: ExportRange) -> None:
        self._basis = basis
        self._range = range_

    async def start(self) -> int:
        """Return the number after which the range begins."""
        if not self._range.since:
            return 0
        return await self._basis.queries.answer(NumberQuery(at=self._range.since)) - 1

    async def after(self, number: int) -> AsyncIterator[Sequence[StoredConversion]]:
        """Yield pages of conversions with greater numbers; some may be outside the range."""
        queries, end = self._basis.queries, None
        if self._range.until < LATEST:
            end = await queries.answer(NumberQuery(at=self._range.until + _JITTER))
        while True:
            began = self._basis.clock.elapsed()
            page = await queries.answer(ConversionsAfterQuery(after=number, limit=PAGE))
            found = [each for each in page if end is None or each.delivery < end]
            if found:
                yield found
                number = found[-1].delivery
            if len(found) < PAGE:
                return
            await self.rest(began)

    async def rejections(self, since: int) -> AsyncIterator[Sequence[ConversionSummary]]:
        """Yield pages of rejected conversions, the newest first."""
        query = ListQuery(
            state=ListedState.REJECTED,
            since=max(since, self._range.since),
            until=self._range.until,
            limit=PAGE,
        )
        while True:
            began = self._basis.clock.elapsed()
            page = await self._basis.queries.page(query)
            if page.summaries:
                yield page.summaries
            if page.back_to is None:
                return
            query = msgspec.structs.replace(query, position=page.back_to)
            await self.rest(began)

    async def rest(self, began: int) -> None:
        """Rest after a page that began at a time: intake needs the process's one lock."""
        if self._basis.rests:
            took = self._basis.clock.elapsed() - began
            await self._basis.clock.sleep(min(_RESTS * took, _LONGEST_REST))


class TargetUpdate:
    """Brings a target up to date."""

    def __init__(self, target: ExportTarget, basis: ExportBasis, range_: ExportRange) -> None:
        self._target = target
        self._basis = basis
        self._range = range_
        self._pages = ConversionPages(basis, range_)
        self._position = ExportPosition(schema_version=SCHEMA_VERSION, since=range_.since)
        self._written_position: ExportPosition | None = None

    async def run(self, run: ExportRun) -> None:
        """Write what is new or has changed. Raises OperatorError, LedgerUnavailable."""
        await self._begin()
        await self._write_changed(run)
        await self._write_new(run)
        await self._write_rejections(run)
        await self._target.finish()

    async def _begin(self) -> None:
        """Continue after the stored position, if it is one of this store and range."""
        stored = await self._target.begin()
        if stored is not None and stored.schema_version != SCHEMA_VERSION:
            raise ClientError(_OTHER_SCHEMA.format(stored.schema_version, SCHEMA_VERSION))
        if stored is None or self._range.since < stored.since:
            updated_at = 0 if stored is None else stored.updated_at
            self._move(number=await self._pages.start(), updated_at=updated_at)
            return
        # A later beginning would leave a gap.
        self._range = msgspec.structs.replace(self._range, since=stored.since)
        self._pages = ConversionPages(self._basis, self._range)
        self._position = self._written_position = stored
        if not stored.receipt:
            return
        known = await self._basis.queries.answer(ConversionsQuery(deliveries=[stored.number]))
        if [each.receipt for each in known] != [stored.receipt]:
            # The conversion was pruned; or the store is an older copy, and uses its number again.
            number = await self._basis.queries.answer(NumberQuery(at=stored.received_at))
            self._move(number=min(stored.number, number - 1), receipt="")

    async def _write_changed(self, run: ExportRun) -> None:
        """Read the tracked conversions again."""
        after, last = 0, self._position.number
        while known := await self._target.tracked(after, last, PAGE):
            began = self._basis.clock.elapsed()
            found = await self._basis.queries.answer(ConversionsQuery(deliveries=list(known)))
            # A conversion that is gone keeps its last row.
            gone = known.keys() - {each.delivery for each in found}
            await self._write(run, found, known, gone=sorted(gone))
            after = max(known)
            await self._pages.rest(began)

    async def _write_new(self, run: ExportRun) -> None:
        """Write the conversions after the position, which stays before recent ones."""
        is_behind = False
        async for page in self._pages.after(self._position.number):
            now = self._basis.clock.now()
            for each in page:
                is_later = each.received_at >= self._range.until
                is_behind = is_behind or is_later or _is_recent(each, now)
                if not is_behind:
                    self._move(
                        number=each.delivery, receipt=each.receipt, received_at=each.received_at
                    )
            known = await self._target.tracked(page[0].delivery - 1, page[-1].delivery, PAGE)
            await self._write(
                run, [each for each in page if each.received_at in self._range], known
            )

    async def _write_rejections(self, run: ExportRun) -> None:
        """Write rejections since the last run that wrote all of them."""
        since = max(0, self._position.rejected_at - LOOK_BACK)
        written, latest = set(self._position.rejections), []
        until = min(run.at, self._range.until)
        async for page in self._pages.rejections(since):
            fresh = [each for each in page if each.key not in written]
            latest += [each.key for each in page if each.received_at >= until - LOOK_BACK]
            at = self._next_update()
            rows = await asyncio.to_thread(rejected_rows, fresh, self._basis.event_names, at=at)
            run.rejected += len(rows)
            await self._store(run, rows, read=len(page))
        self._move(rejected_at=until, rejections=tuple(latest))
        await self._store(run, [])

    async def _write(
        self,
        run: ExportRun,
        conversions: Sequence[StoredConversion],
        known: Mapping[int, int],
        *,
        gone: Sequence[int] = (),
    ) -> None:
        """Write the rows that differ from those that the target knows."""
        now, at = self._basis.clock.now(), self._next_update()
        rows: list[ExportRow] = []
        tracked: dict[int, int] = {}
        settled = list(gone)

        def compare() -> None:
            for each in conversions:
                row = row_of(each, self._basis.event_names, at=at)
                digest = digest_of(row)
                is_known = known.get(each.delivery) == digest
                if not is_known:
                    rows.append(row)
                if each.state in FINAL_STATES and not _is_recent(each, now):
                    settled.extend({each.delivery} & known.keys())
                elif not is_known:
                    tracked[each.delivery] = digest

        await asyncio.to_thread(compare)
        await self._store(run, rows, tracked, settled, read=len(conversions))

    async def _store(
        self,
        run: ExportRun,
        rows: Sequence[ExportRow],
        tracked: Mapping[int, int] = MappingProxyType({}),
        settled: Sequence[int] = (),
        *,
        read: int = 0,
    ) -> None:
        if rows:
            self._move(updated_at=self._next_update())
        if rows or tracked or settled or self._position != self._written_position:
            await self._target.write(
                ExportBatch(rows=rows, position=self._position, tracked=tracked, settled=settled)
            )
            self._written_position = self._position
        run.read += read
        run.rows += len(rows)
        self._basis.progressed(run)

    def _next_update(self) -> int:
        """Return a time for `updated_at` that is later than those of earlier rows."""
        return max(self._basis.clock.now(), self._position.updated_at + 1)

    def _move(self, **fields: object) -> None:
        self._position = msgspec.structs.replace(self._position, **fields)


def _is_recent(conversion: StoredConversion, now: int) -> bool:
    """Whether a transaction with a lower number may still commit."""
    return abs(now - conversion.received_at) < LOOK_BACK
