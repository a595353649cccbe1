"""Settle: a pure function says what becomes of deliveries after an outcome; then it is written."""

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
from twite.gateway.ports.events import Moved, Observer
from twite.gateway.ports.store import Clock, DeliveryStore, NoResponse, Response

# What waits for a moment that X named comes back within this of it.
LONGEST_JITTER: Final = 5 * SECOND


def fates(
    deliveries: Sequence[Delivery],
    outcome: Outcome,
    *,
    now: int,
    randomness: float,
    cautious: bool = False,
) -> tuple[Transition, ...]:
    """Return what becomes of the deliveries of one request.

    `chance` is in [0, 1); `cautious`: what X may have is not sent again by itself. A rejection of
    conversions is only for a request of one: a larger one is isolated first.
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
                # Not all at the very moment X names, nor before it. What is further away than we
                # ever wait is asked about earlier; a limit is minded by who claims in any case.
                due = min(retry_at, now + LAST_CEILING) + min(wait, LONGEST_JITTER)
            return (
                Transition(trigger=Trigger.POSTPONED, deliveries=ids, due_at=due, reason=reason),
            )
        case Rejected(scope=RejectionScope.PIXEL | RejectionScope.UNCLEAR, reason=reason):
            # Nothing is wrong with these: they wait until the pixel is sent to again.
            return (
                Transition(trigger=Trigger.POSTPONED, deliveries=ids, due_at=now, reason=reason),
            )
        case Rejected(scope=RejectionScope.EVENT, reason=reason):
            return (Transition(trigger=Trigger.HELD, deliveries=ids, reason=reason),)
        case Rejected(reason=reason):
            return (Transition(trigger=Trigger.BURIED, deliveries=ids, reason=reason),)


def attempt(
    deliveries: Sequence[Delivery],
    outcome: Outcome,
    came: Response | NoResponse,
    *,
    pixel: str,
    event: str,
    at: int,
) -> Attempt:
    """Return the record of one request: what it held, what came back, what that means."""
    return Attempt(
        at=at,
        pixel=pixel,
        event=event,
        outcome=outcome.kind,
        deliveries=tuple(delivery.id for delivery in deliveries),
        status=came.status if isinstance(came, Response) else None,
        answer=_words(came),
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
    """Return the record of a try that ended in a fault of our own."""
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
    """Writes settlements down, and tells of them. `lease` (ms): how long the rest stays leased."""

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
        """Write an attempt and fates together. Raises LedgerUnavailable."""
        await self._delivery_store.settle(
            Settlement(
                lease=batch.lease,
                attempt=tried,
                fates=decided,
                lease_until=self._clock.now() + self._lease,
            )
        )
        for fate in decided:
            self._observer.see(
                Moved(
                    pixel=batch.pixel,
                    trigger=fate.trigger,
                    deliveries=len(fate.deliveries),
                    reason=fate.reason or "",
                    waited=_waited(batch, fate, now=self._clock.now()),
                )
            )


def _waited(batch: Batch, fate: Transition, *, now: int) -> tuple[int, ...]:
    """Return how long each that X took had waited since it was received, in milliseconds."""
    if fate.trigger is not Trigger.DELIVERED:
        return ()
    taken = frozenset(fate.deliveries)
    return tuple(
        max(0, now - delivery.received_at) for delivery in batch.deliveries if delivery.id in taken
    )


def _words(came: Response | NoResponse) -> str:
    if isinstance(came, NoResponse):
        return came.reason[:ANSWER_LIMIT]
    return came.body[:ANSWER_LIMIT].decode("utf-8", "replace")
