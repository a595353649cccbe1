"""Charts over time as geometry, which the macro of `templates/chart.html` draws as SVG.

A page gives the steps of time, each with one value for each series:

    chart = time_chart(
        [ChartStep(at=at, until=at + HOUR, values=(12, 3), url="/console/conversions?…"), …],
        series=[ChartSeries("delivered", "ok"), ChartSeries("refused", "bad")],
        kind=ChartKind.COLUMNS,  # stacked counts; LINES for quantiles and shares
        unit=Unit.COUNT,
        zone=request.zone,
    )

Horizontal positions are percentages and vertical ones pixels, so that text keeps its size on each
screen.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from enum import StrEnum
from functools import partial
from math import ceil
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from markupsafe import Markup, escape

from twite.console.render import lasting, number, percent
from twite.console.table_view import Column
from twite.console.time_range import day_name, local
from twite.domain.times import DAY, HOUR, MINUTE, SECOND

HEIGHT: Final = 200  # of the plot, in pixels
_CHARACTER: Final = 7  # the most that a character of a label needs, on average
_LEAST: Final = 2.0  # the smallest visible height of a column's part
_GAP: Final = 0.24  # the share of a column's place between columns
_MOST_TICKS: Final = 5
_MOST_LABELS: Final = 8
_A_MONDAY: Final = datetime(2024, 1, 1)  # noqa: DTZ001 a time of the local clock
_ROUND: Final = (1, 2, 5)
_DURATIONS: Final = (
    *(power * digit for power in (1, 10, 100) for digit in _ROUND),
    *(SECOND * part for part in (1, 2, 5, 10, 15, 30)),
    *(MINUTE * part for part in (1, 2, 5, 10, 15, 30)),
    *(HOUR * part for part in (1, 2, 3, 6, 12)),
    *(DAY * part for part in (1, 2, 5, 10, 20, 50)),
)
_EVERY: Final = (
    *(MINUTE * part for part in (5, 10, 15, 30)),
    *(HOUR * part for part in (1, 2, 3, 4, 6, 12)),
    *(DAY * part for part in (1, 2, 5, 7, 14, 28)),
)


class Unit(StrEnum):
    """What the values are: whole numbers, milliseconds, or shares from 0 to 1."""

    COUNT = "count"
    DURATION = "duration"
    SHARE = "share"


class ChartKind(StrEnum):
    COLUMNS = "columns"
    LINES = "lines"


class ChartSeries(msgspec.Struct, frozen=True):
    """A series with its colour: ok, warn, bad, wait, soft, or none."""

    name: str
    tone: str


class ChartStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of time, half-open (ms). Its values are in the order of the series.

    `url` is where its column or points lead, such as the conversions of this time. `turn` names
    what begins with it, which a vertical line marks.
    """

    at: int
    until: int
    values: tuple[float | None, ...]
    url: str = ""
    turn: str = ""


