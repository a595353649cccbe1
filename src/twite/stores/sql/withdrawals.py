"""Withdrawals: suppress or hold deliveries that are not sent any more, inside the transaction."""

from collections.abc import Sequence

from twite.domain.cause import DeliveryCause
from twite.domain.consent import REVOKED
from twite.domain.delivery import Batch
from twite.stores.sql.database import WriterSession
from twite.stores.sql.statements import RunsStatements, as_json


def withdrawn(session: WriterSession, batch: Batch) -> list[int]:
    """Return the deliveries of a batch in flight whose consent was withdrawn since the claim."""
    listed = set(session.opt_outs.among(batch.deliveries, pixel=batch.pixel))
    gone = listed | session.denied
    return [delivery.id for delivery in batch.deliveries if delivery.id in gone]


def hold_queued(
    run: RunsStatements,
    deliveries: Sequence[int],
    *,
    now: int,
    cause: DeliveryCause | None,
    reason: str,
) -> int:
    """Hold queued deliveries for a user; return their number."""
    ids = as_json(deliveries)
    return run("hold_queued", deliveries=ids, now=now, cause=cause, reason=reason).rowcount


def withdraw(
    run: RunsStatements,
    deliveries: Sequence[int],
    *,
    now: int,
    cause: DeliveryCause | None = DeliveryCause.CONSENT_REVOKED,
    reason: str = REVOKED,
) -> int:
    """Suppress deliveries that are not in flight; return their number."""
    ids = as_json(deliveries)
    run("count_withdrawn", deliveries=ids)
    run("note_withdrawn", deliveries=ids, now=now, cause=cause, note=reason)
    return run("remove_withdrawn", deliveries=ids).rowcount


def withdraw_denied(session: WriterSession) -> None:
    """Suppress deliveries that were opted out while in flight, unless X accepted them."""
    if not session.denied:
        return
    rows = session.run("denied_at_rest", deliveries=as_json(sorted(session.denied))).fetchall()
    for delivery, at, reason, cause in rows:
        withdraw(session.run, [delivery], now=at, cause=cause, reason=reason)
    session.denied = session.denied.intersection(id_ for (id_,) in session.run("denied"))
