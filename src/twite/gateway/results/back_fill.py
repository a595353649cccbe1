"""Jobs at X for older days that were never fetched, or not since they were settled.

A job that failed or expired is created anew. Files are read and stored a few at a time, so that a
crash repeats little, and so that others have their turn on the event loop.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from twite.domain.errors import OperatorError, RefusedByX
from twite.domain.plural import plural
from twite.domain.results.account import MOST_TRIES, JobStatus, ResultsAccount, ResultsJob
from twite.domain.results.account_days import (
    AccountDay,
    Granularity,
    blocks,
    days_until,
    granularity_of,
)
from twite.domain.results.figures import FigureGroup, ResultDay
from twite.domain.results.stats_request import (
    MOST_ACTIVE_DAYS,
    MOST_ENTITIES,
    MOST_JOB_DAYS,
    MOST_POLLED,
    MOST_PROCESSING,
    PLACEMENTS,
    JobReport,
    StatsRequest,
)
from twite.domain.times import DAY, HOUR, LATEST, moment
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import StateStore
from twite.gateway.results.records import put_account
from twite.gateway.results.stored_days import NewCells, StoredDays
from twite.gateway.x_account.ads_statistics import (
    MOST_UNREADABLE,
    ActiveCampaign,
    AdsStatistics,
    JobFileMissing,
    TooManyJobs,
    fault_of_part,
)

# No older day is fetched again, once it was.
LAST_DAYS: Final = 30
# X does not document how long a job takes; one that takes longer is created anew.
_LONGEST_JOB: Final = DAY
# How many files are read before their figures are stored.
_STORED_TOGETHER: Final = 10


class FetchBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What fetching needs. `history` is how many days are fetched at first.

    `history_kept` is how long the store keeps conversions (ms), of which deliveries are counted.
    """

    state: StateStore
    queries: Queries
    clock: Clock
    history: int
    history_kept: int


class StatsPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one request may ask for: at most 20 campaigns, a placement and a group."""

    campaigns: tuple[str, ...]
    placement: str
    group: FigureGroup

    def request(
        self, days: Sequence[AccountDay], granularity: Granularity, zone: ZoneInfo
    ) -> StatsRequest:
        return StatsRequest.of(
            days,
            granularity,
            zone,
            campaigns=self.campaigns,
            placement=self.placement,
            group=self.group,
        )


class BackFill:
    """Plans the jobs of an account, creates them at X, and stores what they bring."""

    def __init__(self, statistics: AdsStatistics, days: StoredDays, basis: FetchBasis) -> None:
        self._ask = statistics
        self._days = days
        self._basis = basis
        self._clock = basis.clock

    async def planned(
        self, account: ResultsAccount, window: Collection[AccountDay], *, now: int
    ) -> ResultsAccount:
        """Return the account with jobs for older days that are missing, or were not settled.

        `window` has the days that were just fetched.
        """
        history, zone = self._basis.history, zone_of(account.zone)
        days = [
            (ago, day)
            for ago, day in enumerate(reversed(days_until(now, MOST_ACTIVE_DAYS, zone)))
            if day not in window and day.start >= account.zone_since
        ]
        stored = await self._days.all(day for _, day in days)
        missing = [
            day
            for ago, day in days
            if (
                _is_due(stored[day.day], day, is_late=ago < LAST_DAYS)
                if day.day in stored
                else ago < history
            )
        ]
        jobs: list[ResultsJob] = []
        for span in blocks(missing, most=MOST_JOB_DAYS - 1):
            start, end = span[0].start, span[-1].end
            active = await self._ask.active(start=start, end=end)
            own = [
                ResultsJob(
                    campaigns=part.campaigns,
                    placement=part.placement,
                    group=part.group,
                    start=start,
                    end=end,
                )
                for part in parts_of(active, start, end)
            ]
            await self._days.add(span, fetched_at=0 if own else now)
            jobs += own
        return msgspec.structs.replace(account, jobs=tuple(jobs))

    async def work(self, account: ResultsAccount) -> None:
        """Collect the jobs that are done, and create others while X accepts them."""
        zone, jobs = zone_of(account.zone), list(account.jobs)
        reports: dict[str, JobReport] = {}
        ids = [job.id for job in jobs if job.status is JobStatus.PROCESSING]
        for begin in range(0, len(ids), MOST_POLLED):
            found = await self._ask.jobs(ids[begin : begin + MOST_POLLED])
            reports |= {report.id: report for report in found}
        polled = [place for place, job in enumerate(jobs) if job.status is JobStatus.PROCESSING]
        for begin in range(0, len(polled), _STORED_TOGETHER):
            own = polled[begin : begin + _STORED_TOGETHER]
            unreadable = await self._collect(jobs, own, reports, zone)
            account = msgspec.structs.replace(
                account, unreadable=most_unreadable([*account.unreadable, *unreadable])
            )
            await self._keep(account, jobs)
        if not polled:
            await self._keep(account, jobs)
        processing = sum(job.status is JobStatus.PROCESSING for job in jobs)
        for place, job in enumerate(jobs):
            is_waiting = job.status is JobStatus.WAITING and not job.is_given_up
            if not is_waiting or processing >= MOST_PROCESSING:
                continue
            days = _days_between(job.start, job.end, zone)
            # The clocks may have changed since the job was planned.
            granularity = granularity_of(days, now=self._clock.now(), zone=zone)
            try:
                created = await self._ask.new_job(_request(job, days, granularity, zone))
            except TooManyJobs:
                break
            except RefusedByX as refused:
                jobs[place] = job.again(fault_of_part(refused))
            else:
                processing += 1
                jobs[place] = msgspec.structs.replace(
                    job,
                    id=created.id,
                    status=JobStatus.PROCESSING,
                    granularity=granularity,
                    created_at=self._clock.now(),
                )
            await self._keep(account, jobs)

    async def _collect(
        self,
        jobs: list[ResultsJob],
        places: Sequence[int],
        reports: Mapping[str, JobReport],
        zone: ZoneInfo,
    ) -> list[str]:
        """Read the files of some jobs, store their figures, and update the jobs.

        Return what could not be read in them.
        """
        cells: dict[int, NewCells] = {}
        unreadable: list[str] = []
        for place in places:
            job = jobs[place]
            report = reports.get(job.id)
            fault = _fault_of(job, report, self._clock.now())
            if report is None or fault:
                jobs[place] = job.again(fault)
                continue
            if not report.is_done or report.url is None:
                continue
            days = _days_between(job.start, job.end, zone)
            try:
                read = await self._ask.file(report.url, _request(job, days, job.granularity, zone))
            except JobFileMissing as missing:
                jobs[place] = job.again(str(missing))
                continue
            jobs[place] = msgspec.structs.replace(job, status=JobStatus.DONE)
            cells.setdefault(job.start, NewCells(days)).add(read)
            unreadable += read.unreadable
        for start, own in cells.items():
            is_last = all(job.status is JobStatus.DONE for job in jobs if job.start == start)
            await self._days.merge(own, fetched_at=self._clock.now() if is_last else 0)
        return unreadable

    async def _keep(self, account: ResultsAccount, jobs: Sequence[ResultsJob]) -> None:
        """Store the jobs. A daily fetch plans the days of those that were given up again."""
        given_up = [job for job in jobs if job.is_given_up]
        is_over = all(job.status is JobStatus.DONE or job.is_given_up for job in jobs)
        # The problem of a wait is over, and that of a fetch is not.
        problem = "" if account.wait_until else account.problem
        if given_up:
            problem = (
                f"{plural(len(given_up), 'job')} of older days failed {MOST_TRIES} times, and will "
                f"be repeated within a day. The last time, {given_up[-1].fault}"
            )
        await put_account(
            self._basis.state,
            msgspec.structs.replace(
                account,
                jobs=() if is_over else tuple(jobs),
                polled_at=self._clock.now(),
                problem=problem,
                wait_until=0,
            ),
        )


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone. Raises OperatorError if the machine does not know it."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise OperatorError(
            f"this machine does not know the time zone {name[:64]!r} of the ads account. Install "
            "its time zones, for example with apt install tzdata"
        ) from error


def parts_of(active: Sequence[ActiveCampaign], start: int, end: int) -> list[StatsPart]:
    """Return the requests for the campaigns whose figures changed in a time (ms)."""
    campaigns = campaigns_in(active, start, end)
    return [
        StatsPart(
            campaigns=tuple(campaigns[begin : begin + MOST_ENTITIES]),
            placement=placement,
            group=group,
        )
        for begin in range(0, len(campaigns), MOST_ENTITIES)
        for placement in PLACEMENTS
        for group in FigureGroup
    ]


def campaigns_in(active: Sequence[ActiveCampaign], start: int, end: int) -> list[str]:
    found = [each.campaign for each in active if each.start < end and each.end >= start]
    return sorted(set(found))


def most_unreadable(texts: Iterable[str]) -> tuple[str, ...]:
    """Return each text once, up to a limit."""
    return tuple(dict.fromkeys(texts))[:MOST_UNREADABLE]


def _is_due(stored_day: ResultDay, day: AccountDay, *, is_late: bool) -> bool:
    """Return whether a day must be fetched: at any age if it never was."""
    return not stored_day.fetched_at or (is_late and _is_unsettled(stored_day, day))


def _is_unsettled(stored_day: ResultDay, day: AccountDay) -> bool:
    is_final = not stored_day.is_estimate and stored_day.is_spend_final
    return not is_final or not stored_day.has_limits_of(day)


def _request(
    job: ResultsJob, days: Sequence[AccountDay], granularity: Granularity, zone: ZoneInfo
) -> StatsRequest:
    part = StatsPart(campaigns=job.campaigns, placement=job.placement, group=job.group)
    return part.request(days, granularity, zone)


def _days_between(start: int, end: int, zone: ZoneInfo) -> list[AccountDay]:
    count = (end - start) // DAY + 2
    return [day for day in days_until(end - 1, count, zone) if day.start >= start]


def _fault_of(job: ResultsJob, report: JobReport | None, now: int) -> str:
    """Return why a job must be created anew; "" if it need not."""
    if report is None:
        return "X did not know the job"
    if report.is_failed:
        return "X reported it as failed"
    if _is_past(report.expires_at, now):
        return "it had expired"
    is_ready = report.is_done and report.url is not None
    is_stuck = not is_ready and now >= job.created_at + _LONGEST_JOB
    return f"X had not finished it after {_LONGEST_JOB // HOUR} hours" if is_stuck else ""


def _is_past(text: str | None, now: int) -> bool:
    at = None if text is None else moment(text, now=LATEST, path="")
    return isinstance(at, int) and at <= now
