"""Statistics of one ads account: its campaigns, their figures by day, and jobs for older days."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from twite.domain.destination import OAuthKeys
from twite.domain.errors import OperatorError, RefusedByX
from twite.domain.fault import Fault
from twite.domain.results.account import AdCampaign, AdLineItem
from twite.domain.results.account_days import spelled_hour
from twite.domain.results.stats_request import JobReport, ReadStats, StatsRequest
from twite.domain.times import HOUR, LATEST, moment
from twite.gateway.x_account.event_tags import AdsAccount
from twite.gateway.x_account.inquiries import XInquiries
from twite.redaction.mask_text import without_echoes
from twite.x import ads_account, analytics
from twite.x.analytics import ActiveEntity, AnalyticsQuestions, StatsAnswer
from twite.x.inquiry import Question, RefusalReason

# A longer list means that the pages repeat.
_MOST_PAGES: Final = 100
MOST_UNREADABLE: Final = 20
# Reasons to refuse all requests of an account.
_OF_ACCOUNT: Final = frozenset(
    {RefusalReason.TOKEN_REFUSED, RefusalReason.APP_UNAPPROVED, RefusalReason.NO_ROLE}
)
_NOT_ALLOWED: Final = frozenset({401, 403})
_TOO_LONG: Final = f"its file is damaged, or longer than {analytics.LONGEST_FILE >> 20} MiB"
Item_co = TypeVar("Item_co", covariant=True)


class JobFileMissing(OperatorError):
    """A job's file has expired, or cannot be read. The reason completes a sentence on the job."""


class TooManyJobs(OperatorError):
    """X processes as many jobs as it accepts."""


class _ListedPage(Protocol[Item_co]):
    @property
    def data(self) -> tuple[Item_co, ...]: ...
    @property
    def next_cursor(self) -> str | None: ...


class AccountCatalog(msgspec.Struct, frozen=True, kw_only=True):
    """An account's time zone, campaigns, line items, and the types of its events by id."""

    zone: str
    zone_since: int
    campaigns: tuple[AdCampaign, ...]
    line_items: tuple[AdLineItem, ...]
    event_types: dict[str, str]
    other_ids: dict[str, str]


class ActiveCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign whose figures changed for `start <= time <= end` (ms)."""

    campaign: str
    start: int
    end: int


class AdsStatistics:
    """Asks X about one account. Methods raise RefusedByX and XUnanswering."""

    def __init__(self, inquiries: XInquiries, keys: OAuthKeys, account: str) -> None:
        self._inquiries = inquiries
        self._keys = keys
        self._account = account
        self._questions = AnalyticsQuestions(version=inquiries.address.version, account=account)

    async def catalog(self) -> AccountCatalog:
        """Return what the account consists of."""
        questions = self._questions
        details = await self._ask(questions.details(), ads_account.read_details)
        campaigns = await self._all(questions.campaigns, ads_account.read_campaigns)
        currencies: dict[str, str] = {}
        if any(not campaign.currency for campaign in campaigns):
            instruments = await self._all(
                questions.funding_instruments, ads_account.read_instruments
            )
            currencies = {instrument.id: instrument.currency for instrument in instruments}
        line_items = await self._all(questions.line_items, ads_account.read_line_items)
        events = AdsAccount(inquiries=self._inquiries, keys=self._keys, account=self._account)
        tags = await events.events(with_deleted=True)
        pairs = [(tag.id, tag.website_tag_id) for tag in tags if tag.website_tag_id]
        return AccountCatalog(
            zone=details.timezone,
            zone_since=_time_of(details.timezone_switch_at) or 0,
            campaigns=tuple(campaign.known(currencies) for campaign in campaigns),
            line_items=tuple(line_items),
            # X does not say which of an event's two ids its `primary_web_event_tag` is.
            event_types={
                id_: analytics.EVENT_TYPES.get(tag.type, tag.type)
                for tag in tags
                for id_ in (tag.id, tag.website_tag_id)
                if id_
            },
            other_ids={id_: other for pair in pairs for id_, other in (pair, pair[::-1])},
        )

    async def active(self, *, start: int, end: int) -> list[ActiveCampaign]:
        """Return the campaigns whose figures changed in a time (ms) of at most 90 days."""
        start, end = start // HOUR * HOUR, -(-end // HOUR) * HOUR
        question = self._questions.active_campaigns(
            start=spelled_hour(start), end=spelled_hour(end)
        )
        entities = await self._ask(question, analytics.read_active)
        return [_active(entity, start=start, end=end) for entity in entities]

    async def stats(self, request: StatsRequest) -> ReadStats:
        """Return the statistics of at most 20 campaigns and 7 days."""
        answer = await self._ask(self._questions.stats(request), _reader(request))
        return await self._figures(answer, request)

    async def new_job(self, request: StatsRequest) -> JobReport:
        """Create a job for at most 20 campaigns and 45 days. Raises TooManyJobs."""
        try:
            return await self._ask(self._questions.new_job(request), analytics.read_job)
        except RefusedByX as error:
            if analytics.TOO_MANY_JOBS in error.reason:
                raise TooManyJobs(str(error)) from error
            raise

    async def jobs(self, ids: Sequence[str]) -> tuple[JobReport, ...]:
        """Return X's states of at most 200 jobs. X may no longer know some of them."""
        return await self._ask(self._questions.jobs(ids), analytics.read_jobs)

    async def file(self, url: str, request: StatsRequest) -> ReadStats:
        """Return the statistics in the file of a job for this request.

        X does not say whether it needs a signature, so that a refused request is repeated with one.
        Raises JobFileMissing, XUnanswering.
        """
        if not analytics.is_file_url(url, api_url=self._inquiries.address.api_url):
            raise JobFileMissing("the URL of its file is not an https URL")
        status, body = await self._downloaded(url, None)
        unsigned = ""
        if status in _NOT_ALLOWED:
            unsigned = f", and {status} without a signature"
            status, body = await self._downloaded(url, self._keys)
        if status != 200:
            raise JobFileMissing(f"X does not serve its file: {status}{unsigned}")
        content = await asyncio.to_thread(analytics.unzipped, body)
        if content is None:
            raise JobFileMissing(_TOO_LONG)
        answer = _reader(request)(content)
        if answer is None:
            raise JobFileMissing("its file cannot be read")
        return await self._figures(answer, request)

    async def _downloaded(self, url: str, keys: OAuthKeys | None) -> tuple[int, bytes]:
        """Return the status and body of a file. Raises JobFileMissing if it is too long."""
        try:
            return await self._inquiries.ask(
                lambda nonce, timestamp: analytics.file_request(
                    url, keys, nonce=nonce, timestamp=timestamp
                ),
                lambda status, body: (status, body),
            )
        except RefusedByX as refused:
            raise JobFileMissing(_TOO_LONG) from refused

    async def _figures(self, answer: StatsAnswer, request: StatsRequest) -> ReadStats:
        """Read the figures entity by entity: deliveries have their turn in between."""
        reads: list[ReadStats] = []
        for read in analytics.figures_of(
            answer, stats_request=request, fetched_at=self._inquiries.clock.now()
        ):
            reads.append(read)
            await asyncio.sleep(0)
        unreadable = dict.fromkeys(text for read in reads for text in read.unreadable)
        return ReadStats(
            cells=[
                [cell for read in reads for cell in read.cells[day]]
                for day in range(len(request.lengths))
            ],
            unreadable=tuple(unreadable)[:MOST_UNREADABLE],
        )

    async def _all(
        self,
        question: Callable[[str | None], Question],
        read: Callable[[bytes], _ListedPage[Item_co] | None],
    ) -> list[Item_co]:
        found: list[Item_co] = []
        cursor = None
        for _ in range(_MOST_PAGES):
            page = await self._ask(question(cursor), read)
            found += page.data
            if not page.next_cursor or page.next_cursor == cursor:
                break
            cursor = page.next_cursor
        return found

    async def _ask(self, question: Question, read: Callable[[bytes], Item_co | None]) -> Item_co:
        about = f"ads account {self._account}"
        return await self._inquiries.ask_as(self._keys, question, read, about=about)


def fault_of_part(refused: RefusedByX) -> str:
    """Return why X refused the figures of one campaign or placement.

    Raises the refusal itself if X would refuse all requests of the account.
    """
    if refused.why in _OF_ACCOUNT:
        raise refused
    return without_echoes(refused.reason)


def _reader(stats_request: StatsRequest) -> Callable[[bytes], StatsAnswer | None]:
    return lambda body: analytics.read_stats(body, stats_request=stats_request)


def _active(entity: ActiveEntity, *, start: int, end: int) -> ActiveCampaign:
    """Return a campaign's activity; the whole range if X names no time."""
    begun = _time_of(entity.activity_start_time)
    ended = _time_of(entity.activity_end_time)
    return ActiveCampaign(
        campaign=entity.entity_id,
        start=start if begun is None else begun,
        end=end if ended is None else ended,
    )


def _time_of(text: str | None) -> int | None:
    read = None if text is None else moment(text, now=LATEST, path="")
    return None if isinstance(read, Fault) else read
