"""Moves over SQL: of thousands of deliveries in slices, so that other commits wait for one only."""

from collections.abc import Iterator
from typing import Final

import msgspec

from twite.domain.people.users import AuditEvent
from twite.gateway.ports.outbox import (
    Discard,
    EditBodies,
    HoldRejected,
    Move,
    MoveResult,
    Recall,
    Replay,
)
from twite.stores.sql import operations
from twite.stores.sql.database import Database
from twite.stores.sql.directory import note
from twite.stores.sql.writer_session import WriterSession

# Some milliseconds of the writer's time, for what is moved by one statement.
SLICE: Final = 250
# Each takes half a dozen statements.
_EDITED: Final = 50


class SqlMoves:
    """Implements Moves, for a store to inherit."""

    _database: Database

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        moved = 0
        refused: dict[int, str] = {}
        for place, part in enumerate(_slices(move)):
            noted = None if place else audit_event

            def unit(
                book: WriterSession, part: Move = part, noted: AuditEvent | None = noted
            ) -> MoveResult:
                if noted is not None:
                    note(book, noted)
                return _moved(book, part, now=now)

            done = await self._database.write(unit)
            moved += done.moved
            refused |= done.refused
        return MoveResult(moved=moved, refused=refused)


def _slices(move: Move) -> Iterator[Move]:
    if isinstance(move, EditBodies):
        for at in range(0, len(move.edited), _EDITED):
            yield msgspec.structs.replace(move, edited=move.edited[at : at + _EDITED])
    elif isinstance(move, Replay | Discard):
        for at in range(0, len(move.deliveries), SLICE):
            yield msgspec.structs.replace(move, deliveries=move.deliveries[at : at + SLICE])
    else:
        yield move


def _moved(book: WriterSession, move: Move, *, now: int) -> MoveResult:
    match move:
        case EditBodies():
            moved, refused = operations.edit_bodies(
                book, move.edited, now=now, note=move.note, sure=frozenset(move.sure)
            )
            return MoveResult(moved=moved, refused=refused)
        case Replay():
            deliveries = operations.with_companions(book, move.deliveries)
            moved = operations.replay(book, deliveries, now=now, sure=frozenset(move.sure))
        case Discard():
            deliveries = operations.with_companions(book, move.deliveries)
            moved = operations.discard(book, deliveries, now=now, note=move.note)
        case HoldRejected():
            moved = operations.hold_rejected(book, move.deliveries, reason=move.reason, now=now)
        case Recall():
            moved = operations.recall(
                book, pixel=move.pixel, event=move.event, reason=move.reason, now=now
            )
        case _:
            moved = operations.withdraw_deliveries(
                book, move.deliveries, reason=move.reason, now=now, hold=move.hold
            )
    return MoveResult(moved=moved)
