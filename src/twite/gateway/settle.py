"""Settle: one pure function says what becomes of deliveries after an outcome."""

from collections.abc import Sequence

from twite.domain.delivery import ANSWER_LIMIT, Attempt, Delivery, Fate, Trigger
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, Scope
from twite.domain.retry import backoff
from twite.gateway.ports import Answer, NoAnswer


def fates(
    deliveries: Sequence[Delivery], outcome: Outcome, *, now: int, chance: float
) -> tuple[Fate, ...]:
    """Return what becomes of the deliveries of one request.

    `chance` is in [0, 1). A rejection of conversions is only for a request of one: a larger one is
    isolated first.
    """
    ids = tuple(delivery.id for delivery in deliveries)
    match outcome:
        case Delivered():
            return (Fate(trigger=Trigger.DELIVERED, deliveries=ids),)
        case Errored(reason=reason, retry_at=retry_at):
            tries = max(delivery.attempts for delivery in deliveries) + 1
            due = now + backoff(attempts=tries, chance=chance)
            # Not all at the very moment X names, nor before it.
            due = due if retry_at is None else retry_at + min(due - now, 5_000)
            return (Fate(trigger=Trigger.POSTPONED, deliveries=ids, due_at=due, reason=reason),)
        case Rejected(scope=Scope.PIXEL, reason=reason):
            # Nothing is wrong with these: they wait until the pixel is sent to again.
            return (Fate(trigger=Trigger.POSTPONED, deliveries=ids, due_at=now, reason=reason),)
        case Rejected(scope=Scope.EVENT, reason=reason):
            return (Fate(trigger=Trigger.HELD, deliveries=ids, reason=reason),)
        case Rejected(reason=reason):
            return (Fate(trigger=Trigger.BURIED, deliveries=ids, reason=reason),)


def attempt(
    deliveries: Sequence[Delivery],
    outcome: Outcome,
    came: Answer | NoAnswer,
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
        outcome=type(outcome).__name__.lower(),
        deliveries=tuple(delivery.id for delivery in deliveries),
        status=came.status if isinstance(came, Answer) else None,
        answer=_words(came),
        ambiguous=isinstance(outcome, Errored) and outcome.ambiguous,
    )


def _words(came: Answer | NoAnswer) -> str:
    if isinstance(came, NoAnswer):
        return came.reason[:ANSWER_LIMIT]
    return came.body[:ANSWER_LIMIT].decode("utf-8", "replace")
