"""Replay and discard of dead and held deliveries, in memory."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from twite.domain.conversion import dedup_key
from twite.domain.delivery import State, Trigger, after
from twite.domain.history import History, Rival
from twite.domain.people.users import AuditEvent
from twite.gateway.ports.outbox import (
    Discard,
    EditBodies,
    EditedBody,
    HoldRejected,
    Move,
    MoveResult,
    Recall,
    Replay,
)
from twite.stores.memory.directory import MemoryDirectory
from twite.stores.memory.row import MemoryRow, bring_back, meant, rest

_RESTING = (State.DEAD, State.HELD)


class MemoryOperations:
    """Implements Moves. `_rows` are the store's conversions."""

    people: MemoryDirectory
    _rows: dict[int, MemoryRow]
    _counted: dict[tuple[str, str], dict[str, int]]
    _keys: dict[bytes, tuple[int, int]]
    _amended: dict[int, list[tuple[int, str]]]

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        await self._noted(audit_event)
        match move:
            case Replay():
                moved = self._replay(move.deliveries, now=now, sure=move.sure)
            case Discard():
                moved = self._discard(move.deliveries, now=now, note=move.note)
            case EditBodies():
                refused = self._edit(move.edited, now=now, note=move.note, sure=move.sure)
                return MoveResult(moved=len(move.edited) - len(refused), refused=refused)
            case HoldRejected():
                moved = self._hold_rejected(move.deliveries, reason=move.reason, now=now)
            case Recall():
                moved = self._recall(
                    pixel=move.pixel, event=move.event, reason=move.reason, now=now
                )
            case _:
                moved = self._take_back(
                    move.deliveries, reason=move.reason, now=now, hold=move.hold
                )
        return MoveResult(moved=moved)

    def _replay(self, deliveries: Sequence[int], *, now: int, sure: Collection[int]) -> int:
        rows = [
            row for row in self._at_rest(deliveries) if row.id in sure or self._rival(row) is None
        ]
        for row in rows:
            bring_back(row, now=now, is_sure=row.id in sure)
        return len(rows)

    def _discard(self, deliveries: Sequence[int], *, now: int, note: str) -> int:
        rows = self._at_rest(deliveries)
        for row in rows:
            rest(row, Trigger.DISCARDED, reason=note, at=now)
            self._counted[row.source, row.entry.pixel]["suppressed"] += 1
        return len(rows)

    def _edit(
        self,
        edited: Sequence[EditedBody],
        *,
        now: int,
        note: str,
        sure: Collection[int],
    ) -> Mapping[int, str]:
        refused: dict[int, str] = {}
        for body in edited:
            row = self._rows.get(body.delivery)
            if row is None or row.state not in _RESTING:
                refused[body.delivery] = "it is no longer dead or held"
                continue
            key = dedup_key(row.entry.pixel, body.event, row.entry.conversion_id)
            holder = self._keys.get(key, (row.id, 0))[0]
            is_other = body.event != row.entry.event
            if (is_other and holder != row.id) or (
                not is_other and row.id not in sure and self._history(row).rival is not None
            ):
                refused[body.delivery] = (
                    "another conversion has this event and conversion id already"
                )
                continue
            if is_other:
                self._keys[key] = row.id, now
            row.entry = msgspec.structs.replace(
                row.entry, event=body.event, body=body.body, key=key
            )
            bring_back(row, now=now, is_sure=row.id in sure)
            self._amended.setdefault(row.id, []).append((now, note))
        return refused

    def _hold_rejected(self, deliveries: Sequence[int], *, reason: str, now: int) -> int:
        rows = [
            row
            for row in [self._rows[id_] for id_ in set(deliveries) if id_ in self._rows]
            if row.state is State.DEAD
        ]
        for row in rows:
            rest(row, Trigger.HELD, reason=reason, at=now)
        return len(rows)

    def _recall(self, *, pixel: str, event: str, reason: str, now: int) -> int:
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

    def _take_back(self, deliveries: Sequence[int], *, reason: str, now: int, hold: bool) -> int:
        rows = [self._rows[id_] for id_ in set(deliveries) if id_ in self._rows]
        if hold:
            queued = [row for row in rows if row.state is State.QUEUED]
            for row in queued:
                rest(row, Trigger.HELD, reason=reason, at=now)
            return len(queued)
        return self._withdraw(rows, reason=reason, now=now)

    def _history(self, row: MemoryRow) -> History:
        raise NotImplementedError

    def _withdraw(self, rows: Iterable[MemoryRow], *, reason: str, now: int) -> int:
        raise NotImplementedError

    def _rival(self, row: MemoryRow) -> Rival | None:
        raise NotImplementedError

    async def _noted(self, audit_event: AuditEvent | None) -> None:
        if audit_event is not None:
            await self.people.note(audit_event)

    def _at_rest(self, deliveries: Sequence[int]) -> list[MemoryRow]:
        return [row for row in meant(self._rows, set(deliveries)) if row.state in _RESTING]
