"""The days of one account, to which what X served and what was delivered are added."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from twite.domain.results.account_days import AccountDay
from twite.domain.results.figures import DeliveredEvent, ResultCell, ResultDay
from twite.domain.results.stats_request import ReadStats
from twite.domain.times import DAY
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import DeliveredEventsQuery, Queries
from twite.gateway.ports.state import StateStore
from twite.gateway.results.records import load_day, load_days, put_days

# Deliveries of younger days are counted when results are read.
COUNTED_LIVE: Final = 2 * DAY
# Days are counted so long after their end, while the store still has the identifiers, and again
# each day for two weeks: a replay may deliver some later.
_COUNTED_AFTER: Final = DAY
_COUNTED_AGAIN: Final = 14 * DAY
# Counts the conversions that were received on a day and are delivered. Raises LedgerUnavailable.
CountsDeliveries = Callable[[AccountDay | ResultDay], Awaitable[Sequence[DeliveredEvent]]]


class NewCells:
    """What X served of consecutive days, in one answer or several."""

    def __init__(self, days: Iterable[AccountDay]) -> None:
        self.by_day: dict[AccountDay, list[ResultCell]] = {day: [] for day in days}
        # Days on which X lists campaigns as active.
        self.active: set[AccountDay] = set()

    def add(self, read: ReadStats) -> None:
        for own, fresh in zip(self.by_day.values(), read.cells, strict=True):
            own.extend(fresh)


class StoredDays:
    """Reads and writes the days of an account. Methods raise LedgerUnavailable."""

    def __init__(self, state: StateStore, account: str) -> None:
        self._state = state
        self._account = account

    async def all(self, days: Iterable[AccountDay]) -> dict[str, ResultDay]:
        """Return those of some days that are stored, by their names."""
        return {day.day: day for day in await load_days(self._state, self._account, days)}

    async def add(self, days: Iterable[AccountDay], *, fetched_at: int) -> None:
        """Store that days were fetched; those that are new, with a `fetched_at` of 0, as missing.

        They keep their figures.
        """
        await self.merge(NewCells(days), fetched_at=fetched_at)

    async def merge(self, cells: NewCells, *, fetched_at: int) -> None:
        """Store newer figures of some days, day by day.

        After a change of the account's time zone, a day begins anew: its figures were those of
        other hours.
        """
        for day, own in cells.by_day.items():
            known = await load_day(self._state, self._account, day.day)
            if known is None or not known.has_limits_of(day):
                known = ResultDay.of(day)
            if day in cells.active:
                known = msgspec.structs.replace(known, is_active=True)
            newer = known.with_cells(own, fetched_at=fetched_at)
            await put_days(self._state, self._account, [newer])

    async def count_deliveries(
        self, days: Iterable[AccountDay], counts: CountsDeliveries, *, now: int, again: bool
    ) -> None:
        """Store how many conversions of older days were delivered, before the store forgets them.

        `again` is whether days that were counted before are counted again.
        """
        for day in days:
            if day.end > now - _COUNTED_AFTER:
                continue
            known = await load_day(self._state, self._account, day.day)
            if known is None:
                continue
            if known.delivered is None or (again and day.end > now - _COUNTED_AGAIN):
                counted = known.with_delivered(await counts(known))
                await put_days(self._state, self._account, [counted])


def is_counted_live(day: AccountDay | ResultDay, *, now: int) -> bool:
    """Return whether the day's deliveries are counted when results are read."""
    return day.end > now - COUNTED_LIVE


def counts_deliveries(queries: Queries, pixels: Iterable[str]) -> CountsDeliveries:
    """Return a function that counts the deliveries of pixels on a day."""
    scope = QueryScope(pixels=frozenset(pixels))
    return lambda day: queries.answer(
        DeliveredEventsQuery(scope=scope, since=day.start, until=day.end)
    )
