"""Fetch X's results of one account, and store them by day.

    hourly    today and the two days before, which X still changes
    daily     the last 14 days: corrections of spend, and campaigns whose older days changed
    jobs      older days that were never fetched, or not since they were settled

No day is fetched again after 30 days. [doc CM: estimates until 24 hours, corrections until 14 days]
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from twite.domain.destination import Destination, OAuthKeys
from twite.domain.errors import OperatorError, XUnanswering
from twite.domain.results.account import JobStatus, ResultsAccount, ResultsJob
from twite.domain.results.account_days import AccountDay, blocks, days_until, spelled_hour
from twite.domain.results.figures import FigureGroup, ResultCell, ResultDay
from twite.domain.results.stats_request import (
    MOST_DAYS,
    MOST_ENTITIES,
    MOST_JOB_DAYS,
    MOST_POLLED,
    MOST_PROCESSING,
    PLACEMENTS,
    JobReport,
    StatsRequest,
)
from twite.domain.times import DAY, HOUR, LATEST, MINUTE, moment
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import DeliveredEventsQuery, Queries
from twite.gateway.ports.state import StateStore
from twite.gateway.results.records import (
    forget_days,
    load_account,
    load_days,
    put_account,
    put_days,
)
from twite.gateway.x_account.ads_statistics import (
    ActiveCampaign,
    AdsStatistics,
    JobFileMissing,
    TooManyJobs,
)
from twite.gateway.x_account.patient_inquiries import NotLeading, XWait
from twite.redaction.mask_text import without_echoes

HOURLY_DAYS: Final = 3
DAILY_DAYS: Final = 14
LAST_DAYS: Final = 30
POLL_EVERY: Final = MINUTE
# The wait after a refusal, which a person must resolve.
_AFTER_REFUSAL: Final = HOUR
# A longer stored wait was written by a wrong clock.
_LONGEST_WAIT: Final = HOUR


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


class FetchBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What fetching needs. `history` is how many days are fetched at first.

    `attempts_kept` is how long the store keeps attempts (ms), from which deliveries are counted.
    """

    state: StateStore
    queries: Queries
    clock: Clock
    history: int
    attempts_kept: int


