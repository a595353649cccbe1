"""X's analytics: requests for campaigns, active entities, statistics and jobs, and their answers.

Source: xdevplatform/docs, x-ads-api/analytics.mdx @28713281. [doc CM]

    statistics     at most 20 entities and 7 days in a request, without segments
    jobs           at most 90 days; at most 100 are processed at a time; at most 200 ids in a poll
    DAY            both ends at midnight in the account's time zone; the end is exclusive
    HOUR           both ends at whole hours; the hours of a day are added up
    placement      one of three: ask for all, and add

`WEB_CONVERSION` metrics are objects: the count is in `metric` [seen], beside `sale_amount`, whose
unit X does not document, and `order_quantity` [doc]. An array of counts, and the split of apps'
metrics by view and engagement, are read, too. `null` means that X serves nothing.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from twite.domain.destination import OAuthKeys
from twite.domain.results.figures import EventFigure, FigureGroup, ResultCell, added
from twite.domain.results.stats_request import MOST_POLLED, JobReport, ReadStats, StatsRequest
from twite.x.event_tags import MOST_LISTED
from twite.x.inquiry import Inquiry, Question, decoded
from twite.x.oauth1 import sign

# Requests for statistics in 15 minutes, for each user. [doc CM]
STATS_RATE: Final = 250
TOO_MANY_JOBS: Final = "TOO_MANY_JOBS"  # [seen GH]
GROUPS: Final[Mapping[FigureGroup, str]] = {
    # X advises to ask for conversions apart from other metrics. [doc CM]
    FigureGroup.CONVERSIONS: "WEB_CONVERSION",
    FigureGroup.SPEND: "BILLING",
}
SPEND: Final = "billed_charge_local_micro"
# The metric of each event type. [doc CM] Those of the last two types are a guess: see EVENT_TYPES.
METRICS: Final[Mapping[str, str]] = {
    "conversion_purchases": "PURCHASE",
    "conversion_sign_ups": "SIGN_UP",
    "conversion_site_visits": "SITE_VISIT",
    "conversion_downloads": "DOWNLOAD",
    "conversion_custom": "CUSTOM",
    "conversion_add_to_carts": "ADD_TO_CART",
    "conversion_checkouts_initiated": "CHECKOUT_INITIATED",
    "conversion_content_views": "CONTENT_VIEW",
    "conversion_payment_info_additions": "ADDED_PAYMENT_INFO",
    "conversion_add_to_wishlists": "ADD_TO_WISHLIST",
    "conversion_searches": "SEARCH",
    "conversion_landing_page_views": "LANDING_PAGE_VIEW",
    "conversion_subscriptions": "SUBSCRIBE",
}
# Other names of event types: X's metrics say subscription, its event tags SUBSCRIBE. [guess]
EVENT_TYPES: Final[Mapping[str, str]] = {"SUBSCRIPTION": "SUBSCRIBE"}

# The counts of metrics of apps, without assisted ones. [doc CM]
_SPLIT: Final = ("post_view", "post_engagement")
_SUCCESS: Final = "SUCCESS"
_FAILED: Final = "FAILED"
_GZIP: Final = b"\x1f\x8b"
LONGEST_FILE: Final = 32 << 20
_NO_ENTITY: Final = "data: not an object with id and id_data"
# A million millions, in millionths.
_HIGHEST: Final = 10**18
_NUMBERS: Final = frozenset({int, float, type(None)})


class ActiveEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign whose figures changed. X's texts say for which time; the end is exclusive."""

    entity_id: str
    activity_start_time: str | None = None
    activity_end_time: str | None = None


class AnalyticsQuestions(msgspec.Struct, frozen=True, kw_only=True):
    """Builds the requests of one account."""

    version: str
    account: str

    def details(self) -> Question:
        return Question(method="GET", path=self._of_account)

    def campaigns(self, cursor: str | None = None) -> Question:
        return self._listed("campaigns", cursor)

    def line_items(self, cursor: str | None = None) -> Question:
        return self._listed("line_items", cursor)

    def funding_instruments(self, cursor: str | None = None) -> Question:
        return self._listed("funding_instruments", cursor)

    def active_campaigns(self, *, start: str, end: str) -> Question:
        """Build the request for the campaigns whose figures changed in a range of whole hours."""
        wanted = {"entity": "CAMPAIGN", "start_time": start, "end_time": end}
        return Question(method="GET", path=f"{self._stats}/active_entities?{_query(wanted)}")

    def stats(self, request: StatsRequest) -> Question:
        return Question(method="GET", path=f"{self._stats}?{_query(_wanted(request))}")

    def new_job(self, request: StatsRequest) -> Question:
        return Question(method="POST", path=f"{self._jobs}?{_query(_wanted(request))}")

    def jobs(self, ids: Iterable[str]) -> Question:
        wanted = {"job_ids": ",".join(ids), "count": str(MOST_POLLED)}
        return Question(method="GET", path=f"{self._jobs}?{_query(wanted)}")

    @property
    def _of_account(self) -> str:
        return f"/{self.version}/accounts/{quote(self.account, safe='')}"

    @property
    def _stats(self) -> str:
        return f"/{self.version}/stats/accounts/{quote(self.account, safe='')}"

    @property
    def _jobs(self) -> str:
        return f"/{self.version}/stats/jobs/accounts/{quote(self.account, safe='')}"

    def _listed(self, what: str, cursor: str | None) -> Question:
        wanted = {"count": str(MOST_LISTED)} | ({} if cursor is None else {"cursor": cursor})
        return Question(method="GET", path=f"{self._of_account}/{what}?{_query(wanted)}")


