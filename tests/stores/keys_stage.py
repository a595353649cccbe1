"""Deduplication keys made up for tests, and requests for them."""

from builders import NOW
from twite.domain.conversion import DEFAULT_WINDOW
from twite.stores.sql.database import WantedKey
from twite.stores.sqlite.engine.dedup_keys import DedupKeys

MERGED = "(SELECT key, delivery FROM recent_key UNION ALL SELECT key, delivery FROM dedup)"


def counted(book, table):
    return book.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours


def key_of(part, number=0):
    """Return a key in one of the 256 parts of the key space."""
    return bytes([part]) + number.to_bytes(15, "big")


def keys_of(book, *, fresh=100):
    return DedupKeys(book.run, window=DEFAULT_WINDOW, fresh=fresh)


def take(keys, *wanted, takes=False):
    """Request keys (key, delivery); return what `take` returns, and the contested keys."""
    contested = []

    def contest(wish, holder, holding):
        contested.append((wish.delivery, holder, holding))
        return takes

    late = keys.take([WantedKey(key, delivery, NOW) for key, delivery in wanted], contest)
    return late, contested
