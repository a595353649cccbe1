"""Alerts and forecasts, in memory."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from twite.domain.delivery import State, rank
from twite.domain.stats.backlog import BacklogHour
from twite.domain.times import HOUR

if TYPE_CHECKING:
    from twite.stores.memory.row import MemoryRow

_PENDING = (State.QUEUED, State.SENDING)


class MemoryAlerts:
    """Outlook and Alarms. `_rows` are the store's conversions, `_taken` what X took, and when."""

    def __init__(self) -> None:
        self._rows: dict[int, MemoryRow] = {}
        self._taken: list[tuple[str, int, int]] = []

    async def backlog(self) -> Sequence[BacklogHour]:
        ranked: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for row in self._rows.values():
            if row.state in _PENDING:
                place = rank(received_at=row.received_at, ambiguous_since=row.ambiguous_since)
                key = (row.entry.pixel, place // HOUR)
                ranked.setdefault(key, []).append((place, row.received_at))
        return [
            BacklogHour(
                pixel=pixel,
                hour=hour,
                deliveries=len(some),
                first=min(place for place, _ in some),
                oldest=min(received_at for _, received_at in some),
            )
            for (pixel, hour), some in sorted(ranked.items())
        ]

    def _answer_delivered(self, *, since: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        by_pixel: dict[str, list[tuple[int, int]]] = {}
        for pixel, at, many in sorted(self._taken):
            if at >= since:
                by_pixel.setdefault(pixel, []).append((at, many))
        return by_pixel
