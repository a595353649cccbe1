"""Charts as geometry: numbers become coordinates, which templates draw as SVG."""

from collections.abc import Sequence
from typing import Final

import msgspec

WIDTH: Final = 720.0
HEIGHT: Final = 150.0
_GAP: Final = 0.28  # the share of a column's width
_LEAST: Final = 1.5  # the smallest visible height
_LABELS: Final = 6


class BarSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a column, y downward."""

    tone: str
    y: float
    height: float


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A column: the counts of one time step. `title` describes it in words."""

    x: float
    width: float
    blocks: tuple[BarSegment, ...]
    title: str


class AxisLabel(msgspec.Struct, frozen=True, kw_only=True):
    x: float
    text: str


class BarChart(msgspec.Struct, frozen=True, kw_only=True):
    """A bar chart; `most` is the count of its highest column."""

    columns: tuple[Bar, ...]
    labels: tuple[AxisLabel, ...]
    most: int


def columns(steps: Sequence[tuple[str, str, Sequence[tuple[str, int]]]]) -> BarChart:
    """Lay out a column for each step: (name, title, ((tone, count) of each segment, upward))."""
    most = max((sum(count for _, count in parts) for _, _, parts in steps), default=0)
    place = WIDTH / max(1, len(steps))
    width = place * (1 - _GAP)
    made = []
    for index, (_, title, parts) in enumerate(steps):
        blocks, y = [], HEIGHT
        for tone, count in parts:
            if count <= 0:
                continue
            height = max(_LEAST, HEIGHT * count / most)
            y -= height
            blocks.append(BarSegment(tone=tone, y=round(max(0.0, y), 2), height=round(height, 2)))
        made.append(
            Bar(
                x=round(index * place + (place - width) / 2, 2),
                width=round(width, 2),
                blocks=tuple(blocks),
                title=title,
            )
        )
    every = max(1, -(-len(steps) // _LABELS))
    labels = tuple(
        AxisLabel(x=round(index * place + place / 2, 2), text=name)
        for index, (name, _, _) in enumerate(steps)
        if index % every == 0
    )
    return BarChart(columns=tuple(made), labels=labels, most=most)


class LineSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment of a horizontal bar, in the bar's units."""

    name: str
    value: int
    tone: str
    at: float
    width: float


def segments(
    parts: Sequence[tuple[str, int, str]], *, width: float, least: float = 2
) -> list[LineSegment]:
    """Divide a bar in proportion to (name, value, tone).

    Nonzero segments are at least `least` wide.
    """
    there = [part for part in parts if part[1] > 0]
    whole = sum(value for _, value, _ in there)
    room = width - least * len(there)
    made, at = [], 0.0
    for name, value, tone in there:
        wide = round(least + room * value / whole, 2)
        made.append(LineSegment(name=name, value=value, tone=tone, at=round(at, 2), width=wide))
        at += wide
    return made


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A point of a line chart with its value; y points downward."""

    x: float
    y: float
    value: float


def line(
    values: Sequence[float], *, width: float, height: float, most: float | None = None
) -> list[Point]:
    """Lay out values from left to right. The largest value, or `most`, is at the top."""
    top = max([*values, 0.0]) if most is None else most
    step = width / max(1, len(values) - 1)
    return [
        Point(
            x=round(index * step, 2),
            y=round(height - (height * min(value, top) / top if top else 0), 2),
            value=value,
        )
        for index, value in enumerate(values)
    ]


def path(points: Sequence[Point]) -> str:
    return " ".join(
        f"{'L' if index else 'M'}{point.x:g} {point.y:g}" for index, point in enumerate(points)
    )
