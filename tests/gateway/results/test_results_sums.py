"""From X's answers by hour or day to the report: no figure is lost, or counted on another day."""

import datetime as dt
from decimal import Decimal
from itertools import product
from random import Random
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.results.account import AdCampaign, ResultsAccount
from twite.domain.results.account_days import Granularity, blocks, days_until
from twite.domain.results.figures import FigureGroup, ResultDay
from twite.domain.results.report import ReportBasis, account_results
from twite.domain.results.sale_amounts import SaleAmountUnit
from twite.domain.results.stats_request import MOST_DAYS, MOST_JOB_DAYS, PLACEMENTS, StatsRequest
from twite.domain.times import DAY, HOUR, SECOND
from twite.gateway.results.stored_days import NewCells
from twite.x.analytics import figures_of, read_stats

# Clocks change by whole hours at 1, 2 and 3 o'clock and at midnight; one zone skipped a whole day.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Havana",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Pacific/Auckland",
]
CAMPAIGNS = ("c1", "c2")
# Around the changes of clocks of several years, in both halves of the globe.
times = st.one_of(
    st.integers(min_value=1_577_836_800_000, max_value=1_893_456_000_000),
    st.sampled_from([(2026, 3, 29), (2026, 10, 25), (2026, 11, 1), (2026, 9, 27), (2026, 3, 8)])
    .map(lambda day: int(dt.datetime(*day, tzinfo=dt.UTC).timestamp()) * SECOND)
    .flatmap(lambda at: st.integers(min_value=at, max_value=at + 12 * DAY)),
)


class TrueFigures:
    """What happened in each hour, by campaign and placement; 0 in most of them."""

    def __init__(self, draw):
        self._draw = draw
        self.entries = {}

    def at(self, campaign, placement, hour):
        """(conversions, sale amount and spend in millionths)"""
        key = campaign, placement, hour
        if key not in self.entries:
            busy = self._draw.random() < 0.2
            self.entries[key] = (
                (self._draw.randrange(4), self._draw.randrange(10**9), self._draw.randrange(10**8))
                if busy
                else (0, 0, 0)
            )
        return self.entries[key]

    def series(self, campaign, placement, limits):
        """The sums between consecutive times."""
        sums = []
        for begin, end in limits:
            hours = [self.at(campaign, placement, hour) for hour in range(begin, end, HOUR)]
            sums.append([sum(part) for part in zip(*hours, strict=True)] or [0, 0, 0])
        return [list(part) for part in zip(*sums, strict=True)]


def answered(request, days, true):
    """Return what is read of X's answer to a request."""
    if request.granularity is Granularity.HOUR:
        limits = [(at, at + HOUR) for at in range(days[0].start, days[-1].end, HOUR)]
    else:
        limits = [(day.start, day.end) for day in days]
    data = []
    for campaign in request.campaigns:
        counts, sales, spend = true.series(campaign, request.placement, limits)
        metrics = (
            {"conversion_purchases": {"metric": counts, "sale_amount": sales}}
            if request.group is FigureGroup.CONVERSIONS
            else {"billed_charge_local_micro": spend if any(spend) else None}
        )
        data.append({"id": campaign, "id_data": [{"segment": None, "metrics": metrics}]})
    body = msgspec.json.encode({"data": data, "time_series_length": len(limits)})
    answer = read_stats(body, stats_request=request)
    assert answer is not None
    return list(figures_of(answer, stats_request=request, fetched_at=days[-1].end + DAY))


@given(
    span=st.tuples(times, st.integers(min_value=1, max_value=16)),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    most=st.sampled_from([MOST_DAYS, MOST_JOB_DAYS - 1]),
    granularity=st.sampled_from(Granularity),
    seed=st.integers(min_value=0, max_value=10**6),
)
def test_sum_over_placements_hours_and_days_equals_the_whole(span, zone, most, granularity, seed):
    days, true = days_until(*span, zone), TrueFigures(Random(seed))
    hour = days[0].start
    while local_day(hour, zone) <= days[-1].day:
        for campaign, placement in product(CAMPAIGNS, PLACEMENTS):
            true.at(campaign, placement, hour)
        hour += HOUR
    stored = {day: ResultDay.of(day) for day in days}
    for block in blocks(days, most=most):
        for placement in PLACEMENTS:
            for group in FigureGroup:
                request = StatsRequest.of(
                    block, granularity, zone, campaigns=CAMPAIGNS, placement=placement, group=group
                )
                cells = NewCells(block)
                for read in answered(request, block, true):
                    assert read.unreadable == ()
                    cells.add(read)
                for day, own in cells.by_day.items():
                    stored[day] = stored[day].with_cells(own, fetched_at=day.end)
    basis = ReportBasis(
        account=ResultsAccount(
            account="a",
            zone=str(zone),
            campaigns=tuple(AdCampaign(id=each, currency="EUR") for each in CAMPAIGNS),
        ),
        unit=SaleAmountUnit.MICRO,
        cut_over=None,
    )
    report = account_results(basis, list(stored.values()))

    by_day, whole = {}, [0, 0, 0]
    for (_, _, hour), figures in true.entries.items():
        local = local_day(hour, zone)
        by_day[local] = [*map(sum, zip(by_day.get(local, [0, 0, 0]), figures, strict=True))]
        whole = [*map(sum, zip(whole, figures, strict=True))]
    assert {day.day: figures_in(day) for day in report.days} == {
        day.day: tuple(by_day.get(day.day, (0, 0, 0))) for day in days
    }
    assert figures_in(report.total) == tuple(whole)


def local_day(at, zone):
    return dt.datetime.fromtimestamp(at / SECOND, zone).date().isoformat()


def figures_in(part):
    """(attributed, sale amount and spend in millionths) of a part of the report."""
    [event] = part.events
    amounts = [Decimal(amount or 0) * 10**6 for amount in (event.sale_amount, part.spend)]
    return event.attributed, *map(int, amounts)
