"""Settlement: decide what a response means for deliveries (retry, dead letter), and store it.

`Blame` decides what is at fault after a bad response: a conversion, its event, the pixel, or X
itself. If X read the conversions, its error codes tell. After a 5xx, a 401, an HTML page or no
answer, it depends on which conversions X accepts in the meantime.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, TypeGuard

from twite.domain.delivery import (
    AMBIGUITY_WINDOW,
    ANSWER_LIMIT,
    LAST_CEILING,
    MAY_COUNT_TWICE,
    Attempt,
    AttemptOutcome,
    Batch,
    Delivered,
    Delivery,
    Errored,
    Outcome,
    Rejected,
    RejectionScope,
    Settlement,
    Transition,
    Trigger,
    backoff,
)
from twite.domain.pause import Cause
from twite.domain.times import SECOND
from twite.gateway.delivery.circuit_breaker import REFUSED_ALIKE, CircuitBreaker, EventPauses
from twite.gateway.delivery.groups import Group, ambiguous_of, ids_of, received_of
from twite.gateway.delivery.suspects import Suspects, is_failed, is_refused_as_such
from twite.gateway.ports.events import Moved, Observer
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.outbox import DeliveryStore, HoldRejected, Recall
from twite.gateway.ports.transport import NoResponse, Response

# After failures, the reason of an event pause begins with this.
FAILS_AT_ALL: Final = "all conversions failed"
# After refusals of this many different deliveries in a row, without an acceptance or another
# verdict, the pixel may be at fault, even if the deliveries are suspects. Deliveries of paused
# events, and those that X has refused alone before, do not count: they are not new evidence.
MOST_IN_A_ROW: Final = 20
# How many failed deliveries are remembered, so that a probe uses a different one.
_MOST_FAILED: Final = 1_000
# If X names a time for a retry, retries are spread over this interval after it.
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
    rejected request must have a single conversion, because larger ones are bisected first.
    """
    ids = ids_of(deliveries)
    match outcome:
        case Delivered():
            return (Transition(trigger=Trigger.DELIVERED, deliveries=ids),)
        case Errored(ambiguous=True) if cautious:
            return (Transition(trigger=Trigger.HELD, deliveries=ids, reason=MAY_COUNT_TWICE),)
        case Errored(reason=reason, retry_at=retry_at):
            tries = max(delivery.attempts for delivery in deliveries) + 1
            due = now + (wait := backoff(attempts=tries, randomness=randomness))
            if retry_at is not None:
                # Spread retries after the time that X named, never before it. If it is further
                # ahead than the longest back-off, retry earlier; the claim checks the rate limit
                # again.
                due = min(retry_at, now + LAST_CEILING) + min(wait, LONGEST_JITTER)
            return (
                Transition(trigger=Trigger.POSTPONED, deliveries=ids, due_at=due, reason=reason),
            )
        case Rejected(scope=RejectionScope.PIXEL | RejectionScope.UNCLEAR, reason=reason):
            # These deliveries are not at fault: they wait until the circuit breaker closes.
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
    may have received it.
    """

    def __init__(self, batch: Batch, *, at: int) -> None:
        self.batch = batch
        self.group = batch.deliveries
        self.claimed_at = self.at = at
        self.left = False

    def rest(self) -> tuple[int, ...]:
        """Return the ids of deliveries that X cannot have received in the current request."""
        gone = set(ids_of(self.group)) if self.left else set()
        return tuple(delivery.id for delivery in self.batch.deliveries if delivery.id not in gone)


def is_too_late(group: Group, *, now: int) -> bool:
    """Whether an ambiguous delivery has become too old to resend, for example during a bisect."""
    since = ambiguous_of(group)
    return bool(since) and now - min(since) > AMBIGUITY_WINDOW


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
        self, batch: Batch, tried: Attempt | None, decided: tuple[Transition, ...]
    ) -> None:
        """Write an attempt and transitions together. Raises LedgerUnavailable."""
        settlement = Settlement(
            lease=batch.lease,
            attempt=tried,
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
    ids = frozenset(transition.deliveries)
    taken = [delivery for delivery in batch.deliveries if delivery.id in ids]
    waited: dict[int, int] = {}
    for received_at, many in Counter(received_of(taken)).items():
        milliseconds = max(0, now - received_at)
        waited[milliseconds] = waited.get(milliseconds, 0) + many
    return waited


def _words(response: Response | NoResponse) -> str:
    if isinstance(response, NoResponse):
        return response.reason[:ANSWER_LIMIT]
    return response.body[:ANSWER_LIMIT].decode("utf-8", "replace")


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Blame:
    """Evaluates the responses for one pixel, and trips its circuit breaker or event pauses."""

    suspects: Suspects
    circuit_breaker: CircuitBreaker
    pauses: EventPauses
    randomness: Randomness
    cautious: bool
    # Deliveries (id → event) that failed since X last accepted one.
    failed: dict[int, str] = field(init=False, default_factory=dict)
    # The events of failed or refused requests since X last answered as if all were well.
    failing: set[str] = field(init=False, default_factory=set)
    # Those of `failed` that were alone in their request.
    _failed_alone: set[int] = field(init=False, default_factory=set)
    # The first delivery of each group that was refused since X last accepted or judged a group.
    _row: set[int] = field(init=False, default_factory=set)

    def is_open(self, event: str, group: Group, outcome: Outcome, why: Outcome | None) -> bool:
        """Whether a delivery or its event is at fault, so that a bisect is needed."""
        many = len(group) > 1
        if is_refused(outcome):
            return True
        if is_refused_as_such(outcome):
            if why is not None and is_refused_as_such(why):
                return True
            if event in self.pauses.paused() or self.suspects.explain(group):
                return True
            unclear = outcome.scope is RejectionScope.UNCLEAR or self.suspects.is_shown(outcome)
            return many and unclear and not self.circuit_breaker.paused
        if not many or self.cautious or not is_failed(outcome):
            return False
        return (why is not None and is_failed(why)) or self.suspects.explain(group)

    async def record_outcome(
        self, event: str, group: Group, outcome: Outcome, *, is_open: bool
    ) -> None:
        """Record the outcome of a request. Raises LedgerUnavailable."""
        suspects, is_known = self.suspects, self.suspects.explain(group)
        if isinstance(outcome, Delivered):
            suspects.took(group, event=event)
            self.failed.clear()
            self._failed_alone.clear()
        elif is_refused_as_such(outcome) or is_failed(outcome):
            suspects.note(group, event=event)
        if not isinstance(outcome, Errored):
            self.circuit_breaker.record_response()
        self._count(event, group, outcome)
        match outcome:
            case Rejected(scope=RejectionScope.PIXEL | RejectionScope.UNCLEAR) if (
                is_open
                and len(self._row) < MOST_IN_A_ROW
                and (is_known or not suspects.is_the_event(event))
            ):
                pass
            case Rejected(scope=RejectionScope.PIXEL | RejectionScope.UNCLEAR):
                await self._stop(event, group, outcome)
            case Delivered() | Rejected():
                # X accepted the credentials and judged the content.
                self.failing.clear()
                await self.circuit_breaker.passed()
            case Errored(limited=False):
                if is_failed(outcome) and suspects.is_the_event(event):
                    reason = f"{FAILS_AT_ALL}: {outcome.reason}"
                    await self.pauses.trip(event, Cause.EVENT_FAILED, reason)
                elif not (is_open or is_known) or not is_failed(outcome):
                    # X itself may be down: try other deliveries.
                    self._remember(event, group)
                    self.circuit_breaker.record_failure(randomness=self.randomness.fraction())

    def _remember(self, event: str, group: Sequence[Delivery]) -> None:
        self.failing.add(event)
        for delivery in group[: max(0, _MOST_FAILED - len(self.failed))]:
            self.failed[delivery.id] = event

        if len(group) == 1:
            self._failed_alone.add(group[0].id)

    def failed_but_one(self) -> frozenset[int]:
        """Return the failed deliveries except one, which may be retried.

        The one to retry is chosen at random among those not yet sent alone, because bad deliveries
        may be adjacent. If all have been sent alone, return an empty set.
        """
        together = [id_ for id_ in self.failed if id_ not in self._failed_alone]
        if not together:
            self.failed.clear()
            self._failed_alone.clear()
            return frozenset()
        retried = together[int(self.randomness.fraction() * len(together))]
        return frozenset(self.failed) - {retried}

    def _count(self, event: str, group: Group, outcome: Outcome) -> None:
        if is_refused_as_such(outcome):
            is_old = len(group) == 1 and self.suspects.was_refused_alone(group[0])
            if event not in self.pauses.paused() and not is_old:
                self._row.add(group[0].id)
        elif not isinstance(outcome, Errored):
            self._row.clear()

    async def all_alike(self, event: str, found: Sequence[tuple[Delivery, Rejected]]) -> None:
        """Record that X refused each delivery of a batch when sent alone, and accepted none."""
        refusal = found[-1][1]
        self.suspects.blamed(refusal)
        group = [delivery for delivery, _ in found]
        self.suspects.refused_alike(group, event=event)
        await self._stop(event, group, refusal)

    async def _stop(self, event: str, group: Sequence[Delivery], refusal: Rejected) -> None:
        """Pause the event or the pixel until a probe is accepted."""
        self._remember(event, group)
        if self.suspects.is_the_event(event):
            reason = f"{REFUSED_ALIKE}: {refusal.reason}"
            await self.pauses.trip(event, Cause.EVENT_REFUSED, reason)
        else:
            unclear = refusal.scope is RejectionScope.UNCLEAR or self.suspects.is_shown(refusal)
            is_likely = not (unclear or self.suspects.is_repeated(event))
            await self.circuit_breaker.doubt(
                _cause_of(refusal), refusal.reason, alone=len(group) == 1, is_likely=is_likely
            )


def _cause_of(refusal: Rejected) -> Cause:
    is_nobody = refusal.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    return Cause.CREDENTIALS_REFUSED if is_nobody else Cause.PIXEL_REFUSED


def is_refused(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X refused the request for its content: conversions, or their number."""
    return isinstance(outcome, Rejected) and outcome.scope in {
        RejectionScope.CONVERSION,
        RejectionScope.SIZE,
    }
