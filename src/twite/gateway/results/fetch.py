"""Fetch X's results of one account, and store them by day.

    hourly    today and the two days before, which X still changes; at first more often
    daily     the last 14 days: corrections of spend, and campaigns whose older days changed
    jobs      older days that were never fetched, or not since they were settled

No day is fetched again after 30 days. [doc CM: estimates until 24 hours, corrections until 14 days]
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from twite.domain.destination import LONGEST_X_WAIT, Destination, OAuthKeys
from twite.domain.errors import OperatorError, RefusedByX, XUnanswering
from twite.domain.results.account import ResultsAccount
from twite.domain.results.account_days import AccountDay, blocks, days_until, granularity_of
from twite.domain.results.stats_request import MOST_DAYS
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.state import StateReader
from twite.gateway.results.back_fill import (
    LAST_DAYS,
    BackFill,
    FetchBasis,
    campaigns_in,
    most_unreadable,
    parts_of,
    zone_of,
)
from twite.gateway.results.records import forget_days, load_account, load_accounts, put_account
from twite.gateway.results.stored_days import NewCells, StoredDays, counts_deliveries
from twite.gateway.x_account.ads_statistics import ActiveCampaign, AdsStatistics, fault_of_part
from twite.gateway.x_account.patient_inquiries import NotLeading, XWait
from twite.redaction.mask_text import without_echoes

HOURLY_DAYS: Final = 3
DAILY_DAYS: Final = 14
# How many days are kept: a year, and the same weeks of the year before.
KEPT_DAYS: Final = 430
POLL_EVERY: Final = MINUTE
# The wait after a refusal, which a person must resolve.
_AFTER_REFUSAL: Final = HOUR
# A longer stored wait was written by a wrong clock. Waits are rounded up to whole seconds.
_LONGEST_WAIT: Final = LONGEST_X_WAIT + MINUTE


def signed_in_accounts(destinations: Collection[Destination]) -> dict[str, OAuthKeys]:
    """Return the accounts of the settings whose pixels have OAuth credentials.

    X documents pixel tokens for conversions only.
    """
    found: dict[str, OAuthKeys] = {}
    for destination in destinations:
        own = (destination.credentials, destination.fallback)
        keys = next((each for each in own if isinstance(each, OAuthKeys)), None)
        if destination.account is not None and keys is not None:
            found.setdefault(destination.account, keys)
    return found


def accounts_by_user(accounts: Mapping[str, OAuthKeys]) -> Mapping[str, Mapping[str, OAuthKeys]]:
    """Group accounts by the token of their user."""
    found: dict[str, dict[str, OAuthKeys]] = {}
    for account, keys in accounts.items():
        found.setdefault(keys.token, {})[account] = keys
    return found


async def user_wait(state: StateReader, accounts: Iterable[str], *, now: int) -> int:
    """Return the time (ms) that X has named for the next request of the accounts' user.

    It said so about one account, also before a restart. 0 if there is none, or if it has passed.
    Raises LedgerUnavailable.
    """
    known = await load_accounts(state, accounts)
    ahead = [each.user_wait_until for each in known if _is_ahead(each.user_wait_until, now)]
    return max(ahead, default=0)


class ResultsFetch:
    """Fetches the results of one account; `pixels` are those of the account."""

    def __init__(
        self, account: str, statistics: AdsStatistics, pixels: Collection[str], basis: FetchBasis
    ) -> None:
        self._account = account
        self._ask = statistics
        self._count = counts_deliveries(basis.queries, pixels)
        self._basis = basis
        self._state = basis.state
        self._clock = basis.clock
        self._days = StoredDays(basis.state, account)
        self._back_fill = BackFill(statistics, self._days, basis)

    async def run(self) -> bool:
        """Fetch what is due; return whether anything was. Raises LedgerUnavailable.

        What X refused or did not answer is stored as the account's problem.
        """
        now, account = self._clock.now(), await load_account(self._state, self._account)
        if _is_ahead(account.wait_until, now):
            return False
        try:
            if account.is_due(now):
                await self._fetch(account, now=now)
            elif account.jobs and not account.polled_at <= now < account.polled_at + POLL_EVERY:
                await self._back_fill.work(account)
            else:
                return False
        except NotLeading:
            return False
        except XUnanswering as unanswered:
            await self.note_wait(
                XWait(until=self._clock.now() + POLL_EVERY, reason=unanswered.reason)
            )
        except OperatorError as refused:
            until = self._clock.now() + _AFTER_REFUSAL
            await self.note_wait(XWait(until=until, reason=without_echoes(str(refused))))
        return True

    async def note_wait(self, wait: XWait) -> None:
        """Store that nothing is asked until a time, and why."""
        account = await load_account(self._state, self._account)
        await put_account(
            self._state,
            msgspec.structs.replace(
                account,
                wait_until=max(wait.until, account.wait_until),
                user_wait_until=wait.until if wait.is_named else account.user_wait_until,
                problem=wait.reason,
            ),
        )

    async def _fetch(self, account: ResultsAccount, *, now: int) -> None:
        catalog = await self._ask.catalog()
        zone, is_moved = zone_of(catalog.zone), catalog.zone != account.zone
        account = msgspec.structs.replace(
            account,
            zone=catalog.zone,
            zone_since=catalog.zone_since,
            campaigns=catalog.campaigns,
            line_items=catalog.line_items,
            event_types=catalog.event_types,
            other_ids=catalog.other_ids,
            # The days of jobs are those of the zone.
            jobs=() if is_moved else account.jobs,
        )
        is_daily = is_moved or not account.daily_at <= now < account.daily_at + DAY
        days = [
            day
            for day in days_until(now, LAST_DAYS if is_daily else HOURLY_DAYS, zone)
            if day.start >= account.zone_since
        ]
        window = days[-(DAILY_DAYS if is_daily else HOURLY_DAYS) :]
        unreadable: dict[str, None] = {}
        problem, refused_days = "", set[AccountDay]()
        if window:
            active = await self._ask.active(start=window[0].start, end=min(window[-1].end, now))
            for block in blocks(_changed(days, active), most=MOST_DAYS):
                fault = await self._fetch_block(block, active, zone, unreadable)
                if fault:
                    refused_days.update(block)
                    problem = (
                        f"figures of {block[0].day} to {block[-1].day} are missing, and are asked "
                        f"for again: {fault}"
                    )
        await self._days.add([day for day in window if day not in refused_days], fetched_at=now)
        if is_daily and not account.jobs:
            account = await self._back_fill.planned(account, window, now=now)
        kept = [day for day in days if day.start >= now - self._basis.history_kept]
        await self._days.count_deliveries(kept, self._count, now=now, again=is_daily)
        if is_daily:
            old = days_until(now - KEPT_DAYS * DAY, LAST_DAYS, zone)
            await forget_days(self._state, self._account, old)
        account = msgspec.structs.replace(
            account,
            first_at=account.first_at or now,
            hourly_at=now,
            daily_at=now if is_daily else account.daily_at,
            wait_until=0,
            problem=problem,
            # Files of jobs are read at any hour, so what they contain is remembered for a day.
            unreadable=most_unreadable([*(() if is_daily else account.unreadable), *unreadable]),
        )
        await put_account(self._state, account)
        if account.jobs:
            await self._back_fill.work(account)

    async def _fetch_block(
        self,
        block: Sequence[AccountDay],
        active: Sequence[ActiveCampaign],
        zone: ZoneInfo,
        unreadable: dict[str, None],
    ) -> str:
        """Fetch and store some days. Return why X refused a part of them, "" if it did not.

        Such days do not count as fetched.
        """
        now = self._clock.now()
        granularity = granularity_of(block, now=now, zone=zone)
        cells = NewCells(block)
        cells.active.update(_changed(block, active))
        fault = ""
        for part in parts_of(active, block[0].start, block[-1].end):
            try:
                read = await self._ask.stats(part.request(block, granularity, zone))
            except RefusedByX as refused:
                fault = fault_of_part(refused)
                continue
            unreadable |= dict.fromkeys(read.unreadable)
            cells.add(read)
        await self._days.merge(cells, fetched_at=0 if fault else now)
        return fault


def _is_ahead(until: int, now: int) -> bool:
    return now < until <= now + _LONGEST_WAIT


def _changed(days: Sequence[AccountDay], active: Sequence[ActiveCampaign]) -> list[AccountDay]:
    return [day for day in days if campaigns_in(active, day.start, day.end)]
