"""Rejections: make a refused conversion a dead letter, or hold it while the event is in doubt.

A refused conversion is not always to blame. If X refuses many conversions of an event in a row,
with the same error, the event or its mapping may be wrong. Then the event is paused, and its
refused conversions are held. As soon as X accepts a conversion of the event, each held one is sent
again once.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from twite.domain.delivery import Batch, Delivery, Rejected, Transition, Trigger
from twite.domain.errors import TransientError
from twite.domain.pause import Cause
from twite.gateway.delivery.bisect import Bisect, Kind, kind_of
from twite.gateway.delivery.circuit_breaker import REFUSED_ALIKE, EventPauses
from twite.gateway.delivery.settlement import Settler
from twite.gateway.ports.outbox import HoldRejected, Recall
from twite.x.spec import MAX_CONVERSIONS

# After this many identical refusals in a row, without an acceptance, the event may be at fault.
RUN: Final = 5
# How many deliveries are remembered per run of refusals. Beyond that, a retried delivery counts as
# a new one.
_LONGEST_RUN: Final = 10_000
# If X refused more than _SHARE of the last _RECENT conversions, batches are SMALL.
_SHARE: Final = 0.01
_RECENT: Final = 1_000
SMALL: Final = 50
# How much larger the next batch may be after X accepted a full batch entirely.
_STEP: Final = 50

Found = Sequence[tuple[Delivery, Rejected]]


class RejectionStats:
    """Statistics of one event's refusals. `size` limits its next batch."""

    def __init__(self) -> None:
        self.size = MAX_CONVERSIONS
        # Deliveries of the event that X refused in a row with the same error, since it last
        # accepted one.
        self._run: list[int] = []
        self._kind: Kind = frozenset()
        # Not sent, because other deliveries of the batch were refused with the same error.
        self._unsent: set[int] = set()
        # Deliveries that were held until X accepted others: if X refuses them again, they are at
        # fault.
        self._cleared: set[int] = set()
        self._taken = self._refused = 0.0
        self._is_known = False

    @property
    def doubts(self) -> bool:
        """Whether the event may be at fault, rather than its conversions."""
        return len(self._run) >= RUN

    def run(self) -> tuple[int, ...]:
        return tuple(self._run)

    def doubt_too(self, deliveries: Iterable[int]) -> None:
        """Record unsent deliveries.

        Others in their batch were refused with the same error. The next acceptance clears them all
        together; otherwise a large bad batch would pause the event again and again.
        """
        self._unsent.update(deliveries)

    def cleared(self, deliveries: Iterable[Delivery]) -> AbstractSet[int]:
        """Return the ids of deliveries whose refusal is not evidence about the account."""
        return self._cleared.intersection(delivery.id for delivery in deliveries)

    def refused(self, delivery: Delivery, refusal: Rejected) -> bool:
        """Record the refusal of one delivery; return whether the event may be at fault."""
        if delivery.id in self._cleared:
            return False
        kind = kind_of(refusal.complaints)
        if kind != self._kind:
            self._kind = kind
            self._run.clear()
        if len(self._run) < _LONGEST_RUN and delivery.id not in self._run[-RUN:]:
            self._run.append(delivery.id)
        return self.doubts

    def took(self) -> bool:
        """Record that X accepted deliveries; return whether held ones must be requeued.

        The first acceptance also returns True, because the last process may have held some.
        """
        recalls = self.doubts or not self._is_known
        if self.doubts:
            self._cleared.update(self._run, self._unsent)
        self._unsent.clear()
        self._is_known = True
        self._run.clear()
        return recalls

    def forget(self) -> None:
        """Requeue held deliveries at the next acceptance, regardless of the statistics."""
        self._is_known = False

    def landed(self, *, taken: int, refused: int) -> None:
        """Record the results of one batch."""
        kept = max(0.0, 1 - (taken + refused) / _RECENT)
        self._taken = self._taken * kept + taken
        self._refused = self._refused * kept + refused
        if refused and self._refused > _SHARE * (self._taken + self._refused):
            self.size = min(self.size, SMALL)
        elif not refused and taken >= self.size:
            self.size = min(MAX_CONVERSIONS, self.size + _STEP)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Rejections:
    """Settles the refused conversions of one pixel."""

    settler: Settler
    pauses: EventPauses
    stats_by_event: Mapping[str, RejectionStats]

    async def give_up_or_hold(
        self, batch: Batch, found: Found, *, at_fault: AbstractSet[int]
    ) -> None:
        """Make refused deliveries dead letters, or hold them if the event may be at fault.

        `at_fault` contains the ids of deliveries whose batch X accepted in part.
        """
        if found and batch.event in self.pauses.paused():
            await self.blame_the_event(batch, found)
            return
        rejection_stats = self.stats_by_event[batch.event]
        is_in_doubt = False
        for delivery, refusal in found:
            if delivery.id not in at_fault:
                is_in_doubt |= rejection_stats.refused(delivery, refusal)
        doubtful = set(rejection_stats.run()) if rejection_stats.doubts else set()
        for delivery, refusal in found:
            held = delivery.id in doubtful and delivery.id not in at_fault
            transition = Transition(
                trigger=Trigger.HELD if held else Trigger.GIVEN_UP,
                deliveries=(delivery.id,),
                reason=f"{REFUSED_ALIKE}: {refusal.reason}" if held else refusal.reason,
            )
            await self.settler.settle(batch, None, (transition,))
        if is_in_doubt:
            await self._begin_to_doubt(batch, rejection_stats, found[-1][1].reason)

    async def settle_bisect(self, batch: Batch, bisect: Bisect, found: Found) -> None:
        """Settle the deliveries that X refused for their content during a bisect.

        If X accepted part of the batch, the refused conversions are at fault. An exception is a
        long run of refusals after the last acceptance: its deliveries are held. Those of a short
        run are held if X refuses the next conversion of the event, too.
        """
        ids = {delivery.id for delivery, _ in found}
        row = [refused for refused in bisect.row if refused[0].id in ids]
        blamed = {delivery.id for delivery, _ in row} if bisect.is_the_account else set()
        rest = [refused for refused in found if refused[0].id not in blamed]
        await self.give_up_or_hold(batch, rest, at_fault=ids if bisect.taken else frozenset())
        if blamed:
            await self.blame_the_event(batch, row)
        elif bisect.taken:
            for delivery, refusal in row:
                self.stats_by_event[batch.event].refused(delivery, refusal)

    async def blame_the_event(self, batch: Batch, found: Found) -> None:
        """Hold deliveries and pause their event, because X refused many alike and accepted none."""
        reason = f"{REFUSED_ALIKE}: {found[0][1].reason}"
        rejection_stats = self.stats_by_event[batch.event]
        for delivery, refusal in found:
            rejection_stats.refused(delivery, refusal)
        # The next acceptance requeues them, however few they are.
        rejection_stats.forget()
        ids = tuple(delivery.id for delivery, _ in found)
        held = Transition(trigger=Trigger.HELD, deliveries=ids, reason=reason)
        await self.settler.settle(batch, None, (held,))
        if batch.event in self.pauses.paused():
            await self.pauses.trip(batch.event, Cause.EVENT_REFUSED, reason)
        else:
            await self._begin_to_doubt(batch, rejection_stats, found[0][1].reason)

    async def recall(self, batch: Batch) -> None:
        """End the pause of an event that X accepts again, and requeue its held deliveries."""
        await self.pauses.passed(batch.event)
        rejection_stats = self.stats_by_event[batch.event]
        if not rejection_stats.took():
            return
        recall = Recall(pixel=batch.pixel, event=batch.event, reason=REFUSED_ALIKE)
        try:
            await self.settler.move(recall, Trigger.RECALLED, pixel=batch.pixel)
        except TransientError:
            # Try again when X accepts the next delivery.
            rejection_stats.forget()
            raise

    async def _begin_to_doubt(
        self, batch: Batch, rejection_stats: RejectionStats, refusal: str
    ) -> None:
        """Pause the event, and hold those deliveries of the run that are already dead letters."""
        reason = f"{REFUSED_ALIKE}: {refusal}"
        hold = HoldRejected(deliveries=rejection_stats.run(), reason=reason)
        await self.settler.move(hold, Trigger.HELD, pixel=batch.pixel, reason=reason)
        await self.pauses.trip(batch.event, Cause.EVENT_REFUSED, reason)
