"""Read the stored results: the report for command, API and console, and the warnings."""

from collections.abc import Callable, Iterable, Sequence
from itertools import dropwhile
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import msgspec

from twite.domain.destination import Destination
from twite.domain.results.account import ResultsAccount
from twite.domain.results.account_days import day_at, days_until
from twite.domain.results.figures import ResultDay, days_behind
from twite.domain.results.report import AccountResults, ReportBasis, account_results
from twite.domain.results.sale_amounts import SaleAmountUnit
from twite.domain.results.warnings import ResultsWarning, WarningBasis, warnings_of
from twite.domain.stats.match_keys import Matched
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.times import DAY
from twite.gateway.ports.events import ResultsChecked
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import CountedSinceQuery, MatchQuery, Queries
from twite.gateway.ports.state import StateReader
from twite.gateway.results.back_fill import LAST_DAYS
from twite.gateway.results.records import load_account, load_days
from twite.gateway.results.stored_days import counts_deliveries, is_counted_live

DEFAULT_DAYS: Final = 30
MOST_DAYS: Final = 180


class ResultsRecords(Queries, StateReader, Protocol):
    """What results are read from."""


class ResultsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of results; `cut_over` is a day."""

    unit: SaleAmountUnit
    cut_over: str | None = None


class ResultsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The results of all visible accounts, and the warnings about them."""

    accounts: tuple[AccountResults, ...]
    warnings: tuple[ResultsWarning, ...]


def fully_seen(
    destinations: Iterable[Destination], sees: Callable[[str], bool]
) -> tuple[Destination, ...]:
    """Return the pixels of accounts whose pixels are all visible: X reports whole accounts."""
    own = tuple(destinations)
    hidden = {each.account for each in own if not sees(each.pixel)}
    return tuple(each for each in own if each.account not in hidden)


class ResultsReader:
    """Reads the results of the accounts of some pixels."""

    def __init__(
        self, records: ResultsRecords, destinations: Sequence[Destination], options: ResultsOptions
    ) -> None:
        self._records = records
        self._options = options
        self._accounts: dict[str, list[Destination]] = {}
        for destination in destinations:
            if destination.account is not None:
                self._accounts.setdefault(destination.account, []).append(destination)

    @property
    def accounts(self) -> Sequence[str]:
        return list(self._accounts)

    async def report(self, *, now: int, days: int) -> ResultsReport:
        """Return the report of the last `days` days, today included. Raises LedgerUnavailable."""
        found = [await self._account(account, now=now, days=days) for account in self._accounts]
        return ResultsReport(accounts=tuple(found), warnings=tuple(await self.warnings(now=now)))

    async def warnings(self, *, now: int) -> list[ResultsWarning]:
        """Return the warnings about all accounts. Raises LedgerUnavailable."""
        found: list[ResultsWarning] = []
        usual_amounts = await self._records.load(UsualAmount)
        for account, destinations in self._accounts.items():
            known = await load_account(self._records, account)
            pixels = {destination.pixel for destination in destinations}
            found += warnings_of(
                WarningBasis(
                    account=known,
                    # Settled days have been counted.
                    days=await self._stored(known, now=now, count=LAST_DAYS),
                    matched=await self._matched(destinations, since=now - LAST_DAYS * DAY),
                    usual_amounts=[amount for amount in usual_amounts if amount.pixel in pixels],
                    event_names={
                        event: name
                        for destination in destinations
                        for name, event in destination.events.items()
                    },
                    unit=self._options.unit,
                    now=now,
                )
            )
        return found

    async def checked(self, account: str, *, now: int) -> ResultsChecked:
        """Return how current an account is. Raises LedgerUnavailable."""
        known = await load_account(self._records, account)
        days = await self._stored(known, now=now, count=LAST_DAYS)
        return ResultsChecked(
            account=account, fetched_at=known.hourly_at, days_behind=days_behind(days, now=now)
        )

    async def _account(self, account: str, *, now: int, days: int) -> AccountResults:
        known, destinations = await load_account(self._records, account), self._accounts[account]
        stored = await self._days(known, now=now, count=2 * days)
        names = [day.day for day in days_until(now, days, ZoneInfo(known.zone))]
        basis = ReportBasis(
            account=known,
            unit=self._options.unit,
            cut_over=self._options.cut_over or await self._first_day(known, destinations),
        )
        before = [day for day in stored if day.day < names[0]]
        # Fewer days would look like a jump.
        return account_results(
            basis,
            [day for day in stored if day.day >= names[0]],
            before if len(before) == days else [],
        )

    async def _days(
        self, results_account: ResultsAccount, *, now: int, count: int
    ) -> list[ResultDay]:
        """Return the last days, from the first one that is stored on, with their deliveries."""
        return [
            await self._counted(results_account.account, day, now=now)
            for day in await self._stored(results_account, now=now, count=count)
        ]

    async def _stored(
        self, results_account: ResultsAccount, *, now: int, count: int
    ) -> list[ResultDay]:
        days = days_until(now, count, ZoneInfo(results_account.zone))
        loaded = await load_days(self._records, results_account.account, days)
        found = {day.day: day for day in loaded}
        return [
            found.get(day.day, ResultDay.of(day))
            for day in dropwhile(lambda day: day.day not in found, days)
        ]

    async def _counted(self, account: str, result_day: ResultDay, *, now: int) -> ResultDay:
        """Count the deliveries of a day, if it is one of the last."""
        if not is_counted_live(result_day, now=now):
            return result_day
        pixels = [destination.pixel for destination in self._accounts[account]]
        counted = await counts_deliveries(self._records, pixels)(result_day)
        return result_day.with_delivered(counted)

    async def _matched(self, destinations: Sequence[Destination], *, since: int) -> list[Matched]:
        pixels = frozenset(destination.pixel for destination in destinations)
        query = MatchQuery(scope=QueryScope(pixels=pixels), since=since // DAY)
        return list(await self._records.answer(query))

    async def _first_day(
        self, results_account: ResultsAccount, destinations: Sequence[Destination]
    ) -> str | None:
        """Return the day on which the gateway received the first conversion."""
        scope = QueryScope(pixels=frozenset(destination.pixel for destination in destinations))
        since = await self._records.answer(CountedSinceQuery(scope=scope))
        return None if since is None else day_at(since, ZoneInfo(results_account.zone)).isoformat()
