"""Replay and discard of dead and held deliveries, in memory."""

from collections.abc import Collection, Sequence

from twite.domain.delivery import State, Trigger
from twite.domain.history import Rival
from twite.domain.people.users import AuditEvent
from twite.stores.memory.directory import MemoryDirectory
from twite.stores.memory.row import MemoryRow, bring_back, meant, rest

_RESTING = (State.DEAD, State.HELD)


class MemoryOperations:
    """The Desk. `_rows` are the store's conversions."""

    people: MemoryDirectory
    _rows: dict[int, MemoryRow]
    _counted: dict[tuple[str, str], dict[str, int]]

    async def replay(
        self,
        deliveries: Sequence[int],
        *,
        now: int,
        sure: Collection[int] = (),
        deed: AuditEvent | None = None,
    ) -> int:
        await self._noted(deed)
        rows = [
            row for row in self._at_rest(deliveries) if row.id in sure or self._rival(row) is None
        ]
        for row in rows:
            bring_back(row, now=now, is_sure=row.id in sure)
        return len(rows)

    async def discard(
        self, deliveries: Sequence[int], *, now: int, note: str, deed: AuditEvent | None = None
    ) -> int:
        await self._noted(deed)
        rows = self._at_rest(deliveries)
        for row in rows:
            rest(row, Trigger.DISCARDED, reason=note, at=now)
            self._counted[row.source, row.entry.pixel]["suppressed"] += 1
        return len(rows)

    def _rival(self, row: MemoryRow) -> Rival | None:
        raise NotImplementedError

    async def _noted(self, deed: AuditEvent | None) -> None:
        if deed is not None:
            await self.people.note(deed)

    def _at_rest(self, deliveries: Sequence[int]) -> list[MemoryRow]:
        return [row for row in meant(self._rows, set(deliveries)) if row.state in _RESTING]
