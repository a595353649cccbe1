"""Console part of the SQLite store: queries, edits, usual amounts and sightings."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from twite.domain.dedup import dedup_key
from twite.domain.people.users import AuditEvent
from twite.gateway.ports.queries import (
    EditedBody,
)
from twite.stores.sql import operations as desk
from twite.stores.sql.checksum import checksum
from twite.stores.sql.dedup_keys import WantedKey
from twite.stores.sql.writer_session import WriterSession
from twite.stores.sqlite.engine.reader import ReadConnection
from twite.stores.sqlite.engine.slices import in_slices
from twite.stores.sqlite.engine.writer import Writer

HAS_ANOTHER = "another conversion has this event and conversion id already"
NOT_AT_REST = "it is no longer dead or held"
# Each takes half a dozen statements.
_SLICE: Final = 50


class ConsoleViews:
    """For a store to inherit; see twite.gateway.ports.queries, .guards and .sightings."""

    _writer: Writer
    _reader: ReadConnection

    async def amend(
        self,
        amendments: Sequence[EditedBody],
        *,
        now: int,
        note: str,
        sure: Collection[int] = (),
        deed: AuditEvent | None = None,
    ) -> Mapping[int, str]:
        known = frozenset(sure)
        refused = await in_slices(
            self._writer,
            amendments,
            lambda book, some: _amend(book, some, now=now, note=note, sure=known),
            deed=deed,
            size=_SLICE,
        )
        return {delivery: why for names in refused for delivery, why in names.items()}


def _amend(
    book: WriterSession,
    amendments: Sequence[EditedBody],
    *,
    now: int,
    note: str,
    sure: Collection[int],
) -> dict[int, str]:
    """Replace bodies and requeue their deliveries; return the refused ones with reasons."""
    refused: dict[int, str] = {}
    done: list[int] = []
    for amendment in amendments:
        why = _amended(book, amendment, now=now, note=note, is_sure=amendment.delivery in sure)
        if why is None:
            done.append(amendment.delivery)
        else:
            refused[amendment.delivery] = why
    desk.replay(book, done, now=now, sure=sure)
    return refused


def _amended(
    book: WriterSession, edited: EditedBody, *, now: int, note: str, is_sure: bool
) -> str | None:
    row = book.run("to_amend", delivery=edited.delivery).fetchone()
    if row is None:
        return NOT_AT_REST
    before, pixel, event, conversion_id, received_at, body = row
    if edited.event != event:
        key = dedup_key(pixel, edited.event, conversion_id)
        if book.keys.take_over(WantedKey(key, edited.delivery, now)) is not None:
            return HAS_ANOTHER
    elif not is_sure and desk.rivals_of(book, [edited.delivery]):
        return HAS_ANOTHER
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
