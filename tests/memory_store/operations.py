"""Moves of dead and held deliveries, and queued tag payloads, in memory."""

from base64 import b64decode
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import msgspec

from memory_store.directory import MemoryDirectory
from memory_store.row import MemoryRow, requeue, take_out, with_hold_groups
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State, Trigger, after
from twite.domain.history import Rival
from twite.domain.people.users import AuditEvent
from twite.gateway.ports.outbox import (
    Discard,
    EditBodies,
    HoldRejected,
    Move,
    MoveResult,
    Recall,
    Replay,
    RewrittenPayloads,
    TakeBack,
    Write,
)
from twite.gateway.ports.tags import PREFIX

_HEAD = 6
_UNSETTLED = (State.QUEUED, State.SENDING, State.HELD, State.DEAD)
_RESTING = (State.DEAD, State.HELD)


class MemoryOperations:
    """Implements Moves. `_rows` contains the store's conversions."""

    people: MemoryDirectory
    _rows: dict[int, MemoryRow]
    _counted: dict[tuple[str, str], dict[str, int]]

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        if isinstance(move, EditBodies):
            raise NotImplementedError("the in-memory store cannot edit conversions")
        await self._noted(audit_event)
        match move:
            case Replay():
                moved = self._replay(move.deliveries, now=now, sure=move.sure)
            case Discard():
                moved = self._discard(move.deliveries, now=now, note=move.note)
            case HoldRejected():
                moved = self._hold_rejected(move.deliveries, reason=move.reason, now=now)
            case Recall():
                moved = self._recall(pixel=move.pixel, event=move.event, now=now)
            case _:
                moved = self._take_back(move, now=now)
        return MoveResult(moved=moved)

    def _replay(self, deliveries: Sequence[int], *, now: int, sure: Collection[int]) -> int:
        rows = [
            row
            for row in self._at_rest(deliveries)
            if row.id in sure or self._other_copy(row) is None
        ]
        for row in rows:
            requeue(row, now=now, is_sure=row.id in sure)
        return len(rows)

    def _discard(self, deliveries: Sequence[int], *, now: int, note: str) -> int:
        rows = self._at_rest(deliveries)
        for row in rows:
            take_out(row, Trigger.DISCARDED, cause=DeliveryCause.DISCARDED, reason=note, at=now)
            self._counted[row.source, row.entry.pixel]["suppressed"] += 1
        return len(rows)

    def _hold_rejected(self, deliveries: Sequence[int], *, reason: str, now: int) -> int:
        rows = [
            row
            for row in [self._rows[id_] for id_ in set(deliveries) if id_ in self._rows]
            if row.state is State.DEAD
        ]
        for row in rows:
            cause = DeliveryCause.REFUSED_ALIKE
            take_out(row, Trigger.HELD, cause=cause, reason=reason, at=now)
        return len(rows)

    def _recall(self, *, pixel: str, event: str, now: int) -> int:
        rows = [
            row
            for row in self._rows.values()
            if row.state is State.HELD
            and (row.entry.pixel, row.entry.event) == (pixel, event)
            and row.cause is DeliveryCause.REFUSED_ALIKE
            and row.replayed_at is None
        ]
        for row in rows:
            row.state = after(row.state, Trigger.RECALLED)
            row.cause = row.reason = row.due_at = None
            row.replayed_at = now
        return len(rows)

    def _take_back(self, move: TakeBack, *, now: int) -> int:
        cause, reason = move.cause, move.reason
        rows = [self._rows[id_] for id_ in set(move.deliveries) if id_ in self._rows]
        if move.hold:
            queued = [row for row in rows if row.state is State.QUEUED]
            for row in queued:
                take_out(row, Trigger.HELD, cause=cause, reason=reason, at=now)
            return len(queued)
        return self._withdraw(rows, cause=cause, reason=reason, now=now)

    def _withdraw(
        self, rows: Iterable[MemoryRow], *, cause: DeliveryCause | None, reason: str, now: int
    ) -> int:
        raise NotImplementedError

    def _other_copy(self, row: MemoryRow) -> Rival | None:
        raise NotImplementedError

    async def _noted(self, audit_event: AuditEvent | None) -> None:
        if audit_event is not None:
            await self.people.note(audit_event)

    def _at_rest(self, deliveries: Sequence[int]) -> list[MemoryRow]:
        return [
            row for row in with_hold_groups(self._rows, set(deliveries)) if row.state in _RESTING
        ]

    async def rewrite(self, write: Write, *, after: int, limit: int) -> RewrittenPayloads:
        rows = [row for row in self._unsettled() if row.id > after]
        done = 0
        for row in rows[:limit]:
            is_letter = row.entry.pixel.startswith(PREFIX)
            anew = write(row.entry.pixel, row.entry.body) if is_letter else None
            if anew is not None:
                row.entry = msgspec.structs.replace(row.entry, body=anew)
                done += 1
        return RewrittenPayloads(
            payloads=done, last=rows[limit - 1].id if len(rows) >= limit else None
        )

    def _answer_payload_heads(self) -> Sequence[tuple[bytes, int]]:
        found: Counter[bytes] = Counter()
        for row in self._unsettled():
            if row.entry.pixel.startswith(PREFIX):
                sealed = msgspec.json.decode(row.entry.body).get("sealed")
                if sealed is not None:
                    found[b64decode(sealed)[:_HEAD]] += 1
        return list(found.items())

    def _unsettled(self) -> list[MemoryRow]:
        return [row for _, row in sorted(self._rows.items()) if row.state in _UNSETTLED]
