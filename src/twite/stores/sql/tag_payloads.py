"""Queued tag payloads: which keys sealed them, and rewrite them under another."""

import binascii
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Final

from twite.gateway.ports.outbox import RewrittenPayloads, Write
from twite.gateway.ports.tags import PREFIX
from twite.stores.sql.checksum import checksum
from twite.stores.sql.named import query
from twite.stores.sql.writer_session import WriterSession

# No name of a tag holds U+10FFFF: it comes after all of them.
_TAGS: Final = {"first": PREFIX, "beyond": PREFIX + "\U0010ffff"}


def heads(connection: sqlite3.Connection) -> list[tuple[bytes, int]]:
    """Return (the first 6 bytes of a sealed text, the number of payloads with them)."""
    found = []
    for head, many in connection.execute(query("letter_heads"), _TAGS).fetchall():
        try:
            found.append((binascii.a2b_base64(str(head)), int(many)))
        except binascii.Error:
            continue  # it is not of ours
    return found


def rewritten(book: WriterSession, write: Write, *, after: int, limit: int) -> RewrittenPayloads:
    """Rewrite payloads among `limit` unsettled deliveries after `after`."""
    many, last = book.run("outbox_after", after=after, limit=limit).fetchone()
    if not many:
        return RewrittenPayloads()
    rows = book.run("letters", after=after, last=last, **_TAGS).fetchall()
    done = sum(_written(book, write, row) for row in rows)
    return RewrittenPayloads(letters=done, last=last if many == limit else None)


def _written(book: WriterSession, write: Write, row: Sequence[object]) -> bool:
    """Replace a payload if its checksum holds; return whether it was replaced."""
    delivery, lane, pixel, conversion_id, received_at, body, total = row
    match delivery, lane, pixel, conversion_id, received_at, body:
        case int(), int(), str(), bytes(), int(), bytes():
            pass
        case _:
            return False
    adds_up = partial(
        checksum,
        book.seeds[lane],
        delivery=delivery,
        received_at=received_at,
        conversion_id=conversion_id,
    )
    # What is from before there were checksums is claimed as it is.
    unsummed = total is None and delivery <= book.unsummed
    if total != adds_up(body=body) and not unsummed:
        return False  # a claim must find it damaged
    anew = write(pixel, body)
    if anew is None:
        return False
    book.run("write_letter", delivery=delivery, body=anew, checksum=adds_up(body=anew))
    return True
