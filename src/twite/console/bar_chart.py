"""Charts of time as geometry: columns that stand beside each other, and lines above them."""

from collections.abc import Sequence
from typing import Final

import msgspec

WIDTH: Final = 720.0
HEIGHT: Final = 150.0
_GAP: Final = 0.28  # of a column's place
_LEAST: Final = 1.5  # what is there can be seen
_LABELS: Final = 6


class BarSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a column, y downward."""

    tone: str
    y: float
    height: float


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What came in one step of time; `title` tells it in words."""

    x: float
    width: float
    blocks: tuple[BarSegment, ...]
    title: str


class AxisLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A word below the axis."""

    x: float
    text: str


class BarChart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart; `most` is what its highest column counts."""

    columns: tuple[Bar, ...]
    labels: tuple[AxisLabel, ...]
    most: int


def columns(steps: Sequence[tuple[str, str, Sequence[tuple[str, int]]]]) -> BarChart:
    """Lay columns out: each (name, title, its parts from below as (tone, count))."""
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
