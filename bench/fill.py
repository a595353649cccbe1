"""Fill a store: with millions of settled conversions, or with an outbox to be sent.

Settled rows are written by SQL, as the gateway would have left them: keys at random, the rest in
order. An outbox goes through the gateway's own accept.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from bench.orders import bodies
from twite.domain.conversion import dedup_key
from twite.domain.destination import Destination, PixelToken, Source
from twite.domain.secret import Secret
from twite.domain.times import DAY
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.store import StoreOptions
from twite.machine.system import SystemClock, SystemRandomness
from twite.stores.sql.statements import query
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.key_filters import KeyFilters

PIXEL = "o8z6j"
TOKEN = "emulator-pixel-token-o8z6j"  # noqa: S105  the emulator's own, made up
# As long and as random as a real key, so that no request contains a part of it.
KEY = "Qm7vLx2RkT9wZp4HsB6nYd3JcF8gUaE5"

_SETTLED = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
INSERT INTO {table} SELECT {columns} FROM n {where}
"""


async def create(path: Path) -> None:
    """Make an empty store."""
    store = await SQLiteStore.open(path, StoreOptions(dedup_window=7 * DAY))
    await store.close()


def settle(path: Path, many: int, *, shops: int = 1) -> None:
    """Write so many delivered conversions into an empty store.

    Of several shops, each has a source, a pixel and two queues, in order (`queue_of`, `source_of`);
    a submission is of one of them.
    """
    now = time.time_ns() // 1_000_000
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-1000000")
    db.execute("BEGIN")
    values = {"many": many, "now": now, "shops": shops}
    for shop in range(shops):
        own = many // shops + (shop < many % shops)
        db.execute(
            "INSERT INTO account (source, pixel, received, delivered) VALUES (?, ?, ?, ?)",
            (source_of(shop), pixel_of(shop), own, own),
        )
        for second in range(1 if shops == 1 else 2):
            db.execute(
                "INSERT INTO queue (id, pixel, event) VALUES (?, ?, ?)",
                (queue_of(shop, second), pixel_of(shop), event_of(shop, second)),
            )
    db.create_function("source_of", 1, source_of, deterministic=True)
    queue = "1" if shops == 1 else "1 + 2 * ((i + 99) / 100 % :shops) + i % 2"
    for table, columns, where in (
        (
            "conversion (id, submission, queue, conversion_id, body)",
            f"i, (i + 99) / 100, {queue}, 'old-' || i, randomblob(620)",
            "",
        ),
        (
            """submission
            (id, receipt, source, endpoint, received_at, first, entries, body, refusals)""",
            """(i + 99) / 100, printf('old-%012d', i), source_of((i + 99) / 100 % :shops), 'native',
            :now - 3600000, i, 100, randomblob(60000), NULL""",
            "WHERE i % 100 = 1",
        ),
        ("dedup", "randomblob(16), i", ""),
        ("attempt", "(i + 499) / 500, :now - 3500000, 1, 'delivered', 200, '', 0, 500",
         "WHERE i % 500 = 1"),
        ("attempted", "i, (i + 499) / 500", ""),
    ):  # fmt: skip
        db.execute(_SETTLED.format(table=table, columns=columns, where=where), values)
    # One is found by its id: the key of the middle is no random one.
    middle = max(1, many // 2)
    pixel, event = db.execute(
        "SELECT pixel, event FROM queue JOIN conversion ON queue.id = queue "
        "WHERE conversion.id = ?",
        (middle,),
    ).fetchone()
    key = dedup_key(pixel, event, f"old-{middle}")
    db.execute("INSERT INTO dedup VALUES (?, ?)", (key, middle))
    _filter(db)
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def add_keys(path: Path, many: int) -> None:
    """Add so many random deduplication keys."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 WHERE :many UNION ALL "
            "SELECT i + 1 FROM n WHERE i < :many) "
            "INSERT INTO dedup SELECT randomblob(16) AS key, i FROM n ORDER BY key",
            {"many": many},
        )
        _filter(db)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _filter(db: sqlite3.Connection) -> None:
    """Build the key filters anew."""
    filters = KeyFilters(lambda name, **named: db.execute(query(name), named))
    for part in range(256):
        filters.rebuild(part)
    filters.write()


def pixel_of(shop: int) -> str:
    """Return the pixel of the nth shop."""
    return PIXEL if shop == 0 else f"o8p{shop:02}"


def event_of(shop: int, second: int) -> str:
    """Return X's id of a shop's purchase, or of its sign-up."""
    return ("o8z6k", "o8z6m")[second] if shop == 0 else f"o8{'km'[second]}{shop:02}"


def source_of(shop: int) -> str:
    """Return the source by which a shop's server submits."""
    return "shop" if shop == 0 else f"shop-{shop}"


def queue_of(shop: int, second: int) -> int:
    """Return the number of a shop's queue."""
    return 1 + 2 * shop + second


async def queue(path: Path, many: int, first: int) -> None:
    """Put so many conversions into the outbox, through accept."""
    store = await SQLiteStore.open(path, StoreOptions(dedup_window=7 * DAY))
    await accept(store, bodies(first, many // 1_000, 1_000))
    await store.close()


async def accept(store: SQLiteStore, requests: Iterable[bytes]) -> None:
    """Accept requests of a shop."""
    destination = Destination(
        pixel=PIXEL,
        credentials=PixelToken(token=Secret(TOKEN)),
        events={"purchase": "o8z6k"},
    )
    source = Source(name="shop", key=None, pixel=PIXEL, pixels=frozenset({PIXEL}), region="GB")
    intake = Accept(
        intake=store,
        clock=SystemClock(),
        randomness=SystemRandomness(),
        destinations={PIXEL: destination},
        salt=store.salt,
        wake=lambda _pixel: None,
    )
    for body in requests:
        await intake.native(source=source, body=body)


def make(path: Path, *, settled: int, queued: int, first: int, shops: int = 1) -> None:
    """Make a store with so many settled and so many queued conversions."""
    asyncio.run(create(path))
    if settled:
        settle(path, settled, shops=shops)
    if queued:
        asyncio.run(queue(path, queued, first))
