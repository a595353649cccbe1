"""Moves by people: what they queue again is sent at once."""

from collections.abc import Callable

from twite.domain.people.users import AuditEvent
from twite.gateway.ports.outbox import EditBodies, Move, MoveResult, Moves, Replay


class WakingMoves:
    """Moves deliveries; those queued again are sent at once instead of at the next poll."""

    def __init__(self, *, moves: Moves, wake_all: Callable[[], None]) -> None:
        self._moves = moves
        self._wake_all = wake_all

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        """Move deliveries: see the port."""
        done = await self._moves.move(move, now=now, audit_event=audit_event)
        if isinstance(move, Replay | EditBodies):
            self._wake_all()
        return done
