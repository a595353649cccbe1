"""Send one claimed batch to X: send requests, bisect a refused batch, settle the deliveries.

`learn` in `twite.domain.blame` decides what to do after each answer; the sender carries it out.
"""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Final

import msgspec

from twite.domain.blame.bisect import Bisect
from twite.domain.blame.judge import Answer
from twite.domain.blame.learn import BISECT_PAUSE, Actions, Learned, end_bisect, learn, undo
from twite.domain.blame.transitions import is_too_late
from twite.domain.delivery import Attempt, Batch, Group, Trigger, backoff, ids_of
from twite.domain.destination import Destination
from twite.domain.errors import TransientError
from twite.domain.outcome import Delivered, Outcome, Rejected, is_failure
from twite.gateway.delivery.current_evidence import CurrentEvidence
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.requests_in_flight import SLOW, RequestsInFlight
from twite.gateway.delivery.settler import InFlightBatch, Settler
from twite.gateway.delivery.x_client import RequestSender, XClient
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.outbox import DeliveryStore, HoldRejected, Recall

_GIVING_BACK: Final = 1  # seconds


class BatchSender:
    """Sends and settles the batches of one pixel; several may be in flight at once.

    Its public methods are those of BatchHandler in gateway.delivery.worker.
    """

    separates_events = True

    def __init__(
        self,
        *,
        destination: Destination,
        delivery_store: DeliveryStore,
        x_client: XClient,
        rate_limit: RateLimit,
        current_evidence: CurrentEvidence,
        clock: MonotonicClock,
        observer: Observer,
        lease: int,
        in_flight: int,
    ) -> None:
        self._delivery_store = delivery_store
        self._current = current_evidence
        self._clock = clock
        self._observer = observer
        self.requests = RequestsInFlight(clock=clock, slots=in_flight)
        self._settler = Settler(
            delivery_store=delivery_store,
            clock=clock,
            observer=observer,
            lease=lease,
            settling=self.requests.settling,
        )
        self._request_sender = RequestSender(
            destination=destination,
            x_client=x_client,
            rate_limit=rate_limit,
            settler=self._settler,
            requests=self.requests,
            clock=clock,
        )
        self.stopping = False

    def use(self, destination: Destination) -> None:
        self._request_sender.use(destination)
        self._current.half_open()

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
                self._observer.see(ProblemSeen.of(ProblemPlace.BATCH, error))
                attempts = max(delivery.attempts for delivery in in_flight.group) + 1
                wait = backoff(attempts=attempts, randomness=self._current.instant().jitter)
                await self._settler.settle_fault(in_flight, error, due_at=self._clock.now() + wait)
        except TransientError as error:
            self._observer.see(ProblemSeen.of(ProblemPlace.OUTBOX, error))
        finally:
            self._current.update(self._current.evidence.ended(batch))

    async def give_back(self, batch: Batch, deliveries: Sequence[int]) -> None:
        await self._settler.give_back(batch, deliveries)

    async def _send_batch(self, in_flight: InFlightBatch) -> None:
        """Send the unsuspected deliveries, then the suspects, then each isolated delivery alone."""
        batch = in_flight.batch
        known = self._current.evidence.suspects
        fresh, suspects, isolated = known.split(batch.deliveries)
        if suspects:
            # X can take half a minute to fail, so the suspects are sent before isolated deliveries.
            patient = tuple(filter(known.was_refused_alone, isolated))
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
        now, breaker = self._clock.now(), self._current.evidence.breaker
        is_late = is_too_late(group, now=now) or now - in_flight.at >= SLOW
        if self.stopping or breaker.is_tripped or self._current.backs_off or is_late:
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
        _, actions = await self._ask(in_flight, group)
        if actions.bisect is not None:
            await self._bisect(in_flight, actions.bisect)

    async def _ask(
        self, in_flight: InFlightBatch, group: Group, why: Outcome | None = None
    ) -> tuple[Outcome, Actions]:
        """Send a group, learn from the answer, and act. `why` is the outcome being bisected."""
        event = in_flight.batch.event
        response, outcome = await self._request_sender.ask(in_flight, group)
        answer = Answer(
            event=event,
            group=group,
            outcome=outcome,
            why=why,
            was_hanging=in_flight.was_hanging,
            is_account_limited=self._request_sender.is_closed_by_x,
            is_bisected=self.requests.is_bisected(event),
            may_bisect=self.requests.may_bisect(event),
        )
        actions = self._learned(learn(self._current.evidence, answer, self._current.instant()))
        await self._request_sender.store_window()
        attempt = self._request_sender.tried(in_flight, outcome, response)
        await self._act(in_flight.batch, actions, attempt)
        return outcome, actions

    def _learned(self, learned: Learned) -> Actions:
        evidence, actions = learned
        self._current.update(evidence)
        return actions

    async def _act(self, batch: Batch, actions: Actions, attempt: Attempt | None = None) -> None:
        """Carry out actions, except for a bisect. Raises LedgerUnavailable."""
        current = self._current
        try:
            if attempt is not None or actions.transitions:
                await self._settler.settle(batch, attempt, actions.transitions)
            if actions.to_hold:
                hold = HoldRejected(deliveries=actions.to_hold, reason=actions.reason)
                await self._settler.move(
                    hold, Trigger.HELD, pixel=batch.pixel, reason=actions.reason
                )
        except TransientError:
            current.update(undo(current.evidence, batch.event, actions))
            # A pause of the pixel must be stored even if its deliveries cannot be settled.
            await current.write_pauses()
            raise
        try:
            await current.write_pauses()
            if actions.recalls:
                recall = Recall(pixel=batch.pixel, event=batch.event)
                await self._settler.move(recall, Trigger.RECALLED, pixel=batch.pixel)
        except TransientError:
            current.update(undo(current.evidence, batch.event, Actions(recalls=actions.recalls)))
            raise

    async def _bisect(self, in_flight: InFlightBatch, bisect: Bisect) -> None:
        event = in_flight.batch.event
        with nullcontext() if bisect.is_suspected else self.requests.bisecting(event):
            bisect, unsent = await self._run_bisect(in_flight, bisect)
        evidence, instant = self._current.evidence, self._current.instant()
        learned = end_bisect(evidence, event, bisect, unsent, instant, at_once=self.stopping)
        await self._act(in_flight.batch, self._learned(learned))

    async def _run_bisect(self, in_flight: InFlightBatch, bisect: Bisect) -> tuple[Bisect, Group]:
        """Send the groups of a bisect; return it, and the last group if that was not settled."""
        while not (self.stopping or self._is_paused(in_flight.batch.event) or bisect.is_over):
            bisect, group = bisect.next()
            group = await self._still_allowed(in_flight.batch, group)
            if not group:
                continue
            if is_too_late(group, now=self._clock.now()):
                return bisect, group
            if not await self._request_sender.allowed(len(group)):
                evidence = self._current.evidence
                size = evidence.size.limited(len(in_flight.batch.deliveries))
                self._current.update(evidence.but(size=size))
                return bisect, group
            outcome, actions = await self._ask(in_flight, group, bisect.why)
            is_bad = actions.is_open and isinstance(outcome, Rejected)
            is_failed = is_failure(outcome) and is_failure(bisect.why)
            if not (is_bad or is_failed or isinstance(outcome, Delivered)):
                return bisect, group if actions.is_open else ()
            bisect = bisect.answered(group, outcome)
        return bisect, ()

    def _is_paused(self, event: str) -> bool:
        evidence = self._current.evidence
        return evidence.breaker.is_tripped or event in evidence.pauses
