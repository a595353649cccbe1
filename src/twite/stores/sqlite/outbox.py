"""What is to be sent: claim, settle, sweep, each inside the running transaction."""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.domain.delivery import (
    ANSWER_LIMIT,
    MAY_COUNT_TWICE,
    SENDER_STOPPED,
    WAITED_TOO_LONG,
    Attempt,
    Batch,
    Delivery,
    Fate,
    Settlement,
    State,
    Trigger,
    after,
)
from twite.gateway.ports import Claim, Pause, Swept
from twite.stores.sqlite.book import Book

# What one transaction moves at most when time comes for many at once: commits go on meanwhile.
MOST_MOVED: Final = 10_000

_Claimed: Final = msgspec.json.Decoder(list[tuple[int, str, int, int, int, int | None]])
_Ids: Final = msgspec.json.Decoder(list[int])


def claim(book: Book, wish: Claim) -> Batch | None:
    """Lease the ready deliveries of the lane that holds the pixel's oldest."""
    book.run("promote", now=wish.now, limit=MOST_MOVED)
    found = book.run(
        "lane_to_claim", pixel=wish.pixel, ambiguous_after=wish.ambiguous_after
    ).fetchone()
    if found is None:
        return None
    lane, event = found
    ids, rows, bodies = book.run(
        "claimable", lane=lane, ambiguous_after=wish.ambiguous_after, limit=wish.limit
    ).fetchone()
    deliveries = _deliveries(rows, bodies)
    lease = book.next_lease()
    book.run("mark_sending", lease=lease, deliveries=ids)
    book.run(
        "add_lease",
        lease=lease,
        lane=lane,
        claimed_at=wish.now,
        until=wish.lease_until,
        open=len(deliveries),
        deliveries=ids,
    )
    return Batch(lease=lease, pixel=wish.pixel, event=event, deliveries=deliveries)


def check(settlement: Settlement) -> None:
    """Raise IllegalTransition for a fate that a delivery being sent cannot have."""
    for fate in settlement.fates:
        after(State.SENDING, fate.trigger)


def settle(book: Book, settlement: Settlement) -> int:
    """Write the attempt and the next states; return how many fates came too late."""
    lease = settlement.lease
    settled = 0
    for fate in settlement.fates:
        if fate.trigger is Trigger.DELIVERED:
            ids = _json(fate.deliveries)
            book.run("count_delivered", lease=lease, deliveries=ids)
            settled += book.run("remove_delivered", lease=lease, deliveries=ids).rowcount
    if settlement.attempt is not None:
        _write_attempt(book, settlement.attempt, lease=lease, fates=settlement.fates)
    at = None if settlement.attempt is None else settlement.attempt.at
    for fate in settlement.fates:
        if fate.trigger is not Trigger.DELIVERED:
            settled += _move(book, fate, lease=lease, at=at)
    book.run("extend_lease", lease=lease, settled=settled, until=settlement.lease_until)
    book.run("end_lease", lease=lease)
    return sum(len(fate.deliveries) for fate in settlement.fates) - settled


def sweep(book: Book, *, now: int, ambiguous_before: int, waiting_before: int) -> Swept:
    """Bring time's effects about, at most MOST_MOVED of each kind."""
    lapsed = lapse(book, now=now)
    promoted = book.run("promote", now=now, limit=MOST_MOVED).rowcount
    held = book.run(
        "hold_ambiguous",
        before=ambiguous_before,
        now=now,
        reason=MAY_COUNT_TWICE,
        limit=MOST_MOVED,
    ).rowcount
    waited = {"before": waiting_before, "now": now, "reason": WAITED_TOO_LONG, "limit": MOST_MOVED}
    held += book.run("hold_waiting", **waited).rowcount
    for lane in book.lanes():
        held += book.run("hold_ready", lane=lane, **waited).rowcount
    return Swept(
        lapsed=lapsed, held=held, promoted=promoted, next_due=book.run("next_due").fetchone()[0]
    )


def lapse(book: Book, *, now: int) -> int:
    """End the leases that were to end before a moment; return how many deliveries it freed."""
    freed = 0
    for lease, lane, claimed_at, claimed in book.run("lapsed_leases", now=now).fetchall():
        left, count = book.run("still_under", lease=lease, deliveries=claimed).fetchone()
        attempt = Attempt(
            at=claimed_at,
            pixel="",
            event="",
            outcome="errored",
            deliveries=tuple(_Ids.decode(left)),
            answer=SENDER_STOPPED,
            ambiguous=True,
        )
        if count:
            _add_attempt(book, attempt, lane=lane, deliveries=left)
            book.run("mark_attempted", lease=lease, deliveries=left, at=claimed_at, ambiguous=True)
            book.run("postpone", lease=lease, deliveries=left, due_at=None)
        book.run("drop_lease", lease=lease)
        freed += count
    return freed


def pause(book: Book, pause_: Pause) -> None:
    book.run("add_pause", pixel=pause_.pixel, since=pause_.since, reason=pause_.reason)


def resume(book: Book, pixel: str) -> None:
    book.run("remove_pause", pixel=pixel)


def _deliveries(rows: str, bodies: bytes) -> tuple[Delivery, ...]:
    """Read the one row that holds a batch; the order of an aggregate is ours to make."""
    claimed = []
    start = 0
    for id_, conversion_id, size, received_at, attempts, ambiguous_since in _Claimed.decode(rows):
        claimed.append(
            Delivery(
                id=id_,
                conversion_id=conversion_id,
                body=bodies[start : start + size],
                received_at=received_at,
                attempts=attempts,
                ambiguous_since=ambiguous_since,
            )
        )
        start += size
    claimed.sort(key=lambda delivery: (delivery.received_at, delivery.id))
    return tuple(claimed)


def _add_attempt(book: Book, attempt: Attempt, *, lane: int, deliveries: str) -> None:
    number = book.next_attempt()
    book.run(
        "add_attempt",
        attempt=number,
        at=attempt.at,
        lane=lane,
        outcome=attempt.outcome,
        status=attempt.status,
        answer=attempt.answer[:ANSWER_LIMIT],
        ambiguous=attempt.ambiguous,
        size=len(attempt.deliveries),
    )
    book.run("add_attempted", attempt=number, deliveries=deliveries)


def _write_attempt(book: Book, attempt: Attempt, *, lease: int, fates: Sequence[Fate]) -> None:
    """Write what was tried, and mark those of its deliveries that are not delivered."""
    sent = _json(attempt.deliveries)
    _add_attempt(book, attempt, lane=book.lane(attempt.pixel, attempt.event), deliveries=sent)
    delivered = {
        delivery
        for fate in fates
        if fate.trigger is Trigger.DELIVERED
        for delivery in fate.deliveries
    }
    if not delivered.issuperset(attempt.deliveries):
        book.run(
            "mark_attempted",
            lease=lease,
            deliveries=sent,
            at=attempt.at,
            ambiguous=attempt.ambiguous,
        )


def _move(book: Book, fate: Fate, *, lease: int, at: int | None) -> int:
    """Bring a fate other than DELIVERED about; return how many deliveries it reached."""
    ids = _json(fate.deliveries)
    state = after(State.SENDING, fate.trigger)
    if state is State.QUEUED:
        return book.run("postpone", lease=lease, deliveries=ids, due_at=fate.due_at).rowcount
    return book.run(
        "rest", lease=lease, deliveries=ids, state=state.value, reason=fate.reason, at=at
    ).rowcount


def _json(ids: Sequence[int]) -> str:
    return msgspec.json.encode(ids).decode()
