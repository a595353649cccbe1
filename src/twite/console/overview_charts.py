"""The charts of the first page: traffic and delivery times, in a time range."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from twite.console.account_health import listing_path
from twite.console.page import PageRequest
from twite.console.time_chart import ChartKind, ChartSeries, ChartStep, TimeChart, Unit, time_chart
from twite.console.time_range import span_query
from twite.domain.stats.tally import QUARTER, DeliveryTimes, FlowCounts, quantile, together
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.listing import QueryScope

QUANTILES: Final = (0.5, 0.95, 0.99)


class TimeSpan(msgspec.Struct, frozen=True):
    """A time range of the charts, and the time of each of their steps, both in milliseconds.

    Each has about 30 steps, so that a finger can hit one on a phone. `counted` is the time of a
    tally.
    """

    name: str
    title: str
    length: int
    each: int
    counted: int


SPANS: Final = (
    TimeSpan("hour", "Last hour", HOUR, 2 * MINUTE, MINUTE),
    TimeSpan("day", "Last 24 hours", DAY, HOUR, HOUR),
    TimeSpan("week", "Last 7 days", 7 * DAY, QUARTER, QUARTER),
    TimeSpan("month", "Last 30 days", 30 * DAY, DAY, DAY),
)

Tally = TypeVar("Tally", FlowCounts, DeliveryTimes)


def traffic_chart(
    request: PageRequest, scope: QueryScope, flows: Sequence[FlowCounts], steps: range
) -> TimeChart:
    """Chart what arrived and what X answered in each step: a delivery may be of an earlier one."""
    charted = []
    for at, counted in _by_step(flows, steps):
        values = (
            sum(flow.conversions for flow in counted),
            sum(flow.delivered for flow in counted),
            sum(flow.dead + flow.rejected for flow in counted),
            sum(flow.duplicate + flow.suppressed for flow in counted),
        )
        url = _step_path(request, scope, at, at + steps.step)
        charted.append(ChartStep(at=at, until=at + steps.step, values=values, url=url))
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


def _by_step(tallies: Iterable[Tally], steps: range) -> Iterable[tuple[int, Sequence[Tally]]]:
    """Return the beginning of each step, and its tallies."""
    found: dict[int, list[Tally]] = {at: [] for at in steps}
    for tally in tallies:
        at = tally.at - (tally.at - steps.start) % steps.step
        if at in found:
            found[at].append(tally)
    return found.items()


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
    slots = {at: together(counted) for at, counted in _by_step(waits, steps)}
    return time_chart(
        [
            # Delivery times are counted at X's answer, but no list has its time. A step leads to
            # the delivered conversions that arrived in it.
            ChartStep(
                at=at,
                until=at + steps.step,
                values=tuple(quantile(slots[at], part) for part in QUANTILES),
                url=_step_path(request, scope, at, at + steps.step, state="delivered"),
            )
            for at in steps
        ],
        series=[ChartSeries("p50", "ok"), ChartSeries("p95", "warn"), ChartSeries("p99", "bad")],
        kind=ChartKind.LINES,
        unit=Unit.DURATION,
        zone=request.zone,
    )
