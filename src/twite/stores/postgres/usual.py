"""Usual claims and settlements, with one statement each; the shared code needs ten.

The shared code in `stores/sql` has the same effect, and also handles all unusual cases.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from twite.domain.delivery import (
    ANSWER_LIMIT,
    QUARANTINED,
    SUSPECT,
    Attempt,
    Batch,
    Delivery,
    Place,
    Settlement,
    Trigger,
    last_place,
)
from twite.gateway.ports.outbox import Claim
from twite.stores.postgres.session import PostgresSession
from twite.stores.sql.claimable import ClaimableColumns, verified
from twite.stores.sql.outbox import count_delivered, promote

_TRIED: Final = msgspec.json.Decoder(list[tuple[int, int, int | None, int]])


class Unusual(Exception):
    """Roll back and use the shared code: the statement changed deliveries that it cannot handle."""


def claim(session: PostgresSession, claim: Claim, *, account: str) -> tuple[Batch | None, bool]:
    """Lease deliveries like `outbox.claim`; return the batch, and whether this result is final.

    If it is not final, nothing was claimed, and the shared code must be used. Raises Unusual.
    """
    if session.largest_body * claim.limit > claim.most_bytes:
        return None, False
    starts = session.claim_starts.of(claim.pixel)
    began = time.perf_counter()
    row = _claimed(session, claim, account, starts)
    may_claim, is_due, *_ = row
    if may_claim and is_due:
        promote(session, now=claim.now)
        starts = {}
        row = _claimed(session, claim, account, starts)
    may_claim, is_due, event, name, lease, opted_out, bodies, *columns = row
    took = time.perf_counter() - began
    if not may_claim:
        return None, False  # or the ownership is changing: the shared code waits for that
    if event is None:
        return None, not (is_due or starts)
    if columns[0] is None:
        return None, False  # another transaction has locked all ready deliveries
    columns[-1] = _TRIED.decode(columns[-1] or "[]")
    ready = ClaimableColumns(*columns)
    found = _sound(session, claim, event, ready, bodies)
    if found is None or session.opt_outs.among(found, pixel=claim.pixel, version=opted_out):
        raise Unusual
    if len(found) < min(claim.limit, claim.limits.get(name, claim.limit)):
        session.claim_starts.ended(claim.pixel, event)
    elif claim.suspects and not claim.passing:
        session.claim_starts.claimed(claim.pixel, event, last_place(found), took=took)
    return Batch(lease=lease, pixel=claim.pixel, event=name, deliveries=found), True


def settle(session: PostgresSession, settlement: Settlement) -> int | None:
    """Settle as `outbox.settle` does if X has accepted a whole request; otherwise return None.

    Raises Unusual if the deliveries are no longer under the lease.
    """
    attempt = settlement.attempt
    match settlement.transitions:
        case [accepted] if accepted.trigger is Trigger.DELIVERED and attempt is not None:
            pass
        case _:
            return None
    if attempt.deliveries != accepted.deliveries:
        return None
    event = session.known_event(attempt.pixel, attempt.event)
    if event is None:
        return None
    accounts, received, numbers = session.run_first(
        "settle_delivered",
        lease=settlement.lease,
        until=settlement.lease_until,
        deliveries=sorted(set(attempt.deliveries)),
        **_values(attempt, event),
    )
    session.next_attempt()  # the mark
    if sum(numbers or ()) < len(attempt.deliveries):
        raise Unusual
    times_of: dict[int, dict[int, int]] = {}
    for account, received_at, many in zip(
        accounts or (), received or (), numbers or (), strict=True
    ):
        times_of.setdefault(account, {})[received_at] = many
    count_delivered(session, times_of, at=attempt.at)
    return 0


def _claimed(
    session: PostgresSession, claim: Claim, account: str, starts: Mapping[int, Place]
) -> list[Any]:
    return session.run_first(
        "claim_usual",
        account=account,
        pixel=claim.pixel,
        now=claim.now,
        until=claim.lease_until,
        ambiguous_after=claim.ambiguous_after,
        crashes=QUARANTINED if claim.suspects else SUSPECT,
        passing=sorted(claim.passing),
        passing_events=sorted(claim.passing_events),
        limit=claim.limit,
        starts=msgspec.json.encode(starts).decode(),
        limits=msgspec.json.encode(claim.limits).decode(),
    )


def _sound(
    session: PostgresSession, claim: Claim, event: int, columns: ClaimableColumns, bodies: bytes
) -> Sequence[Delivery] | None:
    """Return the deliveries of a claim if all can be sent together."""
    if None in columns.conversion_ids:
        return None  # a conversion is missing
    session.largest_body = max(columns.sizes)
    if len(bodies) > claim.most_bytes or any(crashes >= SUSPECT for *_, crashes in columns.tried):
        return None
    return verified(session.seeds[event], columns, bodies)


def _values(attempt: Attempt, event: int) -> dict[str, object]:
    return {
        "at": attempt.at,
        "event": event,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "answer": attempt.answer[:ANSWER_LIMIT],
        "ambiguous": attempt.ambiguous,
        "size": len(attempt.deliveries),
    }
