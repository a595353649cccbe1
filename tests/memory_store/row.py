"""One conversion of the in-memory store, and its history."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from twite.domain.cause import MAYBE_SENT, DeliveryCause
from twite.domain.delivery import (
    MAY_COUNT_TWICE,
    PROMISED_WITHIN,
    SUSPECT,
    WAITED_TOO_LONG,
    Delivery,
    State,
    Trigger,
    after,
    rank,
)
from twite.domain.history import History, PastAttempt, TagNotFired
from twite.domain.pause import Pause
from twite.domain.submission import AcceptedConversion
from twite.gateway.operations.moves import HeldGroup, alike
from twite.gateway.ports.copies import CopyDecision
from twite.gateway.ports.state import RateLimitWindow

Overdue = tuple[DeliveryCause, str]


@dataclass(kw_only=True)
class MemoryRow:
    """One conversion and its delivery."""

    id: int
    entry: AcceptedConversion
    source: str
    receipt: str
    received_at: int
    state: State
    cause: DeliveryCause | None = None
    reason: str | None = None
    due_at: int | None = None
    lease: int | None = None
    ambiguous_since: int | None = None
    replayed_at: int | None = None
    rested_at: int = 0
    duplicates: int = 0
    tries: int = 0
    crashes: int = 0
    not_fired: tuple[TagNotFired, ...] = ()
    # The later copy that has taken over the key; and why not to retry if the attempt in flight
    # fails.
    superseded_by: int | None = None
    denied: CopyDecision | None = None
    attempts: list[PastAttempt] = field(default_factory=list)


def rank_of(row: MemoryRow) -> int:
    return rank(received_at=row.received_at, ambiguous_since=row.ambiguous_since)


def overdue(row: MemoryRow, ambiguous_before: int, waiting_before: int) -> Overdue | None:
    """Return why a queued delivery must be held, or None."""
    if row.ambiguous_since is not None and row.ambiguous_since < ambiguous_before:
        return DeliveryCause.MAY_COUNT_TWICE, MAY_COUNT_TWICE
    replayed_at = row.received_at if row.replayed_at is None else row.replayed_at
    if max(row.received_at, replayed_at) < waiting_before:
        return DeliveryCause.WAITED_TOO_LONG, WAITED_TOO_LONG
    return None


def take_out(
    row: MemoryRow,
    trigger: Trigger,
    *,
    cause: DeliveryCause | None,
    reason: str | None,
    at: int,
) -> None:
    """Move the delivery to a state in which it is not sent."""
    row.state = after(row.state, trigger)
    row.cause, row.reason = cause, reason
    row.rested_at = at
    row.due_at = None


def requeue(row: MemoryRow, *, now: int, is_sure: bool) -> None:
    """Queue the delivery again, at a user's request."""
    since = row.ambiguous_since
    if since is None and row.cause in MAYBE_SENT:
        since = row.received_at
    row.state = after(row.state, Trigger.REPLAYED)
    row.cause = row.reason = row.due_at = None
    row.ambiguous_since = None if is_sure else since
    row.replayed_at = now
    row.crashes = min(row.crashes, SUSPECT)


def delivery_of(row: MemoryRow) -> Delivery:
    """Return the delivery for a sender's claim."""
    return Delivery(
        id=row.id,
        conversion_id=row.entry.conversion_id,
        body=row.entry.body,
        received_at=row.received_at,
        attempts=row.tries,
        ambiguous_since=row.ambiguous_since,
        crashes=row.crashes,
    )


def history_of(
    row: MemoryRow, pauses: Mapping[tuple[str, str], Pause], closures: Mapping[str, RateLimitWindow]
) -> History:
    waits = row.state is State.QUEUED
    places = [(row.entry.pixel, ""), (row.entry.pixel, row.entry.event)] if waits else []
    pause = next((pauses[place] for place in places if place in pauses), None)
    closure = closures.get(row.entry.pixel) if waits else None
    return History(
        delivery=row.id,
        pixel=row.entry.pixel,
        event=row.entry.event,
        conversion_id=row.entry.conversion_id,
        state=row.state,
        source=row.source,
        receipt=row.receipt,
        received_at=row.received_at,
        deadline_at=row.received_at + PROMISED_WITHIN,
        sent=row.entry.body,
        attempts=tuple(row.attempts),
        duplicates=row.duplicates,
        cause=row.cause,
        reason=row.reason,
        due_at=row.due_at,
        paused=None if pause is None else pause.reason,
        spent=None if closure is None else closure.reason,
        spent_until=0 if closure is None else closure.until,
        consent=row.entry.consent,
        not_fired=row.not_fired,
        ambiguous_since=row.ambiguous_since,
        called=row.entry.called,
        superseded_by=row.superseded_by,
    )


def with_hold_groups(rows: Mapping[int, MemoryRow], deliveries: set[int]) -> list[MemoryRow]:
    """Return rows together with all rows of their hold groups."""
    held = [row for row in rows.values() if row.state is State.HELD]
    container_config = set(deliveries)
    for receipt in {row.receipt for row in held if row.id in deliveries}:
        its = [row for row in held if row.receipt == receipt]
        container_config |= set(alike(deliveries, [_held(row) for row in its]))
    return [rows[id_] for id_ in container_config if id_ in rows]


def _held(row: MemoryRow) -> HeldGroup:
    return HeldGroup(row.id, row.entry.pixel, row.entry.conversion_id, row.cause)


def crashed(crashes: int, *, alone: bool) -> int:
    """Return the crash count after another crash of the sender.

    After two crashes in shared requests, a delivery is a suspect and is sent alone. From then on,
    the count increases only for requests without any other delivery.
    """
    return max(crashes, SUSPECT) + 1 if alone else min(crashes + 1, max(crashes, SUSPECT))
