"""Outbox port: claims deliveries, settles them, and moves those that are not in flight."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import MOST_BYTES, Batch, Settlement
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Masked
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import StateStore


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a claim.

    Times are milliseconds. Deliveries that became ambiguous before `ambiguous_after` are not
    claimed. `limits` are lower batch limits for some events. One delivery is claimed even if it
    exceeds `most_bytes`. The deliveries in `passing`, and those of `passing_events`, are skipped;
    unless `suspects` is set, so are deliveries that may crash the sender.
    """

    pixel: str
    now: int
    lease_until: int
    limit: int
    ambiguous_after: int
    limits: Mapping[str, int] = {}
    most_bytes: int = MOST_BYTES
    passing_events: frozenset[str] = frozenset()
    passing: frozenset[int] = frozenset()
    suspects: bool = True


class SweepRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The times of one sweep, in milliseconds.

    Times beyond `furthest` are wrong: they come from another clock. `holding` contains the leases
    in flight, which do not expire. Ambiguous deliveries of `cautious` pixels are held immediately.
    """

    now: int
    ambiguous_before: int
    waiting_before: int
    furthest: int = 1 << 62
    holding: frozenset[int] = frozenset()
    cautious: frozenset[str] = frozenset()


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries that a sweep changed, and when the next postponed delivery is due."""

    expired: int = 0
    held: int = 0
    promoted: int = 0
    next_due: int | None = None


class EditedBody(Masked, frozen=True, kw_only=True):
    """A dead or held conversion with its new event and body."""

    in_repr = ("delivery", "event")
    delivery: int
    event: str
    body: bytes


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Queue dead and held deliveries again, with the same conversion id and body.

    A conversion held for its amount is replayed with its hold group (see `operations/moves.py`).
    `sure` lists deliveries that a user wants sent although X may have them; other ambiguous
    deliveries are held again after 40 hours.
    """

    deliveries: Sequence[int]
    sure: Collection[int] = ()


class Discard(msgspec.Struct, frozen=True, kw_only=True):
    """Suppress dead and held deliveries, and their hold groups. The note is the reason."""

    deliveries: Sequence[int]
    note: str


class EditBodies(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the bodies of dead and held deliveries, and queue them; they keep their ids.

    The edit is refused if it changes the event and another delivery already has the new dedup key.
    `sure` is explained in Replay.
    """

    edited: Sequence[EditedBody]
    note: str
    sure: Collection[int] = ()


class HoldRejected(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the given deliveries that are dead, because X has refused others alike since."""

    deliveries: Sequence[int]
    reason: str


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Queue deliveries that are held because X refused others alike, each once.

    Deliveries replayed or recalled before stay held.
    """

    pixel: str
    event: str


class TakeBack(msgspec.Struct, frozen=True, kw_only=True):
    """Suppress unsent deliveries; with `hold`, hold the queued ones instead."""

    deliveries: Sequence[int]
    cause: DeliveryCause
    reason: str
    hold: bool


Move = Replay | Discard | EditBodies | HoldRejected | Recall | TakeBack


class MoveResult(msgspec.Struct, frozen=True, kw_only=True):
    """The number of moved deliveries, and for each refused delivery the reason."""

    moved: int
    refused: Mapping[int, str] = {}


# (tag name, payload) → the new payload, or None to leave it unchanged.
Write = Callable[[str, bytes], bytes | None]


class RewrittenPayloads(msgspec.Struct, frozen=True, kw_only=True):
    """The number of rewritten payloads, and the last delivery checked (None: all are done)."""

    payloads: int = 0
    last: int | None = None


class Moves(Protocol):
    """Moves deliveries that are not in flight."""

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        """Move deliveries in slices; a failure leaves the later slices unchanged.

        The audit event is written with the first slice. Raises LedgerUnavailable.
        """


class Outbox(Moves, Protocol):
    """The delivery queue of a store."""

    async def claim(self, claim: Claim) -> Batch | None:
        """Lease due deliveries of one event of the pixel, in the order of `domain.delivery.rank`.

        All have the event of the first delivery. A delivery that `together` separates from the
        others is claimed alone. The claim is durable when this returns. Returns None if nothing is
        due.
        """

    async def claim_several(self, claim: Claim, *, most: int) -> Sequence[Batch]:
        """Claim the next batches, at most `most`, as `claim` does, in one commit if possible."""

    async def withdrawn(self, batch: Batch) -> Sequence[int]:
        """Return the deliveries of a batch that were denied or opted out since the claim."""

    async def settle(self, settlement: Settlement) -> int:
        """Write an attempt and transitions together; extend the lease of the other deliveries.

        Returns the number of deliveries that were no longer under this lease, and were not changed.
        """

    async def sweep(self, sweep: SweepRequest) -> SweepResult:
        """Apply the changes that depend only on time.

        Deliveries with an expired lease are queued again, as ambiguous since their claim. Queued
        deliveries that became ambiguous before `ambiguous_before`, or were received before
        `waiting_before`, are held. A due time beyond `furthest` is set to now.
        """

    async def rewrite(self, write: Write, *, after: int, limit: int) -> RewrittenPayloads:
        """Rewrite tag payloads among `limit` unsettled deliveries after `after`.

        Damaged payloads are skipped. Raises LedgerUnavailable.
        """


class DeliveryStore(Outbox, StateStore, Queries, Protocol):
    """The store ports that senders need."""
