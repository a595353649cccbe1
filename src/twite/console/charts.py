"""Bars of parts as geometry, which the macro `flow` of `templates/parts.html` draws as SVG."""

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