class ResultsFetch:
    """Fetches the results of one account; `pixels` are those of the account."""

    def __init__(
        self, account: str, statistics: AdsStatistics, pixels: Collection[str], basis: FetchBasis
    ) -> None:
        self._account = account
        self._ask = statistics
        self._pixels = frozenset(pixels)
        self._basis = basis
        self._state = basis.state
        self._clock = basis.clock

    async def run(self) -> bool:
        """Fetch what is due; return whether anything was. Raises LedgerUnavailable.

        What X refused or did not answer is stored as the account's problem.
        """
        now, account = self._clock.now(), await load_account(self._state, self._account)
        if now < account.wait_until <= now + _LONGEST_WAIT:
            return False
        try:
            if account.is_due(now):
                await self._fetch(account, now=now)
            elif account.jobs and not account.polled_at <= now < account.polled_at + POLL_EVERY:
                await self._work_on_jobs(account)
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
                account, wait_until=max(wait.until, account.wait_until), problem=wait.reason
            ),
        )

    async def _fetch(self, account: ResultsAccount, *, now: int) -> None:
        catalog = await self._ask.catalog()
        zone = _zone(catalog.zone)
        account = msgspec.structs.replace(
            account,
            zone=catalog.zone,
            zone_since=catalog.zone_since,
            campaigns=catalog.campaigns,
            line_items=catalog.line_items,
            event_types=catalog.event_types,
            other_ids=catalog.other_ids,
        )
        is_daily = not account.daily_at <= now < account.daily_at + DAY
        days = [
            day
            for day in days_until(now, LAST_DAYS if is_daily else HOURLY_DAYS, zone)
            if day.start >= account.zone_since
        ]
        window = days[-(DAILY_DAYS if is_daily else HOURLY_DAYS) :]
        stored = {day.day: day for day in await load_days(self._state, self._account)}
        unreadable: dict[str, None] = {}
        if window:
            active = await self._ask.active(start=window[0].start, end=min(window[-1].end, now))
            for block in blocks(_changed(days, active), most=MOST_DAYS):
                stored |= await self._fetch_block(block, active, stored, zone, unreadable)
        await self._finish(window, stored, now=now)
        if is_daily:
            await forget_days(self._state, self._account, sorted(stored.values(), key=_start))
            if not account.jobs:
                account = await self._plan_jobs(account, stored, set(window), now=now)
        account = msgspec.structs.replace(
            account,
            hourly_at=now,
            daily_at=now if is_daily else account.daily_at,
            wait_until=0,
            problem="",
            unreadable=tuple(unreadable),
        )
        await put_account(self._state, account)
        if account.jobs:
            await self._work_on_jobs(account)

    async def _fetch_block(
        self,
        block: Sequence[AccountDay],
        active: Sequence[ActiveCampaign],
        stored: Mapping[str, ResultDay],
        zone: ZoneInfo,
        unreadable: dict[str, None],
    ) -> dict[str, ResultDay]:
        """Fetch and store the days of one request; return them."""
        now = self._clock.now()
        cells: list[list[ResultCell]] = [[] for _ in block]
        for campaigns in _chunks(_campaigns_in(active, block[0].start, block[-1].end)):
            for placement, group in _parts():
                request = StatsRequest(
                    campaigns=campaigns,
                    placement=placement,
                    group=group,
                    start=spelled_hour(block[0].start, zone),
                    end=spelled_hour(block[-1].end, zone),
                )
                read = await self._ask.stats(request, days=len(block))
                unreadable |= dict.fromkeys(read.unreadable)
                for own, fresh in zip(cells, read.cells, strict=True):
                    own.extend(fresh)
        found = {
            day.day: stored.get(day.day, ResultDay.of(day)).with_cells(own, fetched_at=now)
            for day, own in zip(block, cells, strict=True)
        }
        await put_days(self._state, self._account, found.values())
        return found

    async def _finish(
        self, window: Sequence[AccountDay], stored: dict[str, ResultDay], *, now: int
    ) -> None:
        """Store that the days of a window were fetched, and what was delivered on them."""
        finished = []
        for day in window:
            fetched_day = stored.get(day.day, ResultDay.of(day)).with_cells((), fetched_at=now)
            finished.append(await self._with_delivered(fetched_day))
        stored |= {day.day: day for day in finished}
        await put_days(self._state, self._account, finished)

    async def _with_delivered(self, day: ResultDay) -> ResultDay:
        if day.start < self._clock.now() - self._basis.attempts_kept:
            return day
        delivered = await self._basis.queries.answer(
            DeliveredEventsQuery(since=day.start, until=day.end)
        )
        return day.with_delivered([each for each in delivered if each.pixel in self._pixels])

    async def _plan_jobs(
        self,
        account: ResultsAccount,
        stored: Mapping[str, ResultDay],
        window: Collection[AccountDay],
        *,
        now: int,
    ) -> ResultsAccount:
        """Return the account with jobs for older days that are missing, or were not settled."""
        count = min(max(self._basis.history, LAST_DAYS), MOST_JOB_DAYS)
        missing = [
            day
            for ago, day in enumerate(reversed(days_until(now, count, _zone(account.zone))))
            if day not in window
            and day.start >= account.zone_since
            and (
                _is_unsettled(stored[day.day])
                if day.day in stored and ago < LAST_DAYS
                else day.day not in stored and ago < self._basis.history
            )
        ]
        jobs: list[ResultsJob] = []
        for span in blocks(missing, most=MOST_JOB_DAYS - 1):
            start, end = span[0].start, span[-1].end
            active = await self._ask.active(start=start, end=end)
            own = [
                ResultsJob(
                    campaigns=tuple(campaigns), placement=placement, group=group,
                    start=start, end=end,
                )
                for campaigns in _chunks(_campaigns_in(active, start, end))
                for placement, group in _parts()
            ]  # fmt: skip
            fetched_at = 0 if own else now
            await put_days(
                self._state,
                self._account,
                [
                    await self._with_delivered(
                        stored.get(day.day, ResultDay.of(day)).with_cells((), fetched_at=fetched_at)
                    )
                    for day in span
                ],
            )
            jobs += own
        return msgspec.structs.replace(account, jobs=tuple(jobs))

    async def _work_on_jobs(self, account: ResultsAccount) -> None:
        """Collect the jobs that are done, and create others while X accepts them."""
        zone, jobs = _zone(account.zone), list(account.jobs)
        reports: dict[str, JobReport] = {}
        ids = [job.id for job in jobs if job.status is JobStatus.PROCESSING]
        for begin in range(0, len(ids), MOST_POLLED):
            found = await self._ask.jobs(ids[begin : begin + MOST_POLLED])
            reports |= {report.id: report for report in found}
        for place, job in enumerate(jobs):
            if job.status is JobStatus.PROCESSING:
                jobs[place] = await self._collected(job, reports.get(job.id), jobs, zone)
        await self._keep(account, jobs)
        processing = sum(job.status is JobStatus.PROCESSING for job in jobs)
        for place, job in enumerate(jobs):
            is_waiting = job.status is JobStatus.WAITING and not job.is_given_up
            if not is_waiting or processing >= MOST_PROCESSING:
                continue
            try:
                created = await self._ask.new_job(_request(job, zone))
            except TooManyJobs:
                break
            processing += 1
            jobs[place] = msgspec.structs.replace(job, id=created.id, status=JobStatus.PROCESSING)
            await self._keep(account, jobs)

    async def _collected(
        self, job: ResultsJob, report: JobReport | None, jobs: Sequence[ResultsJob], zone: ZoneInfo
    ) -> ResultsJob:
        """Return a job after X's report: unchanged, done, or to be created anew."""
        if report is None or report.is_failed or _is_past(report.expires_at, self._clock.now()):
            return job.again()
        if not report.is_done or report.url is None:
            return job
        names = _days_between(job.start, job.end, zone)
        try:
            read = await self._ask.file(report.url, _request(job, zone), days=len(names))
        except JobFileMissing:
            return job.again()
        is_last = not any(
            other is not job and other.status is not JobStatus.DONE and other.start == job.start
            for other in jobs
        )
        stored = {day.day: day for day in await load_days(self._state, self._account)}
        fetched_at = self._clock.now() if is_last else 0
        days = [
            stored.get(day.day, ResultDay.of(day)).with_cells(cells, fetched_at=fetched_at)
            for day, cells in zip(names, read.cells, strict=True)
        ]
        await put_days(self._state, self._account, days)
        return msgspec.structs.replace(job, status=JobStatus.DONE)

    async def _keep(self, account: ResultsAccount, jobs: Sequence[ResultsJob]) -> None:
        """Store the jobs. A daily fetch plans the days of those that were given up again."""
        given_up = sum(job.is_given_up for job in jobs)
        is_over = all(job.status is JobStatus.DONE or job.is_given_up for job in jobs)
        problem = f"X did not complete {given_up} jobs; they are repeated" if given_up else ""
        await put_account(
            self._state,
            msgspec.structs.replace(
                account,
                jobs=() if is_over else tuple(jobs),
                polled_at=self._clock.now(),
                problem=problem,
                wait_until=0,
            ),
        )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError) as error:
        raise OperatorError(
            f"this machine does not know the time zone {name[:64]!r} of the ads account. Install "
            "its time zones, for example with apt install tzdata"
        ) from error


