"""Small charts as geometry: bars of parts, and lines without axes, which templates draw as SVG."""

from collections.abc import Sequence

import msgspec


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