class ChartMark(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a column, or a point of a line, which has no height."""

    tone: str
    y: float
    height: float = 0


class PlottedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step with its marks; `text` describes it, and `cells` are its values in words.

    Percentages of the plot's width: its place (from `left`), and its column (from `x`).
    """

    left: float
    place: float
    x: float
    width: float
    middle: float
    text: str
    name: str
    url: str
    marks: tuple[ChartMark, ...]
    cells: tuple[str, ...]
    turn: str = ""


class ChartCurve(msgspec.Struct, frozen=True, kw_only=True):
    """The line of a series as SVG's path data: x is a percentage, and a gap begins anew."""

    tone: str
    path: str


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    y: float
    text: str


class TimeLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label below the plot. Narrow screens leave out the minor ones."""

    x: float
    text: str
    is_minor: bool


class TimeChart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart with its positions. `axis` names its labels: their unit, and their zone.

    `note` says that its days are not those of the viewer's zone, in which the page's times are.
    """

    series: tuple[ChartSeries, ...]
    kind: ChartKind
    steps: tuple[PlottedStep, ...]
    curves: tuple[ChartCurve, ...]
    ticks: tuple[Tick, ...]
    labels: tuple[TimeLabel, ...]
    axis: str
    note: str = ""
    height: int = HEIGHT

    @property
    def margin(self) -> int:
        """The width that the longest label of a tick needs, in pixels."""
        return _CHARACTER * max(len(tick.text) for tick in self.ticks)

    @property
    def drawn_steps(self) -> Markup:
        """The SVG of all steps. A template would take three times as long."""
        last = len(self.steps) - 1
        steps = (
            _drawn(step, self.kind, is_stop=index == last) for index, step in enumerate(self.steps)
        )
        return Markup("".join(steps))  # noqa: S704 texts are escaped

    @property
    def columns(self) -> list[Column]:
        """The columns of the table with the same numbers and links."""
        values = [
            Column(each.name.capitalize(), partial(_cell, index=index), number=True)
            for index, each in enumerate(self.series)
        ]
        return [Column(self.axis, _time_cell, main=True, kind="nowrap"), *values]


def _drawn(step: PlottedStep, kind: ChartKind, *, is_stop: bool) -> str:
    """Return a step as SVG: a link with its marks. The Tab key stops only at one step."""
    marks = "".join(
        f'<rect class="tone-{mark.tone}" x="{step.x:g}%" y="{mark.y:g}" '
        f'width="{step.width:g}%" height="{mark.height:g}"/>'
        if kind is ChartKind.COLUMNS
        else f'<circle class="tone-{mark.tone}" cx="{step.middle:g}%" cy="{mark.y:g}"/>'
        for mark in step.marks
    )
    left = f"{step.left:g}%"
    hit = f'<rect class="hit" x="{left}" width="{step.place:g}%" height="{HEIGHT}"/>'
    turn = f'<line class="turn" x1="{left}" x2="{left}" y2="{HEIGHT}"/>' if step.turn else ""
    # The title names the link, too.
    content = f"<title>{escape(step.text)}</title>{hit}{turn}{marks}"
    if not step.url:
        return f'<g class="step">{content}</g>'
    stop = "" if is_stop else ' tabindex="-1"'
    return f'<a href="{escape(step.url)}" class="step"{stop}>{content}</a>'


def _cell(step: PlottedStep, *, index: int) -> str:
    return step.cells[index]


def _time_cell(step: PlottedStep) -> str:
    return Markup('<a href="{}">{}</a>').format(step.url, step.name) if step.url else step.name


class _Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What all steps of a chart share. `top` is the value at the upper edge."""

    series: tuple[ChartSeries, ...]
    kind: ChartKind
    unit: Unit
    zone: ZoneInfo
    top: float

    def y(self, value: float) -> float:
        return round(HEIGHT - HEIGHT * min(value, self.top) / self.top, 1)

    def text(self, value: float | None) -> str:
        if value is None:
            return number(None)
        if self.unit is Unit.DURATION:
            return lasting(round(value))
        return percent(value, 1) if self.unit is Unit.SHARE else number(round(value))


def time_chart(
    steps: Sequence[ChartStep],
    *,
    series: Sequence[ChartSeries],
    kind: ChartKind,
    unit: Unit,
    zone: ZoneInfo,
) -> TimeChart:
    """Lay out a chart. Days that are counted by UTC are named by UTC."""
    is_by_day = any(step.until - step.at >= DAY for step in steps)
    note = ""
    if is_by_day and any(local(step.at, zone).time() != time() for step in steps):
        note = f"A day begins at midnight in UTC. The times on this page are in {zone.key}."
        zone = ZoneInfo("UTC")
    ticks = _ticks(_highest(steps, kind), unit)
    scale = _Scale(series=tuple(series), kind=kind, unit=unit, zone=zone, top=ticks[-1])
    plotted = tuple(_plotted(step, index, len(steps), scale) for index, step in enumerate(steps))
    return TimeChart(
        series=scale.series,
        kind=kind,
        steps=plotted,
        curves=tuple(_curves(plotted, series)) if kind is ChartKind.LINES else (),
        ticks=tuple(Tick(y=scale.y(tick), text=scale.text(tick)) for tick in ticks),
        labels=tuple(_labels(steps, plotted, zone)),
        axis=f"{'Day' if is_by_day else 'Time'}, {zone.key}",
        note=note,
    )


def _highest(steps: Iterable[ChartStep], kind: ChartKind) -> float:
    whole = sum if kind is ChartKind.COLUMNS else max
    return max((whole([0, *filter(None, step.values)]) for step in steps), default=0)


def _ticks(highest: float, unit: Unit) -> list[float]:
    """Return at most five round numbers from 0 up to the highest value or above it."""
    if unit is Unit.SHARE:
        return [0, 0.25, 0.5, 0.75, 1]
    rounds = _DURATIONS if unit is Unit.DURATION else _counts(highest)
    most = _MOST_TICKS - 1
    step = next((each for each in rounds if highest <= each * most), ceil(highest / most))
    return [step * index for index in range(max(1, ceil(highest / step)) + 1)]


def _counts(highest: float) -> list[int]:
    powers = range(len(str(int(highest))) + 1)
    return [digit * 10**power for power in powers for digit in _ROUND]


def _plotted(step: ChartStep, index: int, steps: int, scale: _Scale) -> PlottedStep:
    place = 100 / steps
    name = _name(step, scale.zone)
    if step.turn:
        name = f"{name} ({step.turn})"
    cells = tuple(scale.text(value) for value in step.values)
    words = [f"{cell} {each.name}" for cell, each in zip(cells, scale.series, strict=True)]
    marks = _blocks if scale.kind is ChartKind.COLUMNS else _points
    return PlottedStep(
        left=round(place * index, 2),
        place=round(place, 2),
        x=round(place * (index + _GAP / 2), 2),
        width=round(place * (1 - _GAP), 2),
        middle=round(place * (index + 0.5), 2),
        text=f"{name}: {', '.join(words)}",
        name=name,
        url=step.url,
        marks=tuple(marks(step.values, scale)),
        cells=cells,
        turn=step.turn,
    )


def _blocks(values: Sequence[float | None], scale: _Scale) -> Iterable[ChartMark]:
    y = float(HEIGHT)
    for value, each in zip(values, scale.series, strict=True):
        if value and value > 0:
            height = max(_LEAST, HEIGHT * value / scale.top)
            y = max(0.0, y - height)
            yield ChartMark(tone=each.tone, y=round(y, 1), height=round(height, 1))


def _points(values: Sequence[float | None], scale: _Scale) -> Iterable[ChartMark]:
    for value, each in zip(values, scale.series, strict=True):
        if value is not None:
            yield ChartMark(tone=each.tone, y=scale.y(value))


def _curves(plotted: Sequence[PlottedStep], series: Iterable[ChartSeries]) -> Iterable[ChartCurve]:
    """Connect the points of neighbouring steps. A step without a value leaves a gap."""
    for each in series:
        path, pen = [], "M"
        for step in plotted:
            y = next((mark.y for mark in step.marks if mark.tone == each.tone), None)
            if y is not None:
                path.append(f"{pen}{step.middle:g} {y:g}")
            pen = "M" if y is None else "L"
        yield ChartCurve(tone=each.tone, path="".join(path))


def _labels(
    steps: Sequence[ChartStep], plotted: Sequence[PlottedStep], zone: ZoneInfo
) -> Iterable[TimeLabel]:
    """Label the steps with a round time of the clock: 9:00, midnight, or a Monday."""
    if not steps:
        return
    length = steps[-1].until - steps[0].at
    every = next((each for each in _EVERY if length <= each * _MOST_LABELS), length)
    is_minor = False
    for step, place in zip(steps, plotted, strict=True):
        # By the clock, a day of 25 hours has 24: it does not reach the next midnight.
        begin, end = (local(at, zone).replace(tzinfo=None) for at in (step.at, step.until))
        round_time = begin + -(begin - _A_MONDAY) % timedelta(milliseconds=every)
        if round_time < end:
            is_day = every >= DAY or round_time.time() == time()
            text = day_name(round_time.date()) if is_day else f"{round_time:%H:%M}"
            yield TimeLabel(x=place.middle, text=text, is_minor=is_minor)
            is_minor = not is_minor


def _name(step: ChartStep, zone: ZoneInfo) -> str:
    begin, end = local(step.at, zone), local(step.until, zone)
    day = day_name(begin.date())
    if begin.time() == end.time() == time():
        return day
    return f"{day}, {begin:%H:%M} to {end:%H:%M}"
