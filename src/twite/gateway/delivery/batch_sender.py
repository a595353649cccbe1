"""Flight: one claimed batch, from the first request to the last settlement.

What X refuses, or fails at, is one conversion's fault, its event's or the pixel's. Which, others
tell: X takes some of the same batch, of the same event, of the same pixel, or none.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from twite.domain.delivery import AMBIGUITY_WINDOW, MOST_BYTES, Batch, Delivery, Transition, Trigger
from twite.domain.destination import Destination
from twite.domain.errors import TransientError
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, RejectionScope
from twite.domain.retry import backoff
from twite.domain.times import MINUTE
from twite.gateway.delivery.bisect import BUDGET, Bisect, Group
from twite.gateway.delivery.blame import Blame, is_refused
from twite.gateway.delivery.circuit_breaker import CircuitBreaker
from twite.gateway.delivery.event_pauses import EventPauses
from twite.gateway.delivery.in_flight_batch import InFlightBatch, ids_of
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.rejection_stats import RejectionStats
from twite.gateway.delivery.rejections import Rejections
from twite.gateway.delivery.send_request import RequestSender
from twite.gateway.delivery.settlement import Settler, fates, fault
from twite.gateway.delivery.suspects import CERTAIN, Suspects, is_failed, is_refused_as_such
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.store import DeliveryStore, Pause, Randomness
from twite.x import spec

# What isolation did not come to is tried again after this: its budget is for a minute.
ISOLATION_PAUSE: Final = MINUTE
# A batch that comes to nothing for the third time, while nothing passes, is halved.
_AGAIN: Final = 2
# What X calls too large is halved down to this many bytes at most.
_LEAST_BYTES: Final = 50_000
_GIVING_BACK: Final = 1  # seconds


class BatchSender:
    """Takes a pixel's batches to their end, one after the other or several at once."""

    def __init__(
        self,
        *,
        destination: Destination,
        delivery_store: DeliveryStore,
        post: XClient,
        rate_limit: RateLimit,
        circuit_breaker: CircuitBreaker,
        clock: MonotonicClock,
        randomness: Randomness,
        observer: Observer,
        lease: int,
        in_flight: int,
        pauses: Iterable[Pause] = (),
    ) -> None:
        """`pauses` are those of events that are in force at the start."""
        self._cautious = destination.is_cautious
        self._delivery_store = delivery_store
        self._circuit_breaker = circuit_breaker
        self._clock = clock
        self._randomness = randomness
        self._observer = observer
        self._rejection_stats_by_event: dict[str, RejectionStats] = defaultdict(RejectionStats)
        self._suspects = Suspects()
        self._settler = Settler(
            delivery_store=delivery_store, clock=clock, observer=observer, lease=lease
        )
        self._asking = RequestSender(
            destination=destination,
            delivery_store=delivery_store,
            post=post,
            rate_limit=rate_limit,
            settling=self._settler,
            clock=clock,
            observer=observer,
        )
        self._pauses = EventPauses(
            pixel=destination.pixel,
            outbox=delivery_store,
            clock=clock,
            observer=observer,
            pauses=pauses,
        )
        self._blame = Blame(
            suspects=self._suspects,
            circuit_breaker=circuit_breaker,
            pauses=self._pauses,
            randomness=randomness,
            cautious=destination.is_cautious,
        )
        self._rejections = Rejections(
            delivery_store=delivery_store,
            settling=self._settler,
            pauses=self._pauses,
            rejection_stats_by_event=self._rejection_stats_by_event,
            clock=clock,
            observer=observer,
        )
        # What isolation did not come to, of batches of which X took something.
        self._mixed: set[int] = set()
        # How many batches of an event are in the air, and which event's is being looked through:
        # that never takes all that may be in the air.
        self._aloft: dict[str, int] = defaultdict(int)
        self._searched: list[str] = []
        self._searches = max(1, in_flight // 2)
        self.stopping = False
        # How many the next batch may hold: fewer while the limit leaves none for isolation, or the
        # same bad batch would spend all of each window and come to nothing.
        self.most = spec.MAX_CONVERSIONS
        self.most_bytes = MOST_BYTES
        # And what X itself called too many.
        self._roomy = spec.MAX_CONVERSIONS

    def use(self, destination: Destination) -> None:
        """Send with other credentials of the same pixel from now on."""
        self._asking.use(destination)
        self._circuit_breaker.half_open()
        self._pauses.half_open()

    async def release(self) -> None:
        """Send of all events again, because a person says so. Raises LedgerUnavailable."""
        await self._pauses.release()

    def limits(self) -> Mapping[str, int]:
        """Return how many a batch of an event may hold, where that is fewer than of others."""
        small = {
            event: rejection_stats.size
            for event, rejection_stats in self._rejection_stats_by_event.items()
            if rejection_stats.size < spec.MAX_CONVERSIONS
        }
        return small | dict.fromkeys(self._pauses.paused(), 1)

    def passing_events(self) -> frozenset[str]:
        """Return the events of which nothing is claimed now.

        Those are paused, or give trouble and have one batch in the air: another would meet the
        same, and take the place of what does not.
        """
        troubled = {
            event
            for event, many in self._aloft.items()
            if many and (event in self._searched or event in self.limits())
        }
        return self._pauses.closed() | troubled

    @property
    def failed(self) -> dict[int, str]:
        """What came to nothing since X took anything, and its event: another probes."""
        return self._blame.failed

    def claimed(self, batch: Batch) -> None:
        """Hear that a batch is about to be taken."""
        self._pauses.probed(batch.event)
        self._aloft[batch.event] += 1

    async def take(self, batch: Batch) -> None:
        """Send a batch and settle every delivery of it.

        Trouble with the store leaves what was sent as sending in the ledger: its lease lapses, and
        it is sent again as ambiguous. A fault of ours counts against what was being sent.
        """
        hand = InFlightBatch(batch, at=self._now())
        try:
            try:
                await self._fly(hand)
            except TransientError:
                raise
            except asyncio.CancelledError:
                # The stop waits no longer: neither may this, whatever the store does.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GIVING_BACK):
                        await self.give_back(hand.batch, hand.rest())
                raise
            except Exception as error:  # noqa: BLE001  whatever it is: what was sent must be told
                self._observer.see(Troubled(where=TroublePlace.BATCH, reason=type(error).__name__))
                await self._count_fault(hand, error)
        except TransientError as error:
            self._observer.see(Troubled(where=TroublePlace.OUTBOX, reason=error.reason))
        finally:
            self._aloft[batch.event] = max(0, self._aloft[batch.event] - 1)

    async def give_back(self, batch: Batch, deliveries: Sequence[int], *, wait: int = 0) -> None:
        """Let others send what has not left: nothing is in doubt, and no try is counted."""
        if not deliveries:
            return
        due = self._now() + wait
        back = Transition(trigger=Trigger.POSTPONED, deliveries=tuple(deliveries), due_at=due)
        await self._settler.settle(batch, None, (back,))

    async def _fly(self, hand: InFlightBatch) -> None:
        """Send what goes together, then each of those that go alone."""
        crowd, loners = self._parted(hand.batch)
        if crowd:
            await self._send(hand, crowd)
        if not loners:
            return
        if not crowd and len(loners) == 1:
            await self._send(hand, loners)
            return
        sent = 0
        if self._may_search(hand.batch.event):
            with self._search(hand.batch.event):
                while sent < min(BUDGET, len(loners)) and self._may_send(loners[sent]):
                    sent += 1
                    await self._send(hand, (loners[sent - 1],))
        wait = 0 if self.stopping else ISOLATION_PAUSE
        await self.give_back(hand.batch, ids_of(loners[sent:]), wait=wait)

    def _parted(self, batch: Batch) -> tuple[Group, Group]:
        """Return what goes together, and what goes alone."""
        alone = {delivery.id for delivery in batch.deliveries if self._suspects.alone(delivery)}
        return (
            tuple(delivery for delivery in batch.deliveries if delivery.id not in alone),
            tuple(delivery for delivery in batch.deliveries if delivery.id in alone),
        )

    def _may_send(self, delivery: Delivery) -> bool:
        return not (self.stopping or self._circuit_breaker.paused or self._is_too_late((delivery,)))

    async def _send(self, hand: InFlightBatch, group: Group) -> None:
        """Send a group, counted already, and find what is wrong where something is."""
        outcome, is_open = await self._try(hand, group)
        rejection_stats = self._rejection_stats_by_event[hand.batch.event]
        if is_open and len(group) > 1:
            await self._isolate(hand, group, outcome)
            return
        mixed = self._mixed.intersection(ids_of(group))
        self._mixed -= mixed
        if is_refused_as_such(outcome):
            if is_open:
                await self._convict(hand.batch, group[0], outcome)
        elif is_refused(outcome):
            await self._rejections.bury(hand.batch, [(group[0], outcome)], at_fault=mixed)
        elif isinstance(outcome, Delivered):
            self.most = min(self._roomy, self.most * 2)
            if 2 * sum(len(one.body) for one in group) >= self.most_bytes:
                self.most_bytes = min(MOST_BYTES, self.most_bytes * 2)
            rejection_stats.landed(taken=len(group), refused=0)
        elif is_failed(outcome) and max(one.attempts for one in group) >= _AGAIN:
            rejection_stats.failed(len(group))
            if len(group) == 1 and self._suspects.explain(group):
                self._suspects.found(group[0])

    async def _try(
        self, hand: InFlightBatch, group: Group, why: Outcome | None = None
    ) -> tuple[Outcome, bool]:
        """Send a group, and settle it unless it is open which of it is at fault.

        Returns that, too. `why` is what is looked for.
        """
        event = hand.batch.event
        came, outcome = await self._asking.ask(hand, group)
        is_open = self._blame.is_open(event, group, outcome, why)
        decided: tuple[Transition, ...] = ()
        if not is_open:
            decided = fates(
                group,
                outcome,
                now=self._now(),
                randomness=self._randomness.fraction(),
                cautious=self._cautious,
            )
        await self._asking.note_limit()
        tried = self._asking.tried(hand, outcome, came)
        try:
            await self._settler.settle(hand.batch, tried, decided)
        except TransientError:
            # Trouble with the store is no reason to ask a pixel again that X refuses.
            await self._blame.hear(event, group, outcome, is_open=is_open)
            raise
        await self._blame.hear(event, group, outcome, is_open=is_open)
        if isinstance(outcome, Delivered):
            await self._rejections.recall(hand.batch)
        return outcome, is_open

    async def _isolate(self, hand: InFlightBatch, group: Group, why: Outcome) -> None:
        batch, rejection_stats = hand.batch, self._rejection_stats_by_event[hand.batch.event]
        assert isinstance(why, Rejected | Errored)  # noqa: S101  told to the type checker
        self._shrink(group, why)
        if batch.event in self._pauses.paused() or not self._may_search(batch.event):
            at_once = batch.event in (*self._pauses.paused(), *self._searched)
            await self.give_back(batch, ids_of(group), wait=0 if at_once else ISOLATION_PAUSE)
            return
        mixed = self._mixed.intersection(ids_of(group))
        is_known = bool(mixed) or self._suspects.explain(group)
        bisect = Bisect(group, why, mixed | rejection_stats.cleared(group))
        with self._search(batch.event):
            rest = await self._look_through(hand, bisect, why)
        rest = (*rest, *bisect.give_up())
        self._mixed -= mixed
        self._mixed.update(one.id for one in rest if bisect.taken or one.id in mixed)
        rejection_stats.landed(taken=bisect.taken, refused=len(bisect.refused))
        if is_failed(why) and not bisect.taken:
            rejection_stats.failed(len(group))
        as_such = [found for found in bisect.refused if is_refused_as_such(found[1])]
        judged = [found for found in bisect.refused if not is_refused_as_such(found[1])]
        at_once = bisect.is_the_account or self.stopping
        if as_such and not bisect.taken and not is_known:
            await self._blame.all_alike(batch.event, as_such)
            rest, at_once = (*rest, *(one for one, _ in as_such)), True
        elif bisect.is_the_account:
            await self._rejections.blame_the_event(batch, bisect.refused)
            judged = []
        else:
            for delivery, refusal in as_such:
                await self._convict(batch, delivery, refusal)
        at_fault = ids_of(group) if bisect.taken else mixed
        await self._rejections.bury(batch, judged, at_fault=frozenset(at_fault))
        await self.give_back(batch, ids_of(rest), wait=0 if at_once else ISOLATION_PAUSE)

    async def _look_through(self, hand: InFlightBatch, bisect: Bisect, why: Outcome) -> Group:
        """Ask as isolation says; return what it said last, where that was not asked."""
        event = hand.batch.event
        while not (self.stopping or self._circuit_breaker.paused or event in self._pauses.paused()):
            group = bisect.next()
            if group is None:
                break
            if self._is_too_late(group):
                return group
            if not await self._asking.allowed(len(group)):
                self.most = max(1, len(hand.batch.deliveries) // 2)
                return group
            outcome, is_open = await self._try(hand, group, why)
            if isinstance(outcome, Delivered):
                bisect.took(group)
            elif is_open and isinstance(outcome, Rejected):
                bisect.learn(group, outcome)
            elif is_failed(outcome) and is_failed(why) and not self._cautious:
                bisect.failed(group, outcome)
                if len(group) == 1:
                    self._suspects.found(group[0])
            else:
                break
        return ()

    def _shrink(self, group: Group, why: Outcome) -> None:
        """Send less at once, where X calls it too much."""
        if not isinstance(why, Rejected) or why.scope is not RejectionScope.SIZE:
            return
        if any(complaint.message == spec.TOO_MANY_CONVERSIONS for complaint in why.complaints):
            self._roomy = self.most = max(1, len(group) // 2)
        else:
            size = sum(len(one.body) for one in group)
            self.most_bytes = min(self.most_bytes, max(_LEAST_BYTES, size // 2))

    async def _convict(self, batch: Batch, delivery: Delivery, refusal: Rejected) -> None:
        """Give up one that is refused as such again and again while X takes others; else wait."""
        if batch.event in self._pauses.paused():
            await self._rejections.blame_the_event(batch, [(delivery, refusal)])
            return
        proven, times = self._suspects.found(delivery, refusal)
        if proven >= CERTAIN:
            buried = Transition(
                trigger=Trigger.BURIED, deliveries=(delivery.id,), reason=refusal.reason
            )
            await self._settler.settle(batch, None, (buried,))
        else:
            wait = backoff(attempts=times, randomness=self._randomness.fraction())
            await self.give_back(batch, [delivery.id], wait=wait)

    def _may_search(self, event: str) -> bool:
        return event not in self._searched and len(self._searched) < self._searches

    @contextmanager
    def _search(self, event: str) -> Iterator[None]:
        self._searched.append(event)
        try:
            yield
        finally:
            self._searched.remove(event)

    def _is_too_late(self, group: Group) -> bool:
        """Whether the time of any that X may have ran out: to isolate can take half an hour."""
        now = self._now()
        since = [one.ambiguous_since for one in group if one.ambiguous_since is not None]
        return bool(since) and now - min(since) > AMBIGUITY_WINDOW

    async def _count_fault(self, hand: InFlightBatch, error: Exception) -> None:
        """Put a fault of ours on record; with what was being sent, it counts as a crash."""
        tries = max(one.attempts for one in hand.group) + 1
        due = self._now() + backoff(attempts=tries, randomness=self._randomness.fraction())
        tried = fault(
            hand.group,
            error,
            pixel=hand.batch.pixel,
            event=hand.batch.event,
            at=hand.at,
            ambiguous=hand.left,
        )
        blamed = Transition(trigger=Trigger.LAPSED, deliveries=ids_of(hand.group), due_at=due)
        named = set(blamed.deliveries)
        others = tuple(
            delivery.id for delivery in hand.batch.deliveries if delivery.id not in named
        )
        back = (
            (Transition(trigger=Trigger.POSTPONED, deliveries=others, due_at=due),)
            if others
            else ()
        )
        await self._settler.settle(hand.batch, tried, (blamed, *back))

    def _now(self) -> int:
        return self._clock.now()
