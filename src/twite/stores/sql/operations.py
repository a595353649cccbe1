"""Moves of dead and held deliveries, and rate limit windows, in the running transaction."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.dedup import dedup_key
from twite.domain.delivery import MAYBE_SENT
from twite.domain.history import Rival
from twite.gateway.ingest.value_guard import HELD_FOR
from twite.gateway.operations.hold_group import HeldGroup, alike
from twite.gateway.ports.outbox import EditedBody
from twite.stores.sql import copies
from twite.stores.sql.checksum import checksum
from twite.stores.sql.dedup_keys import WantedKey
from twite.stores.sql.opt_outs import withdraw
from twite.stores.sql.writer_session import WriterSession


def with_companions(book: WriterSession, deliveries: Sequence[int]) -> list[int]:
    """Return the deliveries, with all others of their hold groups."""
    chosen = set(deliveries)
    found = list(deliveries)
    for first, end in book.run(
        "remarked", deliveries=_json(deliveries), reason=HELD_FOR
    ).fetchall():
        held = [HeldGroup(*row) for row in book.run("held_of_submission", first=first, end=end)]
        found += [delivery for delivery in alike(chosen, held) if delivery not in chosen]
    return found


def replay(
    book: WriterSession, deliveries: Sequence[int], *, now: int, sure: Collection[int]
) -> int:
    """Requeue deliveries, except copies of delivered ones; return their number."""
    known = frozenset(sure)
    rivals = rivals_of(book, [delivery for delivery in deliveries if delivery not in known])
    deliveries = [delivery for delivery in deliveries if delivery not in rivals]
    return book.run(
        "replay",
        deliveries=_json(deliveries),
        now=now,
        sure=_json([delivery for delivery in deliveries if delivery in known]),
        maybe_sent=_MAYBE_SENT,
    ).rowcount


def rivals_of(book: WriterSession, deliveries: Sequence[int]) -> Mapping[int, Rival]:
    """Return, of deliveries at rest, which other copy of the conversion was sent or may yet be."""
    resting = copies.named(book.run, deliveries)
    return copies.rivals(book.run, resting, book.keys.holders([letter.key for letter in resting]))


def discard(book: WriterSession, deliveries: Sequence[int], *, now: int, note: str) -> int:
    """Give them up, as suppressed; return how many it was."""
    ids = _json(deliveries)
    book.run("count_discarded", deliveries=ids)
    book.run("note_discarded", deliveries=ids, now=now, note=note)
    return book.run("remove_discarded", deliveries=ids).rowcount


def hold_rejected(book: WriterSession, deliveries: Sequence[int], *, reason: str, now: int) -> int:
    """Hold dead letters; return their number."""
    ids = _json(deliveries)
    return book.run("doubt", deliveries=ids, reason=reason, now=now).rowcount


def recall(book: WriterSession, *, pixel: str, event: str, reason: str, now: int) -> int:
    """Requeue deliveries held in doubt, each once; return their number."""
    return book.run("recall", lane=book.lane(pixel, event), reason=reason, now=now).rowcount


def withdraw_deliveries(
    book: WriterSession, deliveries: Sequence[int], *, reason: str, now: int, hold: bool
) -> int:
    """Suppress deliveries, or hold those that are queued; return how many it was."""
    if not hold:
        return withdraw(book.run, deliveries, now=now, reason=reason)
    return book.run("hold_queued", deliveries=_json(deliveries), now=now, reason=reason).rowcount


def edit_bodies(
    book: WriterSession,
    edited: Sequence[EditedBody],
    *,
    now: int,
    note: str,
    sure: Collection[int],
) -> tuple[int, dict[int, str]]:
    """Replace bodies and requeue their deliveries; return how many, and what is refused."""
    refused: dict[int, str] = {}
    done: list[int] = []
    for body in edited:
        why = _edit_body(book, body, now=now, note=note, is_sure=body.delivery in sure)
        if why is None:
            done.append(body.delivery)
        else:
            refused[body.delivery] = why
    return replay(book, done, now=now, sure=sure), refused


def _edit_body(
    book: WriterSession, edited: EditedBody, *, now: int, note: str, is_sure: bool
) -> str | None:
    row = book.run("to_amend", delivery=edited.delivery).fetchone()
    if row is None:
        return _NOT_AT_REST
    before, pixel, event, conversion_id, received_at, body = row
    if edited.event != event:
        key = dedup_key(pixel, edited.event, conversion_id)
        if book.keys.take_over(WantedKey(key, edited.delivery, now)) is not None:
            return _HAS_ANOTHER
    elif not is_sure and rivals_of(book, [edited.delivery]):
        return _HAS_ANOTHER
    lane = book.lane(pixel, edited.event)
    book.run("note_amended", delivery=edited.delivery, at=now, lane=before, body=body, note=note)
    book.run(
        "amend_conversion",
        delivery=edited.delivery,
        lane=lane,
        body=edited.body,
        checksum=checksum(
            book.seeds[lane],
            delivery=edited.delivery,
            received_at=received_at,
            conversion_id=conversion_id.encode(),
            body=edited.body,
        ),
    )
    book.run("amend_delivery", delivery=edited.delivery, lane=lane)
    return None


def _json(ids: Sequence[int]) -> str:
    return msgspec.json.encode(ids).decode()


_HAS_ANOTHER: Final = "another conversion has this event and conversion id already"
_NOT_AT_REST: Final = "it is no longer dead or held"
_MAYBE_SENT: Final = msgspec.json.encode(sorted(MAYBE_SENT)).decode()
