"""The charts of the first page: traffic and delivery times, in a time range."""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.console.account_health import listing_path
from twite.console.page import PageRequest
from twite.console.time_chart import ChartKind, ChartSeries, ChartStep, TimeChart, Unit, time_chart
from twite.console.time_range import span_query
from twite.domain.stats.tally import QUARTER, DeliveryTimes, FlowCounts, quantile
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.listing import QueryScope

QUANTILES: Final = (0.5, 0.95, 0.99)


class TimeSpan(msgspec.Struct, frozen=True):
    """A time range of the charts, and the time of each of their steps, both in milliseconds."""

    name: str
    title: str
    length: int
    each: int


SPANS: Final = (
    TimeSpan("hour", "Last hour", HOUR, MINUTE),
    TimeSpan("day", "Last 24 hours", DAY, HOUR),
    TimeSpan("week", "Last 7 days", 7 * DAY, QUARTER),
    TimeSpan("month", "Last 30 days", 30 * DAY, DAY),
)


def traffic_chart(
    request: PageRequest, scope: QueryScope, flows: Sequence[FlowCounts], steps: range
) -> TimeChart:
    """Chart what arrived and what X answered in each step: a delivery may be of an earlier one."""
    by_time = {flow.at: flow for flow in flows}
    charted = []
    for at in steps:
        flow = by_time.get(at, FlowCounts(at=at))
        charted.append(
            ChartStep(
                at=at,
                until=at + steps.step,
                values=(
                    flow.conversions,
                    flow.delivered,
                    flow.dead + flow.rejected,
                    flow.duplicate + flow.suppressed,
                ),
                url=_step_path(request, scope, at, at + steps.step),
            )
        )
    return time_chart(
        charted,
        series=[
            ChartSeries("received", "wait"),
            ChartSeries("delivered", "ok"),
            ChartSeries("refused", "bad"),
            ChartSeries("duplicate copies or suppressed", "soft"),
        ],
        kind=ChartKind.LINES,
        unit=Unit.COUNT,
        zone=request.zone,
    )


def _step_path(
    request: PageRequest, scope: QueryScope, at: int, until: int, *, state: str = ""
) -> str:
    return listing_path(
        state,
        account=request.query.first("account"),
        pixel=scope.pixel or "",
        when=span_query(at, until, request.zone),
    )


def latency_chart(
    request: PageRequest, scope: QueryScope, waits: Sequence[DeliveryTimes], steps: range
) -> TimeChart:
    by_time = {wait.at: wait.slots for wait in waits}
    return time_chart(
        [
            # Delivery times are counted at X's answer, but no list has its time. A step leads to
            # the delivered conversions that arrived in it.
            ChartStep(
                at=at,
                until=at + steps.step,
                values=tuple(quantile(by_time.get(at, {}), part) for part in QUANTILES),
                url=_step_path(request, scope, at, at + steps.step, state="delivered"),
            )
            for at in steps
        ],
        series=[ChartSeries("p50", "ok"), ChartSeries("p95", "warn"), ChartSeries("p99", "bad")],
        kind=ChartKind.LINES,
        unit=Unit.DURATION,
        zone=request.zone,
    )
