"""Outbox: claim, settle and sweep deliveries (leases, retries), inside the running transaction."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import (
    ANSWER_LIMIT,
    DAMAGED,
    MAY_COUNT_TWICE,
    QUARANTINED,
    SENDER_DIED_OF_IT,
    SENDER_STOPPED,
    SUSPECT,
    WAITED_TOO_LONG,
    Attempt,
    Batch,
    Settlement,
    State,
    Transition,
    Trigger,
    after,
    ids_of,
    together,
)
from twite.domain.outcome import AttemptOutcome
from twite.gateway.ports.outbox import Claim, SweepRequest, SweepResult
from twite.stores.sql import joins
from twite.stores.sql.claimable import claimable
from twite.stores.sql.database import FIRST, WriterSession
from twite.stores.sql.rows.insertions import TallyRow
from twite.stores.sql.statements import as_json
from twite.stores.sql.tallies import GIVEN_UP
from twite.stores.sql.withdrawals import withdraw, withdraw_denied

# The maximum number of deliveries that one transaction moves when many are due at once, so that
# other commits are not held up.
MOST_MOVED: Final = 10_000

_Ids: Final = msgspec.json.Decoder(list[int])


def claim(session: WriterSession, claim: Claim, *, damaged: list[int]) -> Batch | None:
    """Lease pending deliveries of one event: the event of the pixel with the oldest delivery.

    Damaged deliveries become dead letters, and their ids are added to `damaged`. Deliveries of
    people who revoked consent are not sent.
    """
    promote(session, now=claim.now)
    crashes = QUARANTINED if claim.suspects else SUSPECT
    passing = as_json(sorted(claim.passing))
    passing_events = set(claim.passing_events)
    while True:
        places = session.places(claim.pixel)
        first = session.run(
            "queue_to_claim",
            pixel=claim.pixel,
            ambiguous_after=claim.ambiguous_after,
            crashes=crashes,
            passing=passing,
            passing_events=msgspec.json.encode(sorted(passing_events)).decode(),
            places=msgspec.json.encode(places).decode(),
        ).fetchone()
        if first is None:
            return None
        queue, event = first
        sound, unsound = claimable(
            session,
            queue=queue,
            place=places.get(queue, FIRST),
            ambiguous_after=claim.ambiguous_after,
            crashes=crashes,
            passing=passing,
            limit=min(claim.limit, claim.limits.get(event, claim.limit)),
            most_bytes=claim.most_bytes,
        )
        if unsound:
            _give_up(session, unsound, now=claim.now)
            damaged += unsound
        if not sound and not unsound:
            passing_events.add(event)  # another transaction has claimed all ready deliveries
        revoked = set(session.opt_outs.among(sound, pixel=claim.pixel))
        if revoked:
            withdraw(session.run, list(revoked), now=claim.now)
            sound = [delivery for delivery in sound if delivery.id not in revoked]
        if sound:
            return _leased(
                session,
                claim,
                queue,
                Batch(
                    lease=session.next_lease(),
                    pixel=claim.pixel,
                    event=event,
                    deliveries=together(sound),
                ),
            )


def promote(session: WriterSession, *, now: int) -> int:
    """Make postponed deliveries ready when they are due; return their number.

    Those that waited for identifiers are joined.
    """
    ready = session.promote(now=now, limit=MOST_MOVED)
    if ready:
        joins.join(session, ready, now=now)
    return len(ready)


def check(settlement: Settlement) -> None:
    """Raise IllegalTransition for a transition that a delivery being sent cannot make."""
    for transition in settlement.transitions:
        after(State.SENDING, transition.trigger)


def settle(session: WriterSession, settlement: Settlement) -> int:
    """Write the attempt and the next states.

    Return the number of transitions that came too late, after the end of the lease.
    """
    lease = settlement.lease
    settled = 0
    counted_at = _counted_at(session, settlement)
    for transition in settlement.transitions:
        if transition.trigger is Trigger.DELIVERED:
            received = session.remove_delivered(lease, transition.deliveries)
            count_delivered(session, received, at=counted_at)
            settled += sum([times.total() for times in received.values()])
    if settlement.attempt is not None:
        _write_attempt(session, settlement.attempt, lease=lease, transitions=settlement.transitions)
    at = None if settlement.attempt is None else settlement.attempt.at
    for transition in settlement.transitions:
        if transition.trigger is not Trigger.DELIVERED:
            if transition.trigger is Trigger.GIVEN_UP:
                ids = as_json(transition.deliveries)
                for account, many in session.run(
                    "leased_by", lease=lease, deliveries=ids
                ).fetchall():
                    session.tally.flow(counted_at, account, (many,), first=GIVEN_UP)
            settled += _move(session, transition, lease=lease, at=at)
    session.run("extend_lease", lease=lease, settled=settled, until=settlement.lease_until)
    session.run("end_lease", lease=lease)
    withdraw_denied(session)
    session.moved()
    return sum(len(transition.deliveries) for transition in settlement.transitions) - settled


def sweep(session: WriterSession, sweep: SweepRequest) -> SweepResult:
    """Apply the changes that depend on time, at most MOST_MOVED of each kind."""
    now = sweep.now
    expired = expire(session, now=now, furthest=sweep.furthest, holding=sweep.holding)
    promoted = promote(session, now=now)
    far = session.run("promote_far", furthest=sweep.furthest, limit=MOST_MOVED).fetchall()
    joins.join(session, far, now=now)
    promoted += len(far)
    doubtful = {
        "now": now,
        "cause": DeliveryCause.MAY_COUNT_TWICE,
        "reason": MAY_COUNT_TWICE,
        "limit": MOST_MOVED,
    }
    held = session.run("hold_ambiguous", before=sweep.ambiguous_before, **doubtful).rowcount
    if sweep.cautious:
        pixels = msgspec.json.encode(sorted(sweep.cautious)).decode()
        held += session.run("hold_cautious", pixels=pixels, **doubtful).rowcount
    waited = {
        "before": sweep.waiting_before,
        "now": now,
        "cause": DeliveryCause.WAITED_TOO_LONG,
        "reason": WAITED_TOO_LONG,
        "limit": MOST_MOVED,
    }
    held += session.run("hold_waiting", **waited).rowcount
    for queue in session.queues():
        held += session.run("hold_ready", queue=queue, **waited).rowcount
    return SweepResult(
        expired=expired,
        held=held,
        promoted=promoted,
        next_due=session.run("next_due").fetchone()[0],
    )


def expire(
    session: WriterSession,
    *,
    now: int,
    furthest: int,
    holding: AbstractSet[int] = frozenset(),
    died: bool = False,
    leases: str = "lapsed_leases",
) -> int:
    """End the leases that expire before a time; return the number of freed deliveries.

    `died` is whether the process that held the leases crashed, possibly because of a delivery.
    `leases` is the name of the statement that selects the leases.
    """
    freed = 0
    expired = session.run(leases, now=now, furthest=furthest).fetchall()
    for lease, queue, claimed_at, claimed in expired:
        if lease in holding:
            continue
        left, count = session.run("still_under", lease=lease, deliveries=claimed).fetchone()
        attempt = Attempt(
            at=claimed_at,
            pixel="",
            event="",
            outcome=AttemptOutcome.ERRORED,
            deliveries=tuple(_Ids.decode(left)),
            answer=SENDER_STOPPED,
            ambiguous=True,
        )
        if count:
            add_attempt(session, attempt, queue=queue, deliveries=left)
            session.run(
                "mark_attempted",
                lease=lease,
                deliveries=left,
                at=claimed_at,
                ambiguous=True,
                survived=not died,
            )
            if died:
                _count_crashes(
                    session, lease=lease, deliveries=left, alone=count == 1, at=claimed_at
                )
            session.run("postpone", lease=lease, deliveries=left, due_at=None)
        session.run("drop_lease", lease=lease)
        freed += count
    withdraw_denied(session)
    return freed


def _counted_at(session: WriterSession, settlement: Settlement) -> int:
    """Return the time of the latest attempt; if there was none, the time of the claim."""
    if settlement.attempt is not None:
        return settlement.attempt.at
    return _claimed_at(session, settlement.lease)


def _claimed_at(session: WriterSession, lease: int) -> int:
    return int(session.run("claimed_at", lease=lease).fetchone()[0])


def count_delivered(
    session: WriterSession, received: Mapping[int, Mapping[int, int]], *, at: int
) -> None:
    """Add deliveries that X accepted to the counts of their accounts.

    `received` is their number by account and time of receipt.
    """
    session.count_accounts(
        [
            TallyRow(account=account, delivered=session.tally.delivered(at, account, times))
            for account, times in received.items()
        ]
    )


def _leased(session: WriterSession, claim: Claim, queue: int, batch: Batch) -> Batch:
    ids = as_json(ids_of(batch.deliveries))
    unmarked = session.leave_unmarked(batch.lease, queue, batch.deliveries)
    if not unmarked:
        session.run("mark_sending", lease=batch.lease, deliveries=ids)
    session.run(
        "add_lease",
        lease=batch.lease,
        queue=queue,
        claimed_at=claim.now,
        until=claim.lease_until,
        open=len(batch.deliveries),
        deliveries=ids,
        unmarked=unmarked,
    )
    session.moved()
    return batch


def _give_up(session: WriterSession, damaged: Sequence[int], *, now: int) -> None:
    """Claim deliveries that can never be sent, and make them dead letters."""
    lease, ids = session.next_lease(), as_json(damaged)
    session.run("mark_sending", lease=lease, deliveries=ids)
    state = after(State.SENDING, Trigger.GIVEN_UP).value
    cause = DeliveryCause.DAMAGED
    session.run(
        "rest", lease=lease, deliveries=ids, state=state, cause=cause, reason=DAMAGED, at=now
    )


def add_attempt(session: WriterSession, attempt: Attempt, *, queue: int, deliveries: str) -> None:
    """Write an attempt with its deliveries (JSON)."""
    number = session.next_attempt()
    session.run(
        "add_attempt",
        attempt=number,
        at=attempt.at,
        queue=queue,
        outcome=attempt.outcome,
        status=attempt.status,
        answer=attempt.answer[:ANSWER_LIMIT],
        ambiguous=attempt.ambiguous,
        size=len(attempt.deliveries),
    )
    session.run("add_attempted", attempt=number, deliveries=deliveries)


def _write_attempt(
    session: WriterSession, attempt: Attempt, *, lease: int, transitions: Sequence[Transition]
) -> None:
    """Write an attempt, and link its undelivered deliveries to it."""
    sent = as_json(attempt.deliveries)
    add_attempt(
        session, attempt, queue=session.queue(attempt.pixel, attempt.event), deliveries=sent
    )
    delivered = set[int]().union(
        *(
            transition.deliveries
            for transition in transitions
            if transition.trigger is Trigger.DELIVERED
        )
    )
    if not delivered.issuperset(attempt.deliveries):
        session.run(
            "mark_attempted",
            lease=lease,
            deliveries=sent,
            at=attempt.at,
            ambiguous=attempt.ambiguous,
            survived=all(transition.trigger is not Trigger.EXPIRED for transition in transitions),
        )


def _move(session: WriterSession, transition: Transition, *, lease: int, at: int | None) -> int:
    """Make a transition other than DELIVERED; return the number of changed deliveries."""
    ids = as_json(transition.deliveries)
    state = after(State.SENDING, transition.trigger)
    if state is State.QUEUED:
        given_up = 0
        if transition.trigger is Trigger.EXPIRED:
            alone = len(transition.deliveries) == 1
            given_up = _count_crashes(session, lease=lease, deliveries=ids, alone=alone, at=at)
        postponed = session.run(
            "postpone", lease=lease, deliveries=ids, due_at=transition.due_at
        ).rowcount
        return given_up + postponed
    if state is State.SUPPRESSED:
        left, _ = session.run("still_under", lease=lease, deliveries=ids).fetchone()
        session.run("postpone", lease=lease, deliveries=left, due_at=None)
        now = _claimed_at(session, lease) if at is None else at
        reason = transition.reason or ""
        return withdraw(
            session.run, _Ids.decode(left), now=now, cause=transition.cause, reason=reason
        )
    return session.run(
        "rest",
        lease=lease,
        deliveries=ids,
        state=state.value,
        cause=transition.cause,
        reason=transition.reason or "",
        at=at,
    ).rowcount


def _count_crashes(
    session: WriterSession, *, lease: int, deliveries: str, alone: bool, at: int | None
) -> int:
    """Record that the sender crashed with these deliveries; give up those with too many crashes.

    Returns how many were given up.
    """
    session.run("count_crashes", lease=lease, deliveries=deliveries, alone=alone)
    found, count = session.run(
        "quarantined", lease=lease, deliveries=deliveries, limit=QUARANTINED
    ).fetchone()
    session.run(
        "rest",
        lease=lease,
        deliveries=found,
        state=State.DEAD.value,
        cause=DeliveryCause.SENDER_STOPPED,
        reason=SENDER_DIED_OF_IT,
        at=at,
    )
    return int(count)
