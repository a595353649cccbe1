"""The transitions of the deliveries of one request: delivered, retried, held or given up."""

from collections.abc import Sequence
from typing import Final

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import (
    AMBIGUITY_WINDOW,
    LAST_CEILING,
    MAY_COUNT_TWICE,
    Delivery,
    Group,
    Transition,
    Trigger,
    ambiguous_of,
    backoff,
    ids_of,
)
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, RejectionScope
from twite.domain.times import SECOND

# If X names a time for a retry, retries are spread over this interval after it.
LONGEST_JITTER: Final = 5 * SECOND


def transitions(
    deliveries: Sequence[Delivery],
    outcome: Outcome,
    *,
    now: int,
    jitter: float,
    is_cautious: bool = False,
) -> tuple[Transition, ...]:
    """Return the transitions of the deliveries of one request.

    `jitter` is in [0, 1). `is_cautious`: hold ambiguous deliveries instead of retrying them. A
    rejected request must have a single conversion, because larger ones are bisected first.
    """
    ids = ids_of(deliveries)
    match outcome:
        case Delivered():
            transition = Transition(trigger=Trigger.DELIVERED, deliveries=ids)
        case Errored(ambiguous=True) if is_cautious:
            transition = _ended(Trigger.HELD, ids, DeliveryCause.MAY_COUNT_TWICE, MAY_COUNT_TWICE)
        case Errored(reason=reason, retry_at=retry_at):
            tries = max(delivery.attempts for delivery in deliveries) + 1
            due = now + (wait := backoff(attempts=tries, randomness=jitter))
            if retry_at is not None:
                # Spread retries after the time that X named, never before it. If it is further
                # ahead than the longest back-off, retry earlier; the claim checks the rate limit
                # again.
                due = min(retry_at, now + LAST_CEILING) + min(wait, LONGEST_JITTER)
            transition = postponed(ids, due, reason)
        case Rejected(scope=RejectionScope.PIXEL | RejectionScope.UNCLEAR, reason=reason):
            # These deliveries are not at fault: they wait until the circuit breaker closes.
            transition = postponed(ids, now, reason)
        case Rejected(scope=RejectionScope.EVENT, reason=reason):
            transition = _ended(Trigger.HELD, ids, DeliveryCause.EVENT_UNKNOWN, reason)
        case _:
            transition = given_up(ids, outcome.reason)
    return (transition,)


def postponed(ids: tuple[int, ...], due_at: int, reason: str | None = None) -> Transition:
    return Transition(trigger=Trigger.POSTPONED, deliveries=ids, due_at=due_at, reason=reason)


def given_up(ids: tuple[int, ...], reason: str) -> Transition:
    return _ended(Trigger.GIVEN_UP, ids, DeliveryCause.REFUSED, reason)


def refused_alike(ids: tuple[int, ...], reason: str) -> Transition:
    return _ended(Trigger.HELD, ids, DeliveryCause.REFUSED_ALIKE, reason)


def _ended(trigger: Trigger, ids: tuple[int, ...], cause: DeliveryCause, reason: str) -> Transition:
    return Transition(trigger=trigger, deliveries=ids, cause=cause, reason=reason)


def is_too_late(group: Group, *, now: int) -> bool:
    """Whether an ambiguous delivery has become too old to resend, for example during a bisect."""
    since = ambiguous_of(group)
    return bool(since) and now - min(since) > AMBIGUITY_WINDOW
