"""Outbox port: claims deliveries, settles them, and moves those that are not in flight."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from twite.domain.delivery import MOST_BYTES, Batch, Settlement
from twite.domain.people.users import AuditEvent
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import StateStore


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A sender's wish. Times are milliseconds.

    `ambiguous_after`: a delivery that has been ambiguous since before this moment must not be sent
    again (the ledger leaves it for the sweep). `limits` are narrower limits of single events, and
    `most_bytes` is how many bytes of conversions fit, though one always does. Deliveries of
    `passing_events` and those in `passing` are passed over. Without `suspects`, what the sender
    may die of is left for later.
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
    """What time has come for. Moments are milliseconds.

    `furthest`: nothing is ever postponed or leased beyond it, so what is was written by another
    clock. `holding` are the leases that running flights hold, whatever the time; what is ambiguous
    of the `cautious` pixels is held at once.
    """

    now: int
    ambiguous_before: int
    waiting_before: int
    furthest: int = 1 << 62
    holding: frozenset[int] = frozenset()
    cautious: frozenset[str] = frozenset()


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep did, in deliveries, and when the next postponed one is due."""

    expired: int = 0
    held: int = 0
    promoted: int = 0
    next_due: int | None = None


class EditedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A dead or held conversion as it is to be sent instead."""

    delivery: int
    event: str
    body: bytes

    def __repr__(self) -> str:
        return f"EditedBody({self.delivery}, {self.event}, body=<{len(self.body)} bytes>)"


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Queue dead and held deliveries again, with the same conversion id and body.

    A conversion held for its amount brings its hold group along (see `operations/moves.py`). `sure`
    are those that a user wants sent though X may have them: only for these is that forgotten. The
    others are held again when their 40 hours are over.
    """

    deliveries: Sequence[int]
    sure: Collection[int] = ()


class Discard(msgspec.Struct, frozen=True, kw_only=True):
    """Give dead and held deliveries up for good, as suppressed, with the note as reason.

    What is held together with them goes, too.
    """

    deliveries: Sequence[int]
    note: str


class EditBodies(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the bodies of dead and held deliveries, and queue them; they keep their ids.

    What cannot be edited is refused and left as it is. Where the event is another, another delivery
    may have its dedup key. `sure` is that of Replay.
    """

    edited: Sequence[EditedBody]
    note: str
    sure: Collection[int] = ()


class HoldRejected(msgspec.Struct, frozen=True, kw_only=True):
    """Hold those of some deliveries that are dead."""

    deliveries: Sequence[int]
    reason: str


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Queue again what is held for a reason that begins so, each once in its life.

    What was replayed or recalled before stays held.
    """

    pixel: str
    event: str
    reason: str


class TakeBack(msgspec.Struct, frozen=True, kw_only=True):
    """Suppress deliveries that may still be sent, or with `hold`, hold those that are queued."""

    deliveries: Sequence[int]
    reason: str
    hold: bool


Move = Replay | Discard | EditBodies | HoldRejected | Recall | TakeBack


class MoveResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries were moved, and by delivery, why one was refused."""

    moved: int
    refused: Mapping[int, str] = {}


# (tag name, payload) → the new payload; None to keep it.
Write = Callable[[str, bytes], bytes | None]


class RewrittenPayloads(msgspec.Struct, frozen=True, kw_only=True):
    """The number of payloads rewritten, and the last delivery checked; None at the end."""

    letters: int = 0
    last: int | None = None


class Moves(Protocol):
    """Moves deliveries that are not in flight."""

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        """Move deliveries.

        Many are replayed, discarded or edited in slices, so that nobody waits for all of them: what
        fails in the middle leaves the rest as it was. The audit event is noted in one transaction
        with the first. Raises LedgerUnavailable.
        """


class Outbox(Moves, Protocol):
    """What is to be sent."""

    async def claim(self, claim: Claim) -> Batch | None:
        """Lease the due deliveries of one event of the pixel, oldest deadline first.

        The deadline is that of `domain.delivery.rank`. The event is that of the first; what
        `together` says may not go with others goes alone. The claim is durable before it returns:
        what may have been sent is known after a crash. None when nothing is due.
        """

    async def withdrawn(self, batch: Batch) -> Sequence[int]:
        """Return which deliveries of a claimed batch must not be sent any more.

        Their person has denied or opted out since the claim.
        """

    async def settle(self, settlement: Settlement) -> int:
        """Write an attempt and the next states together; extend the lease of the rest.

        A transition only reaches deliveries that are still under this lease; returns how many were
        not.
        """

    async def sweep(self, sweeping: SweepRequest) -> SweepResult:
        """Bring time's effects about.

        Leases past their end expire (queued again, ambiguous from the claim on); queued deliveries
        ambiguous since before `ambiguous_before`, or received before `waiting_before`, are held;
        what is due only beyond `furthest` is due now.
        """

    async def rewrite(self, write: Write, *, after: int, limit: int) -> RewrittenPayloads:
        """Rewrite tag payloads among `limit` unsettled deliveries after `after`.

        A damaged one stays as it is. Raises LedgerUnavailable.
        """


class DeliveryStore(Outbox, StateStore, Queries, Protocol):
    """The ports that senders need."""
