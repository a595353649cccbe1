"""Rejections: make a refused conversion a dead letter, or hold it while the event is in doubt.

A refused conversion is not always to blame. If X refuses many of an event alike, in a row, and
accepts none, the event or its mapping may be wrong: the event is paused and they are held. They
are sent again, each once, as soon as X accepts one.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from twite.domain.delivery import Batch, Delivery, Transition, Trigger
from twite.domain.errors import TransientError
from twite.domain.outcome import Rejected
from twite.gateway.delivery.bisect import Bisect
from twite.gateway.delivery.event_pauses import REFUSED_ALIKE, EventPauses
from twite.gateway.delivery.rejection_stats import RejectionStats
from twite.gateway.delivery.settlement import Settler
from twite.gateway.ports.events import Moved, Observer
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import DeliveryStore, HoldRejected, Recall

Found = Sequence[tuple[Delivery, Rejected]]


class Rejections:
    """Settles the refused conversions of one pixel."""

    def __init__(
        self,
        *,
        delivery_store: DeliveryStore,
        settler: Settler,
        pauses: EventPauses,
        rejection_stats_by_event: Mapping[str, RejectionStats],
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._delivery_store = delivery_store
        self._settler = settler
        self._pauses = pauses
        self._rejection_stats_by_event = rejection_stats_by_event
        self._clock = clock
        self._observer = observer

    async def give_up_or_hold(
        self, batch: Batch, found: Found, *, at_fault: AbstractSet[int]
    ) -> None:
        """Make refused deliveries dead letters with X's reason, or hold them in doubt.

        `at_fault` are the ids of deliveries whose batch X accepted in part.
        """
        if found and batch.event in self._pauses.paused():
            await self.blame_the_event(batch, found)
            return
        rejection_stats = self._rejection_stats_by_event[batch.event]
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
            await self._settler.settle(batch, None, (transition,))
        if is_in_doubt:
            await self._begin_to_doubt(batch, rejection_stats, found[-1][1].reason)

    async def settle_bisect(self, batch: Batch, bisect: Bisect, found: Found) -> None:
        """Settle what a bisect found to be refused for its content.

        X accepted some of the batch: the refused ones are at fault. Those refused after the last
        acceptance are held if they are many. If they are few, they are held when the next of their
        event is refused, too.
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
                self._rejection_stats_by_event[batch.event].refused(delivery, refusal)

    async def blame_the_event(self, batch: Batch, found: Found) -> None:
        """Hold deliveries and pause their event: many were refused alike, none accepted."""
        reason = f"{REFUSED_ALIKE}: {found[0][1].reason}"
        rejection_stats = self._rejection_stats_by_event[batch.event]
        for delivery, refusal in found:
            rejection_stats.refused(delivery, refusal)
        # However few they are, the next acceptance brings them back.
        rejection_stats.forget()
        ids = tuple(delivery.id for delivery, _ in found)
        held = Transition(trigger=Trigger.HELD, deliveries=ids, reason=reason)
        await self._settler.settle(batch, None, (held,))
        if batch.event in self._pauses.paused():
            await self._pauses.trip(batch.event, reason)
        else:
            await self._begin_to_doubt(batch, rejection_stats, found[0][1].reason)

    async def recall(self, batch: Batch) -> None:
        """End the pause of an event X accepts again, and requeue its held deliveries."""
        await self._pauses.passed(batch.event)
        rejection_stats = self._rejection_stats_by_event[batch.event]
        if not rejection_stats.took():
            return
        try:
            recall = Recall(pixel=batch.pixel, event=batch.event, reason=REFUSED_ALIKE)
            many = (await self._delivery_store.move(recall, now=self._clock.now())).moved
        except TransientError:
            # Try again at the next delivery X accepts.
            rejection_stats.forget()
            raise
        if many:
            self._observer.see(Moved(pixel=batch.pixel, trigger=Trigger.RECALLED, deliveries=many))

    async def _begin_to_doubt(
        self, batch: Batch, rejection_stats: RejectionStats, refusal: str
    ) -> None:
        """Hold the dead letters of this run, too, and pause the event."""
        reason = f"{REFUSED_ALIKE}: {refusal}"
        hold = HoldRejected(deliveries=rejection_stats.run(), reason=reason)
        held = (await self._delivery_store.move(hold, now=self._clock.now())).moved
        if held:
            self._observer.see(
                Moved(pixel=batch.pixel, trigger=Trigger.HELD, deliveries=held, reason=reason)
            )
        await self._pauses.trip(batch.event, reason)
