"""What a person does to dead and held deliveries, inside the running transaction."""

from collections.abc import Sequence

import msgspec

from twite.stores.sqlite.book import Book


def replay(book: Book, deliveries: Sequence[int], *, now: int) -> int:
    """Queue them again; return how many it was."""
    return book.run("replay", deliveries=_json(deliveries), now=now).rowcount


def discard(book: Book, deliveries: Sequence[int], *, now: int, note: str) -> int:
    """Give them up, as suppressed; return how many it was."""
    ids = _json(deliveries)
    book.run("count_discarded", deliveries=ids)
    book.run("note_discarded", deliveries=ids, now=now, note=note)
    return book.run("remove_discarded", deliveries=ids).rowcount


def _json(ids: Sequence[int]) -> str:
    return msgspec.json.encode(ids).decode()
