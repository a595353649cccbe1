"""Read the stored results: the report for command, API and console, and the warnings."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import dropwhile
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import msgspec

from twite.domain.destination import Destination
from twite.domain.results.account import ResultsAccount
from twite.domain.results.account_days import day_at, days_until
from twite.domain.results.account_results import AccountResults
from twite.domain.results.figures import ResultDay, days_behind
from twite.domain.results.report import ReportBasis, account_results
from twite.domain.results.sale_amounts import SaleAmountUnit
from twite.domain.results.warnings import MATCHED_DAYS, ResultsWarning, WarningBasis, warnings_of
from twite.domain.stats.match_keys import Matched
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.times import DAY
from twite.gateway.ports.events import ResultsChecked
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import CountedSinceQuery, MatchQuery, Queries
from twite.gateway.ports.state import StateReader
from twite.gateway.results.back_fill import LAST_DAYS
from twite.gateway.results.records import load_account, load_accounts, load_days
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


class _KnownAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account, and its last days from the first one that is stored on."""

    account: ResultsAccount
    days: Sequence[ResultDay]


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
        known = await self._read(now=now, count=max(2 * days + 1, LAST_DAYS))
        found = [await self._account(each, now=now, days=days) for each in known]
        warnings = [
            each for basis in await self._bases(known, now=now) for each in warnings_of(basis)
        ]
        return ResultsReport(accounts=tuple(found), warnings=tuple(warnings))

    async def warnings(self, *, now: int) -> list[ResultsWarning]:
        """Return the warnings about all accounts. Raises LedgerUnavailable."""
        return [each for basis in await self.bases(now=now) for each in warnings_of(basis)]

    async def bases(self, *, now: int) -> list[WarningBasis]:
        """Return what warnings about each account are found in. Raises LedgerUnavailable."""
        return await self._bases(await self._read(now=now, count=LAST_DAYS), now=now)

    async def _read(self, *, now: int, count: int) -> list[_KnownAccount]:
        known = await load_accounts(self._records, self._accounts)
        return [
            _KnownAccount(account=each, days=await self._stored(each, now=now, count=count))
            for each in known
        ]

    async def _bases(self, accounts: Iterable[_KnownAccount], *, now: int) -> list[WarningBasis]:
        found: list[WarningBasis] = []
        usual_amounts = await self._records.load(UsualAmount)
        matched = await self._matched(since=now - MATCHED_DAYS * DAY)
        for known in accounts:
            destinations = self._accounts[known.account.account]
            pixels = {destination.pixel for destination in destinations}
            found.append(
                WarningBasis(
                    account=known.account,
                    # Settled days have been counted.
                    days=[day for day in known.days if day.end > now - LAST_DAYS * DAY],
                    matched=[each for each in matched if each.pixel in pixels],
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

    async def _account(self, known: _KnownAccount, *, now: int, days: int) -> AccountResults:
        account = known.account
        names = [day.day for day in days_until(now, 2 * days + 1, ZoneInfo(account.zone))]
        stored = [
            await self._counted(account.account, day, now=now)
            for day in known.days
            if day.day >= names[0]
        ]
        cut_over = self._options.cut_over
        if cut_over is None and stored:
            cut_over = await self._first_day(account)
        basis = ReportBasis(account=account, unit=self._options.unit, cut_over=cut_over)
        # Today is not over. Fewer days, or days with a part of X's figures, would look like a jump.
        over = [day for day in stored if day.day < names[-1] and day.fetched_at >= day.end]
        # A large account takes tenths of a second.
        return await asyncio.to_thread(
            account_results,
            basis,
            [day for day in stored if day.day > names[days]],
            over if len(over) == 2 * days else [],
        )

    async def _stored(
        self, results_account: ResultsAccount, *, now: int, count: int
    ) -> list[ResultDay]:
        """Return the last days, from the first one that is stored on."""
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

    async def _matched(self, *, since: int) -> Sequence[Matched]:
        """Return what was received for all accounts: a query reads all pixels anyway."""
        pixels = frozenset(each.pixel for own in self._accounts.values() for each in own)
        query = MatchQuery(scope=QueryScope(pixels=pixels), since=since // DAY)
        return await self._records.answer(query)

    async def _first_day(self, results_account: ResultsAccount) -> str | None:
        """Return the day on which the gateway received the first conversion."""
        destinations = self._accounts[results_account.account]
        scope = QueryScope(pixels=frozenset(destination.pixel for destination in destinations))
        since = await self._records.answer(CountedSinceQuery(scope=scope))
        return None if since is None else day_at(since, ZoneInfo(results_account.zone)).isoformat()
