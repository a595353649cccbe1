"""The last count of the deduplication report, which pages share: counting takes seconds."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.domain.stats.deduplication import (
    MEETS_WITHIN,
    MOST_DAYS,
    DedupReport,
    OtherId,
    TwoIds,
)
from twite.domain.times import MINUTE
from twite.gateway.operations.dedup_report import first_moment, read_report
from twite.gateway.ports.listing import ListedState, ListQuery
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import OtherIdsQuery, Queries

# The most orders with two ids whose conversions are kept, the latest.
MOST_KEPT: Final = 20_000
# A count is old after this time, sooner if counting was quick: it takes at most 1 % of the time.
_OLD_AFTER: Final = 5 * MINUTE
_TIMES_AS_LONG: Final = 100
_WORTH_WAITING: Final = 0.05


class DedupCounted(msgspec.Struct, frozen=True, kw_only=True):
    """A count of the last MOST_DAYS days. `other_ids` are of stored deliveries.

    `is_cut` is whether there are more orders with two ids than `pairs` has, `old_after` how many
    milliseconds the count is good for.
    """

    at: int
    reports: Sequence[DedupReport]
    pairs: Sequence[TwoIds] = ()
    other_ids: Mapping[int, OtherId] = {}
    deliveries: tuple[int, ...] = ()
    is_cut: bool = False
    old_after: int = _OLD_AFTER

    def is_whole_since(self, at: int) -> bool:
        """Return whether `deliveries` has all that were received since a time."""
        return not self.is_cut or at >= self.pairs[-1].at + MEETS_WITHIN


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DedupCount:
    """Counts the deduplication report in the background, when a page asks and the count is old."""

    queries: Queries
    clock: Clock
    _counting: asyncio.Task[None] | None = field(init=False, default=None)
    _counted: DedupCounted | None = field(init=False, default=None)

    async def last(self) -> DedupCounted | None:
        """Return the last count, None before the first; wait a moment for a new one."""
        now = self.clock.now()
        old = self._counted is None or now - self._counted.at >= self._counted.old_after
        if old and self._counting is None:
            self._counting = asyncio.create_task(self._count(now))
        if self._counting is not None:
            await asyncio.wait([self._counting], timeout=_WORTH_WAITING)
        return self._counted

    async def first(self) -> DedupCounted:
        """Return the last count, however long the first takes."""
        while (counted := await self.last()) is None:
            if self._counting is not None:
                await asyncio.shield(self._counting)
        return counted

    async def _count(self, now: int) -> None:
        try:
            began = self.clock.elapsed()
            reports, pairs = await read_report(
                self.queries, since=first_moment(now, MOST_DAYS), most_pairs=MOST_KEPT
            )
            others: Mapping[int, OtherId] = {}
            if pairs:
                others = await self.queries.answer(OtherIdsQuery(pairs=pairs))
            self._counted = DedupCounted(
                at=now,
                reports=reports,
                pairs=pairs,
                other_ids=others,
                deliveries=tuple(sorted(others, reverse=True)),
                is_cut=sum(report.two_ids for report in reports) > len(pairs),
                old_after=min(_OLD_AFTER, _TIMES_AS_LONG * (self.clock.elapsed() - began)),
            )
        finally:
            self._counting = None


def of_counted(list_query: ListQuery, counted: DedupCounted | None) -> ListQuery:
    """Return the query of a list; that of orders with two ids has those that were counted."""
    if list_query.state is not ListedState.TWO_IDS:
        return list_query
    deliveries = () if counted is None else counted.deliveries
    return msgspec.structs.replace(list_query, deliveries=deliveries)
