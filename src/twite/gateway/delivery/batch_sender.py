"""Send one claimed batch to X: send requests, bisect a refused batch, settle the deliveries.

A refusal or failure can be the fault of one conversion, of its event or of the pixel. The sender
tells these cases apart by what else X accepts in the meantime: other conversions of the batch, of
the event or of the pixel.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Final

import msgspec

from twite.domain.delivery import (
    Batch,
    Delivered,
    Delivery,
    Errored,
    Outcome,
    Rejected,
    Transition,
    Trigger,
    backoff,
)
from twite.domain.destination import Destination
from twite.domain.errors import TransientError
from twite.domain.pause import Pause
from twite.domain.times import MINUTE
from twite.gateway.delivery.bisect import BatchSize, Bisect
from twite.gateway.delivery.circuit_breaker import CircuitBreaker, EventPauses
from twite.gateway.delivery.groups import Group, ids_of
from twite.gateway.delivery.in_flight import SLOW, RequestsInFlight
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.rejections import Rejections, RejectionStats
from twite.gateway.delivery.settlement import (
    Blame,
    InFlightBatch,
    Settler,
    is_refused,
    is_too_late,
    transitions,
)
from twite.gateway.delivery.suspects import Suspects, is_failed, is_refused_as_such
from twite.gateway.delivery.x_client import RequestSender, XClient
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.outbox import DeliveryStore
from twite.x import spec

# How long deliveries wait that a bisect did not reach, because its budget is per minute.
BISECT_PAUSE: Final = MINUTE
_GIVING_BACK: Final = 1  # seconds


class BatchSender:
    """Sends and settles the batches of one pixel; several may be in flight at once.

    Its public methods are those of BatchHandler in gateway.delivery.batch_handler.
    """

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
        """`pauses` are the event pauses that are in force at the start."""
        self._cautious = destination.is_cautious
        self._delivery_store = delivery_store
        self._circuit_breaker = circuit_breaker
        self._clock = clock
        self._randomness = randomness
        self._observer = observer
        self._stats_by_event: dict[str, RejectionStats] = defaultdict(RejectionStats)
        self.requests = RequestsInFlight(clock=clock, slots=in_flight)
        self._suspects = Suspects(clock=clock, requests=self.requests)
        self._settler = Settler(
            delivery_store=delivery_store, clock=clock, observer=observer, lease=lease
        )
        self._settler.settling = self.requests.settling
        self.pauses = EventPauses(
            pixel=destination.pixel,
            state=delivery_store,
            clock=clock,
            observer=observer,
            pauses=pauses,
        )
        self._request_sender = RequestSender(
            destination=destination,
            x_client=x_client,
            rate_limit=rate_limit,
            settler=self._settler,
            suspects=self._suspects,
            requests=self.requests,
            pauses=self.pauses,
            clock=clock,
        )
        self._blame = Blame(
            suspects=self._suspects,
            circuit_breaker=circuit_breaker,
            pauses=self.pauses,
            randomness=randomness,
            cautious=destination.is_cautious,
        )
        self._rejections = Rejections(
            settler=self._settler,
            pauses=self.pauses,
            stats_by_event=self._stats_by_event,
        )
        # Deliveries (id → event) that a bisect did not reach, from batches that X accepted in part.
        self._mixed: dict[int, str] = {}
        self._size = BatchSize()
        self.stopping = False

    def use(self, destination: Destination) -> None:
        self._request_sender.use(destination)
        self._circuit_breaker.half_open()
        self.pauses.half_open()

    def limits(self) -> Mapping[str, int]:
        small = {
            event: rejection_stats.size
            for event, rejection_stats in self._stats_by_event.items()
            if rejection_stats.size < spec.MAX_CONVERSIONS
        }
        return small | dict.fromkeys(self.pauses.paused(), 1)

    def passing_events(self) -> frozenset[str]:
        """Return the events that the next claim must skip: paused and full ones."""
        full = self.requests.full(troubled=self._suspects.troubled(), limited=self.limits())
        return self.pauses.closed() | full

    def troubled_events(self) -> frozenset[str]:
        return self._suspects.troubled()

    def failing_events(self) -> frozenset[str]:
        return frozenset(self._blame.failing)

    @property
    def most(self) -> int:
        return self._size.most

    @property
    def most_bytes(self) -> int:
        return self._size.most_bytes

    def passing(self) -> frozenset[int]:
        """Return the deliveries that the next claim must skip: suspects, until their turn.

        A paused event is probed with fresh deliveries, not with isolated ones or the rest of a bad
        batch.
        """
        events = self.pauses.want_others()
        rest = (id_ for id_, event in self._mixed.items() if event in events)
        return self._suspects.passing().union(self._suspects.isolated_of(events), rest)

    def suspects(self) -> frozenset[int]:
        return self._suspects.known()

    @property
    def failed(self) -> dict[int, str]:
        return self._blame.failed

    def failed_but_one(self) -> frozenset[int]:
        return self._blame.failed_but_one()

    def claimed(self, batch: Batch) -> None:
        self.pauses.probed(batch.event)
        self._suspects.began(batch)

    async def take(self, batch: Batch) -> None:
        # If the store fails, sent deliveries stay `sending`: their lease expires, and Twite sends
        # them again as ambiguous. A bug in Twite counts as a crash that these deliveries caused.
        in_flight = InFlightBatch(batch, at=self._clock.now())
        try:
            try:
                await self._send_batch(in_flight)
            except TransientError:
                raise
            except asyncio.CancelledError:
                # The shutdown deadline has passed: do not wait for a slow store.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GIVING_BACK):
                        await self._settler.give_back(in_flight.batch, in_flight.rest())
                raise
            except Exception as error:  # noqa: BLE001  a sent request must be recorded
                self._observer.see(
                    ProblemSeen(where=ProblemPlace.BATCH, reason=type(error).__name__)
                )
                wait = self._backoff(max(delivery.attempts for delivery in in_flight.group) + 1)
                await self._settler.settle_fault(in_flight, error, due_at=self._clock.now() + wait)
        except TransientError as error:
            self._observer.see(ProblemSeen(where=ProblemPlace.OUTBOX, reason=error.reason))
        finally:
            self._suspects.ended(batch)

    async def give_back(self, batch: Batch, deliveries: Sequence[int]) -> None:
        await self._settler.give_back(batch, deliveries)

    async def _send_batch(self, in_flight: InFlightBatch) -> None:
        """Send the unsuspected deliveries, then the suspects, then each isolated delivery alone."""
        batch = in_flight.batch
        fresh, suspects, isolated = self._suspects.split(batch.deliveries)
        if suspects:
            # X can take half a minute to fail, so the suspects are sent before isolated deliveries.
            patient = tuple(filter(self._suspects.was_refused_alone, isolated))
            await self._settler.give_back(
                batch,
                [delivery.id for delivery in isolated if delivery not in patient],
                wait=BISECT_PAUSE,
            )
            isolated = patient
        groups = [*filter(None, (fresh, suspects)), *((delivery,) for delivery in isolated)]
        for place, group in enumerate(groups):
            allowed = await self._still_allowed(batch, group) if place else group
            # The rate limit counts a request when it leaves, so nothing may delay it from here on.
            if place and not await self._may_send(in_flight, allowed):
                for left in (allowed, *groups[place + 1 :]):
                    await self._settler.give_back(batch, ids_of(left))
                return
            if group is not fresh:
                # Suspects can take long. Meanwhile, the event's other deliveries may be sent.
                self.requests.yields(batch)
            if allowed:
                await self._send(in_flight, allowed)

    async def _may_send(self, in_flight: InFlightBatch, group: Group) -> bool:
        """Whether more of a batch may be sent (not after a slow request); spend the rate limit."""
        now, breaker = self._clock.now(), self._circuit_breaker
        is_late = is_too_late(group, now=now) or now - in_flight.at >= SLOW
        if self.stopping or breaker.is_tripped or breaker.backs_off or is_late:
            return False
        return await self._request_sender.allowed(len(group))

    async def _still_allowed(self, batch: Batch, group: Group) -> Group:
        """Return the deliveries of a group that may still be sent.

        The queue suppresses deliveries that were denied since the claim, or whose person opted out.
        """
        named = msgspec.structs.replace(batch, deliveries=group)
        withdrawn = set(await self._delivery_store.withdrawn(named))
        await self._settler.give_back(batch, [id_ for id_ in ids_of(group) if id_ in withdrawn])
        return tuple(delivery for delivery in group if delivery.id not in withdrawn)

    async def _send(self, in_flight: InFlightBatch, group: Group) -> None:
        """Send a group that the rate limit already counts; bisect it if X refuses it."""
        outcome, is_open = await self._try(in_flight, group)
        if is_open and len(group) > 1:
            await self._bisect(in_flight, group, outcome)
            return
        self._forget_mixed(group)
        if is_refused_as_such(outcome):
            if is_open:
                await self._give_up_or_back_off(in_flight.batch, group[0], outcome)
        elif is_refused(outcome):
            await self._rejections.give_up_or_hold(
                in_flight.batch, [(group[0], outcome)], at_fault=frozenset()
            )
        elif isinstance(outcome, Delivered):
            self._size.landed()
            self._stats_by_event[in_flight.batch.event].landed(taken=len(group), refused=0)
        elif is_failed(outcome) and len(group) == 1 and self._suspects.explain(group):
            self._suspects.found(group[0], event=in_flight.batch.event)

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
                now=self._clock.now(),
                randomness=self._randomness.fraction(),
                cautious=self._cautious,
            )
        await self._request_sender.note_limit(event, outcome)
        tried = self._request_sender.tried(in_flight, outcome, response)
        try:
            await self._settler.settle(in_flight.batch, tried, decided)
        except TransientError:
            # The circuit breaker must know of a refusal even if the store fails.
            await self._blame.record_outcome(event, group, outcome, is_open=is_open)
            raise
        await self._blame.record_outcome(event, group, outcome, is_open=is_open)
        if isinstance(outcome, Delivered):
            await self._rejections.recall(in_flight.batch)
        return outcome, is_open

    async def _bisect(self, in_flight: InFlightBatch, group: Group, why: Outcome) -> None:
        batch = in_flight.batch
        rejection_stats = self._stats_by_event[batch.event]
        assert isinstance(why, Rejected | Errored)  # noqa: S101  for the type checker
        self._size.too_many(group, why)
        # Only one batch of suspects is in flight at a time, so suspects use no slot of their event.
        suspected = self._suspects.explain(group)
        is_paused = batch.event in self.pauses.paused()
        if is_paused or not (suspected or self.requests.may_bisect(batch.event)):
            at_once = is_paused or self.requests.is_bisected(batch.event)
            await self._settler.give_back(batch, ids_of(group), wait=0 if at_once else BISECT_PAUSE)
            return
        is_known = self._forget_mixed(group) or suspected
        bisect = Bisect(group, why, rejection_stats.cleared(group))
        with nullcontext() if suspected else self.requests.bisecting(batch.event):
            rest = await self._run_bisect(in_flight, bisect, why)
        rest = (*rest, *bisect.give_up())
        self._size.too_large(bisect.too_large)
        if bisect.is_the_account:
            rejection_stats.doubt_too(ids_of(rest))
        if bisect.taken:
            self._mixed.update((delivery.id, batch.event) for delivery in rest)
        rejection_stats.landed(taken=bisect.taken, refused=len(bisect.refused))
        as_such = [found for found in bisect.refused if is_refused_as_such(found[1])]
        judged = [found for found in bisect.refused if not is_refused_as_such(found[1])]
        at_once = bisect.is_the_account or self.stopping or self._circuit_breaker.is_tripped
        if as_such and not bisect.taken and not is_known:
            await self._blame.all_alike(batch.event, as_such)
            rest, at_once = (*rest, *(delivery for delivery, _ in as_such)), True
        else:
            for delivery, refusal in as_such:
                await self._give_up_or_back_off(batch, delivery, refusal)
        await self._rejections.settle_bisect(batch, bisect, judged)
        await self._settler.give_back(batch, ids_of(rest), wait=0 if at_once else BISECT_PAUSE)

    async def _run_bisect(self, in_flight: InFlightBatch, bisect: Bisect, why: Outcome) -> Group:
        """Send the groups that the bisect returns; return the last one if it was not settled."""
        event = in_flight.batch.event
        while not (
            self.stopping or self._circuit_breaker.is_tripped or event in self.pauses.paused()
        ):
            group = bisect.next()
            if group is None:
                break
            group = await self._still_allowed(in_flight.batch, group)
            if not group:
                continue
            if is_too_late(group, now=self._clock.now()):
                return group
            if not await self._request_sender.allowed(len(group)):
                self._size.limited(len(in_flight.batch.deliveries))
                return group
            outcome, is_open = await self._try(in_flight, group, why)
            if isinstance(outcome, Delivered):
                bisect.took(group)
            elif is_open and isinstance(outcome, Rejected):
                bisect.learn(group, outcome)
            elif is_failed(outcome) and is_failed(why):
                bisect.failed(group, outcome)
                if len(group) == 1:
                    self._suspects.found(group[0], event=event)
            else:
                return group if is_open else ()
        return ()

    async def _give_up_or_back_off(
        self, batch: Batch, delivery: Delivery, refusal: Rejected
    ) -> None:
        """Give up a delivery that X keeps refusing while it accepts others; else back off."""
        if batch.event in self.pauses.paused():
            await self._rejections.blame_the_event(batch, [(delivery, refusal)])
            return
        proven, times = self._suspects.found(delivery, refusal, event=batch.event)
        if self._suspects.is_certain(proven):
            dead = Transition(
                trigger=Trigger.GIVEN_UP, deliveries=(delivery.id,), reason=refusal.reason
            )
            await self._settler.settle(batch, None, (dead,))
        else:
            await self._settler.give_back(batch, [delivery.id], wait=self._backoff(times))

    def _forget_mixed(self, group: Group) -> bool:
        """Forget that a bisect did not reach these deliveries; return whether it had missed any."""
        if not self._mixed:
            return False
        known = self._mixed.keys() & ids_of(group)
        for id_ in known:
            del self._mixed[id_]
        return bool(known)

    def _backoff(self, attempts: int) -> int:
        return backoff(attempts=attempts, randomness=self._randomness.fraction())
