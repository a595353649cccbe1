"""Move deliveries in SQL, in slices, so that other commits wait for one slice at most."""

import binascii
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from twite.domain.cause import MAYBE_SENT, UNUSUAL_AMOUNTS, DeliveryCause
from twite.domain.conversion import dedup_key
from twite.domain.delivery import Batch
from twite.domain.history import Rival
from twite.domain.people.users import AuditEvent
from twite.gateway.operations.moves import HeldGroup, alike
from twite.gateway.ports.outbox import (
    Discard,
    EditBodies,
    EditedBody,
    HoldRejected,
    Move,
    MoveResult,
    Recall,
    Replay,
    RewrittenPayloads,
    SweepRequest,
    SweepResult,
    Write,
)
from twite.gateway.ports.tags import PREFIX
from twite.stores.sql import copies, joins, outbox
from twite.stores.sql.database import Database, WantedKey, WriterSession, checksum
from twite.stores.sql.directory import note
from twite.stores.sql.statements import SqlConnection, as_json, query
from twite.stores.sql.withdrawals import hold_queued, withdraw, withdrawn

# How many deliveries one statement moves, which takes the writer a few milliseconds.
SLICE: Final = 250
# How many are moved at once if each needs about six statements.
_EDITED: Final = 50
_HAS_ANOTHER: Final = "another conversion already has this event and conversion id"
_NOT_AT_REST: Final = "the conversion is no longer dead or held"
_MAYBE_SENT: Final = msgspec.json.encode(sorted(MAYBE_SENT)).decode()
_UNUSUAL_AMOUNTS: Final = msgspec.json.encode(sorted(UNUSUAL_AMOUNTS)).decode()
# Tag names never contain U+10FFFF, so it sorts after all of them.
_TAGS: Final = {"first": PREFIX, "beyond": PREFIX + "\U0010ffff"}


class SqlMoves:
    """Implements Moves, and the part of Outbox that engines share. Store classes inherit it."""

    _database: Database

    async def withdrawn(self, batch: Batch) -> Sequence[int]:
        return await self._database.write(lambda session: withdrawn(session, batch))

    async def sweep(self, sweep: SweepRequest) -> SweepResult:
        return await self._database.write(lambda session: outbox.sweep(session, sweep))

    async def rewrite(self, write: Write, *, after: int, limit: int) -> RewrittenPayloads:
        return await self._database.write(
            lambda session: rewritten(session, write, after=after, limit=limit)
        )

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        moved = 0
        refused: dict[int, str] = {}
        for place, part in enumerate(_slices(move)):
            noted = None if place else audit_event

            def unit(
                session: WriterSession, part: Move = part, audit_event: AuditEvent | None = noted
            ) -> MoveResult:
                if audit_event is not None:
                    note(session, audit_event)
                return _moved(session, part, now=now)

            done = await self._database.write(unit)
            moved += done.moved
            refused |= done.refused
        return MoveResult(moved=moved, refused=refused)


def _slices(move: Move) -> Iterator[Move]:
    if isinstance(move, EditBodies):
        for at in range(0, len(move.edited), _EDITED):
            yield msgspec.structs.replace(move, edited=move.edited[at : at + _EDITED])
    elif isinstance(move, Replay | Discard):
        for at in range(0, len(move.deliveries), SLICE):
            yield msgspec.structs.replace(move, deliveries=move.deliveries[at : at + SLICE])
    else:
        yield move


def _moved(session: WriterSession, move: Move, *, now: int) -> MoveResult:
    match move:
        case EditBodies():
            return _edit_bodies(session, move, now=now)
        case Replay():
            deliveries = with_companions(session, move.deliveries)
            moved = replay(session, deliveries, now=now, sure=frozenset(move.sure))
        case Discard():
            deliveries = with_companions(session, move.deliveries)
            moved = discard(session, deliveries, now=now, note=move.note)
        case HoldRejected():
            ids = as_json(move.deliveries)
            cause = DeliveryCause.REFUSED_ALIKE
            moved = session.run(
                "hold_in_doubt", deliveries=ids, cause=cause, reason=move.reason, now=now
            ).rowcount
        case Recall():
            queue, cause = session.queue(move.pixel, move.event), DeliveryCause.REFUSED_ALIKE
            moved = session.run("recall", queue=queue, cause=cause, now=now).rowcount
        case _:
            take_back = hold_queued if move.hold else withdraw
            moved = take_back(
                session.run, move.deliveries, now=now, cause=move.cause, reason=move.reason
            )
    return MoveResult(moved=moved)


def with_companions(session: WriterSession, deliveries: Sequence[int]) -> list[int]:
    """Return the deliveries together with all deliveries of their hold groups."""
    chosen = set(deliveries)
    found = list(deliveries)
    for first, end in session.run(
        "remarked", deliveries=as_json(deliveries), causes=_UNUSUAL_AMOUNTS
    ).fetchall():
        held = [HeldGroup(*row) for row in session.run("held_of_submission", first=first, end=end)]
        found += [delivery for delivery in alike(chosen, held) if delivery not in chosen]
    return found


