"""Settler: stores what becomes of deliveries, and the records of attempts."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from twite.domain.delivery import (
    ANSWER_LIMIT,
    Attempt,
    Batch,
    Delivery,
    Settlement,
    Transition,
    Trigger,
    ids_of,
    received_of,
)
from twite.domain.outcome import AttemptOutcome, Errored, Outcome
from twite.gateway.ports.events import Moved, Observer
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import DeliveryStore, HoldRejected, Recall
from twite.gateway.ports.transport import NoResponse, Response


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
        deliveries=ids_of(deliveries),
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
    """Return the record of an attempt that failed because of a bug in Twite."""
    return Attempt(
        at=at,
        pixel=pixel,
        event=event,
        outcome=AttemptOutcome.ERRORED,
        deliveries=ids_of(deliveries),
        answer=f"internal error in Twite: {type(error).__name__}",
        ambiguous=ambiguous,
    )


class InFlightBatch:
    """A claimed batch, and the group in the current request.

    `claimed_at` is when the batch was claimed, `at` when the request began; `left` says whether X
    may have received it, `was_hanging` whether X accepted a later request in the meantime.
    """

    def __init__(self, batch: Batch, *, at: int) -> None:
        self.batch = batch
        self.group = batch.deliveries
        self.claimed_at = self.at = at
        self.left = self.was_hanging = False

    def rest(self) -> tuple[int, ...]:
        """Return the ids of deliveries that X cannot have received in the current request."""
        gone = set(ids_of(self.group)) if self.left else set()
        return tuple(delivery.id for delivery in self.batch.deliveries if delivery.id not in gone)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Settler:
    """Stores settlements and reports them.

    `lease` (ms) is the new lease of deliveries not settled yet. `settling` is a context that
    is entered while an accepted batch is settled.
    """

    delivery_store: DeliveryStore
    clock: Clock
    observer: Observer
    lease: int
    settling: Callable[[Batch], AbstractContextManager[None]] | None = None

    async def settle(
        self, batch: Batch, attempt: Attempt | None, decided: tuple[Transition, ...]
    ) -> None:
        """Write an attempt and transitions together. Raises LedgerUnavailable."""
        settlement = Settlement(
            lease=batch.lease,
            attempt=attempt,
            transitions=decided,
            lease_until=self.clock.now() + self.lease,
        )
        is_accepted = _is_accepted(batch, decided)
        with self.settling(batch) if self.settling and is_accepted else nullcontext():
            await self.delivery_store.settle(settlement)
        for transition in decided:
            self.observer.see(
                Moved(
                    pixel=batch.pixel,
                    trigger=transition.trigger,
                    deliveries=len(transition.deliveries),
                    reason=transition.reason or "",
                    waited=_waited(batch, transition, now=self.clock.now()),
                )
            )

    async def give_back(self, batch: Batch, deliveries: Sequence[int], *, wait: int = 0) -> None:
        """Return unsent deliveries to the queue. This does not count as an attempt."""
        if deliveries:
            back = Transition(
                trigger=Trigger.POSTPONED,
                deliveries=tuple(deliveries),
                due_at=self.clock.now() + wait,
            )
            await self.settle(batch, None, (back,))

    async def move(
        self, move: Recall | HoldRejected, trigger: Trigger, *, pixel: str, reason: str = ""
    ) -> None:
        """Requeue or hold deliveries of a pixel. Raises LedgerUnavailable."""
        many = (await self.delivery_store.move(move, now=self.clock.now())).moved
        if many:
            self.observer.see(Moved(pixel=pixel, trigger=trigger, deliveries=many, reason=reason))

    async def settle_fault(
        self, in_flight: InFlightBatch, error: Exception, *, due_at: int
    ) -> None:
        """Record a bug in Twite, which counts as a crash that the current deliveries caused."""
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


def _is_accepted(batch: Batch, decided: Sequence[Transition]) -> bool:
    """Whether X has accepted all deliveries of a batch in one request."""
    return any(
        transition.trigger is Trigger.DELIVERED
        and len(transition.deliveries) == len(batch.deliveries)
        for transition in decided
    )


def _waited(batch: Batch, transition: Transition, *, now: int) -> dict[int, int]:
    """Count the deliveries that X accepted, by the milliseconds since their receipt."""
    if transition.trigger is not Trigger.DELIVERED:
        return {}
    taken = batch.deliveries
    if len(transition.deliveries) < len(taken):
        ids = frozenset(transition.deliveries)
        taken = [delivery for delivery in taken if delivery.id in ids]
    waited: dict[int, int] = {}
    for received_at, many in Counter(received_of(taken)).items():
        milliseconds = max(0, now - received_at)
        waited[milliseconds] = waited.get(milliseconds, 0) + many
    return waited


def _words(response: Response | NoResponse) -> str:
    if isinstance(response, NoResponse):
        return response.reason[:ANSWER_LIMIT]
    return response.body[:ANSWER_LIMIT].decode("utf-8", "replace")
