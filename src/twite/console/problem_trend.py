"""How often a problem occurred on each of the last days of the viewer's zone."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

from twite.console.page import PageRequest
from twite.console.problems import ListedProblem
from twite.console.time_chart import (
    ChartKind,
    ChartSeries,
    ChartStep,
    TimeChart,
    Unit,
    time_chart,
)
from twite.console.time_range import day_start, local, span_query
from twite.domain.times import DAY

DAYS: Final = 14
_EPOCH: Final = date(1970, 1, 1)


def utc_offset(request: PageRequest) -> int:
    """Return the milliseconds by which the viewer's zone is ahead of UTC now."""
    ahead = local(request.now, request.zone).utcoffset()
    return 0 if ahead is None else round(ahead.total_seconds() * 1_000)


def last_days(request: PageRequest) -> list[int]:
    """Return the last days in the viewer's zone, as days since 1970."""
    today = (request.now + utc_offset(request)) // DAY
    return list(range(today - DAYS + 1, today + 1))


def trend_chart(
    request: PageRequest, problem: ListedProblem, path_of: Callable[[str], str]
) -> TimeChart:
    """Return the chart of the problem's `trend`, a count for each of the last days.

    `path_of` maps a time range, as the part of a URL, to the list of the problem's conversions.
    """
    days, ahead = last_days(request), utc_offset(request)
    # Days before a change of the clocks begin at midnight, too.
    starts = [
        day_start(_EPOCH + timedelta(days=day), request.zone) for day in (*days, days[-1] + 1)
    ]
    steps = [
        ChartStep(
            at=at,
            until=until,
            values=(count,),
            # As it was counted: by the offset of today, also before a change of the clocks.
            url=path_of(span_query(day * DAY - ahead, (day + 1) * DAY - ahead, request.zone)),
        )
        for day, (at, until), count in zip(days, pairwise(starts), problem.trend, strict=True)
    ]
    return time_chart(
        steps,
        series=(ChartSeries(problem.title, problem.tone),),
        kind=ChartKind.COLUMNS,
        unit=Unit.COUNT,
        zone=request.zone,
    )
