"""Alerts and forecasts, in memory."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from twite.domain.alert import Alert
from twite.domain.delivery import State, rank
from twite.domain.stats.backlog import BacklogHour
from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic
from twite.domain.times import HOUR

if TYPE_CHECKING:
    from twite.stores.memory.row import MemoryRow

_PENDING = (State.QUEUED, State.SENDING)


class MemoryAlerts:
    """Outlook and Alarms. `_rows` are the store's conversions, `_taken` what X took, and when."""

    def __init__(self) -> None:
        self._rows: dict[int, MemoryRow] = {}
        self._taken: list[tuple[str, int, int]] = []
        self._alerts: dict[str, Alert] = {}
        self._hours: dict[tuple[str, int], HourlyTraffic] = {}

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

    async def alerts(self) -> Sequence[Alert]:
        return sorted(self._alerts.values(), key=lambda alert: (alert.opened_at, alert.id))

    async def keep(self, alerts: Sequence[Alert], *, gone: Sequence[str] = ()) -> None:
        self._alerts |= {alert.id: alert for alert in alerts}
        for id_ in gone:
            self._alerts.pop(id_, None)

    async def hours(self) -> Sequence[HourlyTraffic]:
        return [self._hours[key] for key in sorted(self._hours)]

    async def note(self, hours: Sequence[HourlyTraffic]) -> None:
        for noted in hours:
            self._hours[noted.source, noted.hour] = noted
            first = noted.hour - KEPT_HOURS
            for source, hour in list(self._hours):
                if source == noted.source and hour < first:
                    del self._hours[source, hour]