def is_file_url(url: str, *, api_url: str) -> bool:
    """Return whether a job's file may be requested from this URL: it has TLS, or is X's own."""
    parts, own = urlsplit(url), urlsplit(api_url)
    is_own = (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
    return (is_own or parts.scheme == "https") and bool(parts.hostname) and "@" not in parts.netloc


def file_request(url: str, keys: OAuthKeys | None, *, nonce: str, timestamp: int) -> Inquiry:
    """Build the request for a job's file, signed if there are keys.

    A signature is valid only for this URL, and only once.
    """
    if keys is None:
        return Inquiry(method="GET", url=url, headers={})
    signature = sign(method="GET", url=url, keys=keys, nonce=nonce, timestamp=timestamp)
    return Inquiry(method="GET", url=url, headers={"Authorization": signature})


class _Active(msgspec.Struct, frozen=True):
    data: tuple[ActiveEntity, ...]


class _WrittenJob(msgspec.Struct, frozen=True, kw_only=True):
    id_str: str | None = None
    id: int | str | None = None
    status: str = ""
    url: str | None = None
    expires_at: str | None = None

    def report(self) -> JobReport:
        return JobReport(
            id=self.id_str or str(self.id or ""),
            is_done=self.status == _SUCCESS,
            is_failed=self.status == _FAILED,
            url=self.url,
            expires_at=self.expires_at,
        )


class _Job(msgspec.Struct, frozen=True):
    job: _WrittenJob = msgspec.field(name="data")


class _Jobs(msgspec.Struct, frozen=True):
    data: tuple[_WrittenJob, ...]


def read_active(body: bytes) -> tuple[ActiveEntity, ...] | None:
    read = decoded(body, _Active)
    return None if read is None else read.data


def read_job(body: bytes) -> JobReport | None:
    read = decoded(body, _Job)
    return None if read is None else read.job.report()


def read_jobs(body: bytes) -> tuple[JobReport, ...] | None:
    read = decoded(body, _Jobs)
    return None if read is None else tuple(job.report() for job in read.data)


def unzipped(body: bytes) -> bytes | None:
    """Return the content of a job's file; None if it is damaged, or too long.

    An HTTP client may have decompressed it already.
    """
    if not body.startswith(_GZIP):
        return body
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = stream.decompress(body, LONGEST_FILE)
    except (zlib.error, gzip.BadGzipFile):
        return None
    return content if stream.eof else None


class _IdData(msgspec.Struct, frozen=True, kw_only=True):
    segment: Any = None
    metrics: dict[str, Any] | None = None


class _EntityStats(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    id_data: tuple[_IdData, ...] = ()


class StatsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """X's statistics. Each entity is decoded alone: all numbers at once would take long."""

    data: tuple[msgspec.Raw, ...]
    time_series_length: int | None = None


def read_stats(body: bytes, *, stats_request: StatsRequest) -> StatsAnswer | None:
    """Read an answer with the statistics of a request; None for an unexpected body."""
    read = decoded(body, StatsAnswer)
    if read is None or read.time_series_length not in {None, sum(stats_request.lengths)}:
        return None
    return read


def figures_of(
    answer: StatsAnswer, *, stats_request: StatsRequest, fetched_at: int
) -> Iterator[ReadStats]:
    """Yield the figures of each entity of an answer.

    What has another form than expected is left out, and named in `unreadable`. So is a campaign
    that was asked for and is not in the answer: its cells are marked.
    """
    group, lengths = stats_request.group, stats_request.lengths
    asked = dict.fromkeys(stats_request.campaigns)
    for raw in answer.data:
        entity = decoded(raw, _EntityStats)
        if entity is None:
            yield ReadStats(cells=[[] for _ in lengths], unreadable=(_NO_ENTITY,))
            continue
        asked.pop(entity.id, None)
        unreadable: dict[str, None] = {}
        # Segmented figures do not add up to the others. [doc CM]
        metrics = next((part.metrics for part in entity.id_data if part.segment is None), None)
        series = _MetricSeries(entity.id, metrics or {}, lengths, unreadable)
        events = series.events() if group is FigureGroup.CONVERSIONS else [{} for _ in lengths]
        spend = series.spend() if group is FigureGroup.SPEND else [None for _ in lengths]
        yield ReadStats(
            cells=[
                [
                    ResultCell(
                        campaign=entity.id,
                        placement=stats_request.placement,
                        group=group,
                        fetched_at=fetched_at,
                        events=own,
                        spend_micro=spent,
                    )
                ]
                for own, spent in zip(events, spend, strict=True)
            ],
            unreadable=tuple(unreadable),
        )
    for campaign in asked:
        omitted = ResultCell(
            campaign=campaign,
            placement=stats_request.placement,
            group=group,
            fetched_at=fetched_at,
            is_omitted=True,
        )
        yield ReadStats(
            cells=[[omitted] for _ in lengths],
            unreadable=(f"campaign {campaign[:64]}: X omitted its figures",),
        )


class _MetricSeries:
    """The metrics of one entity by day; what cannot be read is added to `unreadable`."""

    def __init__(
        self,
        campaign: str,
        metrics: Mapping[str, Any],
        lengths: Sequence[int],
        unreadable: dict[str, None],
    ) -> None:
        self._campaign = campaign
        self._metrics = metrics
        self._days = len(lengths)
        self._length = sum(lengths)
        self._limits = list(pairwise([0, *accumulate(lengths)]))
        self._unreadable = unreadable

    def events(self) -> list[dict[str, EventFigure]]:
        found: list[dict[str, EventFigure]] = [{} for _ in range(self._days)]
        for name, value in self._metrics.items():
            event_type = METRICS.get(name)
            if event_type is None:
                if name.startswith("conversion_"):
                    self._unreadable[f"{name[:64]}: an unknown metric"] = None
                continue
            if value is None:
                continue
            if not isinstance(value, dict):
                value = {"metric": value}  # noqa: PLW2901  the count alone
            counts = self._counts(name, value)
            amounts = self._numbers(f"{name}.sale_amount", value.get("sale_amount"))
            orders = self._numbers(f"{name}.order_quantity", value.get("order_quantity"))
            for day, events in enumerate(found):
                figure = EventFigure(
                    count=_whole(counts[day]),
                    sale_amount=amounts[day],
                    order_quantity=_whole(orders[day]),
                )
                if figure != EventFigure():
                    events[event_type] = figure
        return found

    def _counts(self, name: str, value: Mapping[str, Any]) -> list[int | float | None]:
        """Return the counts; X documents another form for apps, and none for the web."""
        if "metric" in value or not any(part in value for part in _SPLIT):
            return self._numbers(f"{name}.metric", value.get("metric"))
        parts = [self._numbers(f"{name}.{part}", value.get(part)) for part in _SPLIT]
        return [added(pair) for pair in zip(*parts, strict=True)]

    def spend(self) -> list[int | None]:
        return [_whole(each) for each in self._numbers(SPEND, self._metrics.get(SPEND))]

    def _numbers(self, name: str, value: object) -> list[int | float | None]:
        """Return the sum of each day; None for a day without any figure."""
        if value is None:
            return [None] * self._days
        form = ""
        if not isinstance(value, list) or len(value) != self._length:
            form = f"not an array of {self._length} numbers"
        elif not _NUMBERS.issuperset(map(type, value)):
            form = "not numbers"
        if form or not isinstance(value, list):
            self._unreadable[f"{name}: {form}"] = None
            return [None] * self._days
        known = [figure for figure in value if figure is not None]
        lowest = -_HIGHEST if name == SPEND else 0  # X may correct what it has charged
        if known and not (lowest <= min(known) and max(known) <= _HIGHEST):
            return self._possible(name, value, lowest)
        if self._length == self._days:
            return value
        if None not in value:  # usual, and several times as fast
            return [sum(value[begin:end]) for begin, end in self._limits]
        return [added(value[begin:end]) for begin, end in self._limits]

    def _possible(
        self, name: str, value: Sequence[int | float | None], lowest: int
    ) -> list[int | float | None]:
        """Return the sums of days without an absurd number; None for the others."""
        absurd = {each for each in value if each is not None and not lowest <= each <= _HIGHEST}
        place = f"campaign {self._campaign[:64]}: {name}"
        self._unreadable[f"{place}: {str(min(absurd))[:24]} is no possible figure"] = None
        days = [value[begin:end] for begin, end in self._limits]
        return [added(own) if absurd.isdisjoint(own) else None for own in days]


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)


def _wanted(request: StatsRequest) -> dict[str, str]:
    return {
        "entity": "CAMPAIGN",
        "entity_ids": ",".join(request.campaigns),
        "start_time": request.start,
        "end_time": request.end,
        "granularity": request.granularity.value,
        "placement": request.placement,
        "metric_groups": GROUPS[request.group],
    }


def _query(pairs: Mapping[str, str]) -> str:
    # A space is %20 in X's signatures, never a plus. [doc OA]
    return urlencode(pairs, quote_via=quote)
