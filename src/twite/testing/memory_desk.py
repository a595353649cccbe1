"""What a person does to deliveries that are dead or held, in memory."""

from collections.abc import Collection, Sequence

from twite.domain.account import Rival
from twite.domain.delivery import State, Trigger
from twite.domain.people import Deed
from twite.testing.memory_people import MemoryPeople
from twite.testing.memory_row import Row, bring_back, meant, rest

_RESTING = (State.DEAD, State.HELD)


class MemoryDesk:
    """The Desk. `_rows` are the store's conversions."""

    people: MemoryPeople
    _rows: dict[int, Row]
    _counted: dict[tuple[str, str], dict[str, int]]

    async def replay(
        self,
        deliveries: Sequence[int],
        *,
        now: int,
        sure: Collection[int] = (),
        deed: Deed | None = None,
    ) -> int:
        await self._noted(deed)
        rows = [
            row for row in self._at_rest(deliveries) if row.id in sure or self._rival(row) is None
        ]
        for row in rows:
            bring_back(row, now=now, is_sure=row.id in sure)
        return len(rows)

    async def discard(
        self, deliveries: Sequence[int], *, now: int, note: str, deed: Deed | None = None
    ) -> int:
        await self._noted(deed)
        rows = self._at_rest(deliveries)
        for row in rows:
            rest(row, Trigger.DISCARDED, reason=note, at=now)
            self._counted[row.source, row.entry.pixel]["suppressed"] += 1
        return len(rows)

    def _rival(self, row: Row) -> Rival | None:
        raise NotImplementedError

    async def _noted(self, deed: Deed | None) -> None:
        if deed is not None:
            await self.people.note(deed)

    def _at_rest(self, deliveries: Sequence[int]) -> list[Row]:
        return [row for row in meant(self._rows, set(deliveries)) if row.state in _RESTING]
