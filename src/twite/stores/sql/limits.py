"""Rate limit windows, and deliveries held in doubt, inside the running transaction."""

from collections.abc import Sequence

import msgspec

from twite.gateway.ports.state import RateLimitWindow
from twite.stores.sql.writer_session import WriterSession


def close(book: WriterSession, closures: Sequence[RateLimitWindow]) -> None:
    """Note until when pixels take nothing more."""
    rows: list[object] = []
    for closure in closures:
        rows += (closure.pixel, closure.until, closure.reason)
    book.add_rows("add_closures", rows, 3)


def doubt(book: WriterSession, deliveries: Sequence[int], *, reason: str, now: int) -> int:
    """Hold dead letters; return their number."""
    ids = msgspec.json.encode(deliveries).decode()
    return book.run("doubt", deliveries=ids, reason=reason, now=now).rowcount


def recall(book: WriterSession, *, pixel: str, event: str, reason: str, now: int) -> int:
    """Requeue deliveries held in doubt, each once; return their number."""
    return book.run("recall", lane=book.lane(pixel, event), reason=reason, now=now).rowcount
