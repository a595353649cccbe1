"""Move deliveries at a user's request; held deliveries that belong together move together."""

from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from twite.domain.cause import UNUSUAL_AMOUNTS
from twite.domain.people.users import AuditEvent
from twite.gateway.ports.outbox import EditBodies, Move, MoveResult, Moves, Replay
from twite.gateway.ports.tags import PREFIX

# A tag delivery's id contains the conversion id, possibly with its event before it and the trigger
# after it.
_MOST_PARTS = 8


class WakingMoves:
    """Moves deliveries, and wakes the workers of requeued ones."""

    def __init__(self, *, moves: Moves, wake_all: Callable[[], None]) -> None:
        self._moves = moves
        self._wake_all = wake_all

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        """Move deliveries, as described in the port."""
        done = await self._moves.move(move, now=now, audit_event=audit_event)
        if isinstance(move, Replay | EditBodies):
            self._wake_all()
        return done


class HeldGroup(NamedTuple):
    """A held delivery of one submission."""

    delivery: int
    pixel: str
    conversion_id: str
    cause: str | None


def alike(chosen: Collection[int], held: Sequence[HeldGroup]) -> list[int]:
    """Return the ids of all deliveries in the groups of the chosen ones."""
    remarked = [delivery for delivery in held if delivery.cause in UNUSUAL_AMOUNTS]
    roots = {
        delivery.conversion_id for delivery in remarked if not delivery.pixel.startswith(PREFIX)
    }
    found = {delivery.delivery: (delivery.cause, _root(delivery, roots)) for delivery in remarked}
    meant = {found[id_] for id_ in chosen if id_ in found}
    return [id_ for id_, root in found.items() if root in meant]


def _root(group: HeldGroup, roots: AbstractSet[str]) -> str:
    if group.conversion_id in roots:
        return group.conversion_id
    parts = group.conversion_id.split("/")
    if len(parts) > _MOST_PARTS:
        return group.conversion_id
    within = (
        "/".join(parts[begin:end])
        for begin in range(len(parts))
        for end in range(len(parts), begin, -1)
    )
    return next((part for part in within if part in roots), group.conversion_id)
