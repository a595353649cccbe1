"""Rate limit windows, clock record and deliveries in doubt, in memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twite.domain.delivery import State, Trigger, after
from twite.gateway.ports.state import ClockRecord
from twite.stores.memory.row import rest

if TYPE_CHECKING:
    from twite.stores.memory.row import MemoryRow


class MemoryLimits:
    """Limits and Doubts. `_rows` are the store's conversions, `_tried` all attempts."""

    def __init__(self) -> None:
        self._rows: dict[int, MemoryRow] = {}
        self._last_id = 0
        self._tried: list[tuple[str, int, int]] = []

    def _clock_record(self, ahead: int | None) -> ClockRecord:
        tried = max((at for _, at, _ in self._tried), default=0)
        last = self._rows.get(self._last_id)
        received = 0 if last is None else last.received_at
        return ClockRecord(
            latest=max(tried, received),
            last=max(self._tried[-1][1] if self._tried else 0, received),
            ahead=ahead,
        )

    async def doubt(self, deliveries: Sequence[int], *, reason: str, now: int) -> int:
        rows = [
            row
            for row in [self._rows[id_] for id_ in set(deliveries) if id_ in self._rows]
            if row.state is State.DEAD
        ]
        for row in rows:
            rest(row, Trigger.HELD, reason=reason, at=now)
        return len(rows)

    async def recall(self, *, pixel: str, event: str, reason: str, now: int) -> int:
        rows = [
            row
            for row in self._rows.values()
            if row.state is State.HELD
            and (row.entry.pixel, row.entry.event) == (pixel, event)
            and (row.reason or "").startswith(reason)
            and row.replayed_at is None
        ]
        for row in rows:
            row.state = after(row.state, Trigger.RECALLED)
            row.reason = row.due_at = None
            row.replayed_at = now
        return len(rows)