def replay(
    session: WriterSession, deliveries: Sequence[int], *, now: int, sure: Collection[int]
) -> int:
    """Requeue deliveries, except copies of delivered ones; return their number."""
    known = frozenset(sure)
    rivals = rivals_of(session, [delivery for delivery in deliveries if delivery not in known])
    deliveries = [delivery for delivery in deliveries if delivery not in rivals]
    replayed = session.run(
        "replay",
        deliveries=as_json(deliveries),
        now=now,
        sure=as_json([delivery for delivery in deliveries if delivery in known]),
        maybe_sent=_MAYBE_SENT,
    ).rowcount
    # Those that were held before their wait ended are ready now.
    joins.join(session, [(delivery, 0) for delivery in deliveries], now=now)
    return replayed


def rivals_of(session: WriterSession, deliveries: Sequence[int]) -> Mapping[int, Rival]:
    """Return, for dead or held deliveries, another copy that was or may be sent."""
    resting = copies.named(session.run, deliveries)
    return copies.rivals(
        session.run, resting, session.keys.holders([candidate.key for candidate in resting])
    )


def discard(session: WriterSession, deliveries: Sequence[int], *, now: int, note: str) -> int:
    """Suppress dead or held deliveries; return their number."""
    ids = as_json(deliveries)
    session.run("count_discarded", deliveries=ids)
    cause = DeliveryCause.DISCARDED
    session.run("note_discarded", deliveries=ids, now=now, cause=cause, note=note)
    return session.run("remove_discarded", deliveries=ids).rowcount


def _edit_bodies(session: WriterSession, edit: EditBodies, *, now: int) -> MoveResult:
    """Replace bodies and requeue their deliveries."""
    sure = frozenset(edit.sure)
    refused: dict[int, str] = {}
    done: list[int] = []
    for body in edit.edited:
        is_sure = body.delivery in sure
        why = _edit_body(session, body, now=now, note=edit.note, is_sure=is_sure)
        if why is None:
            done.append(body.delivery)
        else:
            refused[body.delivery] = why
    return MoveResult(moved=replay(session, done, now=now, sure=sure), refused=refused)


def _edit_body(
    session: WriterSession, edited: EditedBody, *, now: int, note: str, is_sure: bool
) -> str | None:
    row = session.run("to_amend", delivery=edited.delivery).fetchone()
    if row is None:
        return _NOT_AT_REST
    before, pixel, event, conversion_id, received_at, body = row
    if edited.event != event:
        key = dedup_key(pixel, edited.event, conversion_id)
        if session.keys.take_over(WantedKey(key, edited.delivery, now)) is not None:
            return _HAS_ANOTHER
    elif not is_sure and rivals_of(session, [edited.delivery]):
        return _HAS_ANOTHER
    queue = session.queue(pixel, edited.event)
    session.run(
        "note_amended", delivery=edited.delivery, at=now, queue=before, body=body, note=note
    )
    session.run(
        "amend_conversion",
        delivery=edited.delivery,
        queue=queue,
        body=edited.body,
        checksum=checksum(
            session.seeds[queue],
            delivery=edited.delivery,
            received_at=received_at,
            conversion_id=conversion_id.encode(),
            body=edited.body,
        ),
    )
    session.run("amend_delivery", delivery=edited.delivery, queue=queue)
    return None


def heads(connection: SqlConnection) -> list[tuple[bytes, int]]:
    """Return pairs: the first 6 bytes of sealed texts, and how many payloads begin with them."""
    found = []
    for head, many in connection.execute(query("payload_heads"), _TAGS).fetchall():
        try:
            found.append((binascii.a2b_base64(str(head)), int(many)))
        except binascii.Error:
            continue  # not a sealed payload
    return found


def rewritten(session: WriterSession, write: Write, *, after: int, limit: int) -> RewrittenPayloads:
    """Rewrite the payloads of the next `limit` unsettled deliveries after `after`."""
    many, last = session.run("outbox_after", after=after, limit=limit).fetchone()
    if not many:
        return RewrittenPayloads()
    rows = session.run("tag_payloads", after=after, last=last, **_TAGS).fetchall()
    done = sum(_written(session, write, row) for row in rows)
    return RewrittenPayloads(payloads=done, last=last if many == limit else None)


def _written(session: WriterSession, write: Write, row: Sequence[object]) -> bool:
    """Replace a payload if its checksum holds; return whether it was replaced."""
    delivery, queue, pixel, conversion_id, received_at, body, total = row
    match delivery, queue, pixel, conversion_id, received_at, body:
        case int(), int(), str(), bytes(), int(), bytes():
            pass
        case _:
            return False
    adds_up = partial(
        checksum,
        session.seeds[queue],
        delivery=delivery,
        received_at=received_at,
        conversion_id=conversion_id,
    )
    if total != adds_up(body=body):
        return False  # leave the damage to be detected by a claim
    anew = write(pixel, body)
    if anew is None:
        return False
    session.run("rewrite_payload", delivery=delivery, body=anew, checksum=adds_up(body=anew))
    return True
