"""Send one claimed batch to X: request, answer, bisect of a refused batch, settlement.

A refusal or failure can be the fault of one conversion, of its event or of the pixel. The sender
tells them apart by what X accepts meanwhile: conversions of the same batch, event or pixel.
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
from twite.gateway.delivery.settlement import Settler, fault, transitions
from twite.gateway.delivery.suspects import CERTAIN, Suspects, is_failed, is_refused_as_such
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.outbox import DeliveryStore
from twite.gateway.ports.state import Pause
from twite.x import spec

# Deliveries that a bisect did not reach are retried after this: its budget is for a minute.
BISECT_PAUSE: Final = MINUTE
# A batch that fails for the third time, while X accepts nothing else, is halved.
_AGAIN: Final = 2
# A batch that X calls too large is halved, but never below this size.
_LEAST_BYTES: Final = 50_000
_GIVING_BACK: Final = 1  # seconds


class BatchSender:
    """Sends and settles the batches of one pixel; several may be in flight at once."""

    def __init__(
        self,
        *,
        destination: Destination,
        delivery_store: DeliveryStore,
        x_client: XClient,
        rate_limit: RateLimit,
        circuit_breaker: CircuitBreaker,
        clock: MonotonicClock,
        randomness: Randomness,
        observer: Observer,
        lease: int,
        in_flight: int,
        pauses: Iterable[Pause] = (),
    ) -> None:
        """`pauses` are the event pauses in force at the start."""
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
        self._request_sender = RequestSender(
            destination=destination,
            delivery_store=delivery_store,
            x_client=x_client,
            rate_limit=rate_limit,
            settler=self._settler,
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
            settler=self._settler,
            pauses=self._pauses,
            rejection_stats_by_event=self._rejection_stats_by_event,
            clock=clock,
            observer=observer,
        )
        # Deliveries that a bisect did not reach, of batches of which X accepted some.
        self._mixed: set[int] = set()
        # Batches in flight by event, and the events being bisected: bisecting never takes up all
        # slots of the pixel.
        self._batches_by_event: dict[str, int] = defaultdict(int)
        self._bisected_events: list[str] = []
        self._max_bisections = max(1, in_flight // 2)
        self.stopping = False
        # The size of the next batch. It shrinks while the rate limit leaves too little for a
        # bisect; otherwise the same bad batch would use up every window.
        self.most = spec.MAX_CONVERSIONS
        self.most_bytes = MOST_BYTES
        # The size that X itself accepts.
        self._max_by_x = spec.MAX_CONVERSIONS

    def use(self, destination: Destination) -> None:
        """Send with other credentials of the same pixel from now on."""
        self._request_sender.use(destination)
        self._circuit_breaker.half_open()
        self._pauses.half_open()

    async def release(self) -> None:
        """End all event pauses at a user's request. Raises LedgerUnavailable."""
        await self._pauses.release()

    def limits(self) -> Mapping[str, int]:
        """Return the batch size by event, for events whose limit is below the usual one."""
        small = {
            event: rejection_stats.size
            for event, rejection_stats in self._rejection_stats_by_event.items()
            if rejection_stats.size < spec.MAX_CONVERSIONS
        }
        return small | dict.fromkeys(self._pauses.paused(), 1)

    def passing_events(self) -> frozenset[str]:
        """Return the events the next claim must pass over.

        Those are paused, or in trouble with one batch in flight already: a second batch would meet
        the same trouble and take a slot from healthy events.
        """
        troubled = {
            event
            for event, many in self._batches_by_event.items()
            if many and (event in self._bisected_events or event in self.limits())
        }
        return self._pauses.closed() | troubled

    @property
    def failed(self) -> dict[int, str]:
        """The deliveries (id → event) that failed since X last accepted one: others probe."""
        return self._blame.failed

    def claimed(self, batch: Batch) -> None:
        """Record that a batch was claimed and is about to be sent."""
        self._pauses.probed(batch.event)
        self._batches_by_event[batch.event] += 1

    async def take(self, batch: Batch) -> None:
        """Send a batch and settle every delivery of it.

        If the store fails, sent deliveries stay `sending`: their lease expires, and they are sent
        again as ambiguous. A bug in Twite counts as a crash of the deliveries being sent.
        """
        in_flight = InFlightBatch(batch, at=self._now())
        try:
            try:
                await self._send_batch(in_flight)
            except TransientError:
                raise
            except asyncio.CancelledError:
                # The shutdown deadline has passed: do not wait for a slow store.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GIVING_BACK):
                        await self.give_back(in_flight.batch, in_flight.rest())
                raise
            except Exception as error:  # noqa: BLE001  a sent request must be recorded
                self._observer.see(Troubled(where=TroublePlace.BATCH, reason=type(error).__name__))
                await self._count_fault(in_flight, error)
        except TransientError as error:
            self._observer.see(Troubled(where=TroublePlace.OUTBOX, reason=error.reason))
        finally:
            self._batches_by_event[batch.event] = max(0, self._batches_by_event[batch.event] - 1)

    async def give_back(self, batch: Batch, deliveries: Sequence[int], *, wait: int = 0) -> None:
        """Return unsent deliveries to the queue. This counts as no attempt."""
        if not deliveries:
            return
        due = self._now() + wait
        back = Transition(trigger=Trigger.POSTPONED, deliveries=tuple(deliveries), due_at=due)
        await self._settler.settle(batch, None, (back,))

    async def _send_batch(self, in_flight: InFlightBatch) -> None:
        """Send the deliveries that may share a request, then each suspect by itself."""
        together, alone_deliveries = self._split_suspects(in_flight.batch)
        if together:
            await self._send(in_flight, together)
        if not alone_deliveries:
            return
        if not together and len(alone_deliveries) == 1:
            await self._send(in_flight, alone_deliveries)
            return
        sent = 0
        if self._may_bisect(in_flight.batch.event):
            with self._bisecting(in_flight.batch.event):
                while sent < min(BUDGET, len(alone_deliveries)) and self._may_send(
                    alone_deliveries[sent]
                ):
                    sent += 1
                    await self._send(in_flight, (alone_deliveries[sent - 1],))
        wait = 0 if self.stopping else BISECT_PAUSE
        await self.give_back(in_flight.batch, ids_of(alone_deliveries[sent:]), wait=wait)

    def _split_suspects(self, batch: Batch) -> tuple[Group, Group]:
        """Return (deliveries that may share a request, suspects that go alone)."""
        alone = {delivery.id for delivery in batch.deliveries if self._suspects.alone(delivery)}
        return (
            tuple(delivery for delivery in batch.deliveries if delivery.id not in alone),
            tuple(delivery for delivery in batch.deliveries if delivery.id in alone),
        )

    def _may_send(self, delivery: Delivery) -> bool:
        stopped = self.stopping or self._circuit_breaker.paused or self._request_sender.is_limited
        return not (stopped or self._is_too_late((delivery,)))

    async def _send(self, in_flight: InFlightBatch, group: Group) -> None:
        """Send a group that the rate limit has counted; bisect it if X refuses it."""
        outcome, is_open = await self._try(in_flight, group)
        rejection_stats = self._rejection_stats_by_event[in_flight.batch.event]
        if is_open and len(group) > 1:
            await self._bisect(in_flight, group, outcome)
            return
        mixed = self._mixed.intersection(ids_of(group))
        self._mixed -= mixed
        if is_refused_as_such(outcome):
            if is_open:
                await self._give_up_or_back_off(in_flight.batch, group[0], outcome)
        elif is_refused(outcome):
            await self._rejections.give_up_or_hold(
                in_flight.batch, [(group[0], outcome)], at_fault=mixed
            )
        elif isinstance(outcome, Delivered):
            self.most = min(self._max_by_x, self.most * 2)
            if 2 * sum(len(delivery.body) for delivery in group) >= self.most_bytes:
                self.most_bytes = min(MOST_BYTES, self.most_bytes * 2)
            rejection_stats.landed(taken=len(group), refused=0)
        elif is_failed(outcome) and max(delivery.attempts for delivery in group) >= _AGAIN:
            rejection_stats.failed(len(group))
            if len(group) == 1 and self._suspects.explain(group):
                self._suspects.found(group[0])

    async def _try(
        self, in_flight: InFlightBatch, group: Group, why: Outcome | None = None
    ) -> tuple[Outcome, bool]:
        """Send a group, and settle it unless a bisect has to find which delivery is at fault.

        Returns (outcome, whether a bisect is needed). `why` is the refusal being bisected.
        """
        event = in_flight.batch.event
        response, outcome = await self._request_sender.ask(in_flight, group)
        is_open = self._blame.is_open(event, group, outcome, why)
        decided: tuple[Transition, ...] = ()
        if not is_open:
            decided = transitions(
                group,
                outcome,
                now=self._now(),
                randomness=self._randomness.fraction(),
                cautious=self._cautious,
            )
        await self._request_sender.note_limit()
        tried = self._request_sender.tried(in_flight, outcome, response)
        try:
            await self._settler.settle(in_flight.batch, tried, decided)
        except TransientError:
            # Even if the store fails, the circuit breaker must learn of a refusal.
            await self._blame.hear(event, group, outcome, is_open=is_open)
            raise
        await self._blame.hear(event, group, outcome, is_open=is_open)
        if isinstance(outcome, Delivered):
            await self._rejections.recall(in_flight.batch)
        return outcome, is_open

    async def _bisect(self, in_flight: InFlightBatch, group: Group, why: Outcome) -> None:
        batch, rejection_stats = (
            in_flight.batch,
            self._rejection_stats_by_event[in_flight.batch.event],
        )
        assert isinstance(why, Rejected | Errored)  # noqa: S101  told to the type checker
        self._shrink(group, why)
        if batch.event in self._pauses.paused() or not self._may_bisect(batch.event):
            at_once = batch.event in (*self._pauses.paused(), *self._bisected_events)
            await self.give_back(batch, ids_of(group), wait=0 if at_once else BISECT_PAUSE)
            return
        mixed = self._mixed.intersection(ids_of(group))
        is_known = bool(mixed) or self._suspects.explain(group)
        bisect = Bisect(group, why, mixed | rejection_stats.cleared(group))
        with self._bisecting(batch.event):
            rest = await self._run_bisect(in_flight, bisect, why)
        rest = (*rest, *bisect.give_up())
        self._mixed -= mixed
        self._mixed.update(delivery.id for delivery in rest if bisect.taken or delivery.id in mixed)
        rejection_stats.landed(taken=bisect.taken, refused=len(bisect.refused))
        if is_failed(why) and not bisect.taken:
            rejection_stats.failed(len(group))
        as_such = [found for found in bisect.refused if is_refused_as_such(found[1])]
        judged = [found for found in bisect.refused if not is_refused_as_such(found[1])]
        at_once = bisect.is_the_account or self.stopping
        if as_such and not bisect.taken and not is_known:
            await self._blame.all_alike(batch.event, as_such)
            rest, at_once = (*rest, *(delivery for delivery, _ in as_such)), True
        elif bisect.is_the_account:
            await self._rejections.blame_the_event(batch, bisect.refused)
            judged = []
        else:
            for delivery, refusal in as_such:
                await self._give_up_or_back_off(batch, delivery, refusal)
        at_fault = ids_of(group) if bisect.taken else mixed
        await self._rejections.give_up_or_hold(batch, judged, at_fault=frozenset(at_fault))
        await self.give_back(batch, ids_of(rest), wait=0 if at_once else BISECT_PAUSE)

    async def _run_bisect(self, in_flight: InFlightBatch, bisect: Bisect, why: Outcome) -> Group:
        """Send the groups the bisect names; return the last one if it was not sent."""
        event = in_flight.batch.event
        while not (self.stopping or self._circuit_breaker.paused or event in self._pauses.paused()):
            group = bisect.next()
            if group is None:
                break
            if self._is_too_late(group):
                return group
            if not await self._request_sender.allowed(len(group)):
                self.most = max(1, len(in_flight.batch.deliveries) // 2)
                return group
            outcome, is_open = await self._try(in_flight, group, why)
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
        """Shrink the next batches if X called this one too large."""
        if not isinstance(why, Rejected) or why.scope is not RejectionScope.SIZE:
            return
        if any(complaint.message == spec.TOO_MANY_CONVERSIONS for complaint in why.complaints):
            self._max_by_x = self.most = max(1, len(group) // 2)
        else:
            size = sum(len(delivery.body) for delivery in group)
            self.most_bytes = min(self.most_bytes, max(_LEAST_BYTES, size // 2))

    async def _give_up_or_back_off(
        self, batch: Batch, delivery: Delivery, refusal: Rejected
    ) -> None:
        """Give up a delivery that X keeps refusing while it accepts others; else back off."""
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

    def _may_bisect(self, event: str) -> bool:
        return (
            event not in self._bisected_events and len(self._bisected_events) < self._max_bisections
        )

    @contextmanager
    def _bisecting(self, event: str) -> Iterator[None]:
        self._bisected_events.append(event)
        try:
            yield
        finally:
            self._bisected_events.remove(event)

    def _is_too_late(self, group: Group) -> bool:
        """Whether an ambiguous delivery is too old to resend: a bisect can take half an hour."""
        now = self._now()
        since = [
            delivery.ambiguous_since for delivery in group if delivery.ambiguous_since is not None
        ]
        return bool(since) and now - min(since) > AMBIGUITY_WINDOW

    async def _count_fault(self, in_flight: InFlightBatch, error: Exception) -> None:
        """Record a bug of Twite's; it counts as a crash of the deliveries being sent."""
        tries = max(delivery.attempts for delivery in in_flight.group) + 1
        due = self._now() + backoff(attempts=tries, randomness=self._randomness.fraction())
        tried = fault(
            in_flight.group,
            error,
            pixel=in_flight.batch.pixel,
            event=in_flight.batch.event,
            at=in_flight.at,
            ambiguous=in_flight.left,
        )
        blamed = Transition(trigger=Trigger.LAPSED, deliveries=ids_of(in_flight.group), due_at=due)
        named = set(blamed.deliveries)
        others = tuple(
            delivery.id for delivery in in_flight.batch.deliveries if delivery.id not in named
        )
        back = (
            (Transition(trigger=Trigger.POSTPONED, deliveries=others, due_at=due),)
            if others
            else ()
        )
        await self._settler.settle(in_flight.batch, tried, (blamed, *back))

    def _now(self) -> int:
        return self._clock.now()
