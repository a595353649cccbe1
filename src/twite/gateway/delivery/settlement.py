"""Settlement: decide what an outcome does to deliveries (retry, dead letter), and store it."""

from collections.abc import Sequence
from typing import Final

from twite.domain.delivery import (
    ANSWER_LIMIT,
    MAY_COUNT_TWICE,
    Attempt,
    Batch,
    Delivery,
    Settlement,
    Transition,
    Trigger,
)
from twite.domain.outcome import (
    AttemptOutcome,
    Delivered,
    Errored,
    Outcome,
    Rejected,
    RejectionScope,
)
from twite.domain.retry import LAST_CEILING, backoff
from twite.domain.times import SECOND
from twite.gateway.delivery.in_flight_batch import InFlightBatch, ids_of
from twite.gateway.ports.events import Moved, Observer
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import DeliveryStore
from twite.gateway.ports.transport import NoResponse, Response

# A retry at a time that X named is spread over this interval after it.
LONGEST_JITTER: Final = 5 * SECOND


def transitions(
    deliveries: Sequence[Delivery],
    outcome: Outcome,
    *,
    now: int,
    randomness: float,
    cautious: bool = False,
) -> tuple[Transition, ...]:
    """Return the transitions of the deliveries of one request.

    `randomness` is in [0, 1). `cautious`: hold ambiguous deliveries instead of retrying them. A
    rejection of conversions must be for a request of one: larger ones are bisected first.
    """
    ids = tuple(delivery.id for delivery in deliveries)
    match outcome:
        case Delivered():
            return (Transition(trigger=Trigger.DELIVERED, deliveries=ids),)
        case Errored(ambiguous=True) if cautious:
            return (Transition(trigger=Trigger.HELD, deliveries=ids, reason=MAY_COUNT_TWICE),)
        case Errored(reason=reason, retry_at=retry_at):
            tries = max(delivery.attempts for delivery in deliveries) + 1
            due = now + (wait := backoff(attempts=tries, randomness=randomness))
            if retry_at is not None:
                # Spread retries after the time X names, never before it. A time beyond the longest
                # back-off is cut; the rate limit is checked again at the claim.
                due = min(retry_at, now + LAST_CEILING) + min(wait, LONGEST_JITTER)
            return (
                Transition(trigger=Trigger.POSTPONED, deliveries=ids, due_at=due, reason=reason),
            )
        case Rejected(scope=RejectionScope.PIXEL | RejectionScope.UNCLEAR, reason=reason):
            # Nothing is wrong with these: they wait until the circuit breaker closes.
            return (
                Transition(trigger=Trigger.POSTPONED, deliveries=ids, due_at=now, reason=reason),
            )
        case Rejected(scope=RejectionScope.EVENT, reason=reason):
            return (Transition(trigger=Trigger.HELD, deliveries=ids, reason=reason),)
        case Rejected(reason=reason):
            return (Transition(trigger=Trigger.GIVEN_UP, deliveries=ids, reason=reason),)


def attempt(
    deliveries: Sequence[Delivery],
    outcome: Outcome,
    response: Response | NoResponse,
    *,
    pixel: str,
    event: str,
    at: int,
) -> Attempt:
    """Return the record of one request: its deliveries, the response and the outcome."""
    return Attempt(
        at=at,
        pixel=pixel,
        event=event,
        outcome=outcome.kind,
        deliveries=tuple(delivery.id for delivery in deliveries),
        status=response.status if isinstance(response, Response) else None,
        answer=_words(response),
        ambiguous=isinstance(outcome, Errored) and outcome.ambiguous,
    )


def fault(
    deliveries: Sequence[Delivery],
    error: Exception,
    *,
    pixel: str,
    event: str,
    at: int,
    ambiguous: bool,
) -> Attempt:
    """Return the record of an attempt that ended in a bug of Twite's."""
    return Attempt(
        at=at,
        pixel=pixel,
        event=event,
        outcome=AttemptOutcome.ERRORED,
        deliveries=tuple(delivery.id for delivery in deliveries),
        answer=f"a fault of Twite's own: {type(error).__name__}",
        ambiguous=ambiguous,
    )


class Settler:
    """Stores settlements and reports them. `lease` (ms): for deliveries not settled yet."""

    def __init__(
        self, *, delivery_store: DeliveryStore, clock: Clock, observer: Observer, lease: int
    ) -> None:
        self._delivery_store = delivery_store
        self._clock = clock
        self._observer = observer
        self._lease = lease

    async def settle(
        self, batch: Batch, tried: Attempt | None, decided: tuple[Transition, ...]
    ) -> None:
        """Write an attempt and transitions together. Raises LedgerUnavailable."""
        await self._delivery_store.settle(
            Settlement(
                lease=batch.lease,
                attempt=tried,
                transitions=decided,
                lease_until=self._clock.now() + self._lease,
            )
        )
        for transition in decided:
            self._observer.see(
                Moved(
                    pixel=batch.pixel,
                    trigger=transition.trigger,
                    deliveries=len(transition.deliveries),
                    reason=transition.reason or "",
                    waited=_waited(batch, transition, now=self._clock.now()),
                )
            )

    async def settle_fault(
        self, in_flight: InFlightBatch, error: Exception, *, due_at: int
    ) -> None:
        """Write a bug of Twite's; it counts as a crash of the deliveries being sent."""
        batch, named = in_flight.batch, ids_of(in_flight.group)
        tried = fault(
            in_flight.group,
            error,
            pixel=batch.pixel,
            event=batch.event,
            at=in_flight.at,
            ambiguous=in_flight.left,
        )
        blamed = Transition(trigger=Trigger.EXPIRED, deliveries=named, due_at=due_at)
        others = tuple(id_ for id_ in ids_of(batch.deliveries) if id_ not in set(named))
        back = Transition(trigger=Trigger.POSTPONED, deliveries=others, due_at=due_at)
        await self.settle(batch, tried, (blamed, back) if others else (blamed,))


def _waited(batch: Batch, transition: Transition, *, now: int) -> tuple[int, ...]:
    """Return the milliseconds from receipt to delivery, for each delivery X accepted."""
    if transition.trigger is not Trigger.DELIVERED:
        return ()
    taken = frozenset(transition.deliveries)
    return tuple(
        max(0, now - delivery.received_at) for delivery in batch.deliveries if delivery.id in taken
    )


def _words(response: Response | NoResponse) -> str:
    if isinstance(response, NoResponse):
        return response.reason[:ANSWER_LIMIT]
    return response.body[:ANSWER_LIMIT].decode("utf-8", "replace")