def _is_unsettled(day: ResultDay) -> bool:
    return day.is_estimate or not day.is_spend_final


def _changed(days: Sequence[AccountDay], active: Sequence[ActiveCampaign]) -> list[AccountDay]:
    return [day for day in days if _campaigns_in(active, day.start, day.end)]


def _campaigns_in(active: Sequence[ActiveCampaign], start: int, end: int) -> list[str]:
    found = [each.campaign for each in active if each.start < end and each.end >= start]
    return sorted(set(found))


def _chunks(campaigns: Sequence[str]) -> list[Sequence[str]]:
    return [
        campaigns[begin : begin + MOST_ENTITIES]
        for begin in range(0, len(campaigns), MOST_ENTITIES)
    ]


def _parts() -> list[tuple[str, FigureGroup]]:
    return [(placement, group) for placement in PLACEMENTS for group in FigureGroup]


def _request(job: ResultsJob, zone: ZoneInfo) -> StatsRequest:
    return StatsRequest(
        campaigns=job.campaigns,
        placement=job.placement,
        group=job.group,
        start=spelled_hour(job.start, zone),
        end=spelled_hour(job.end, zone),
    )


def _days_between(start: int, end: int, zone: ZoneInfo) -> list[AccountDay]:
    count = (end - start) // DAY + 2
    return [day for day in days_until(end - 1, count, zone) if day.start >= start]


def _is_past(text: str | None, now: int) -> bool:
    at = None if text is None else moment(text, now=LATEST, path="")
    return isinstance(at, int) and at <= now


def _start(day: ResultDay) -> int:
    return day.start
