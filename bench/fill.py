"""Fill a store: with millions of settled conversions, or with an outbox to be sent.

Settled rows are written by SQL, as the gateway would have left them: keys at random, the rest in
order. An outbox goes through the gateway's own accept.
"""

import asyncio
import sqlite3
import time
from pathlib import Path

from bench.orders import bodies
from twite.domain.destination import Destination, PixelToken, Source
from twite.domain.secret import Secret
from twite.domain.times import DAY
from twite.gateway.accept import Accept
from twite.machine import SystemChance, SystemClock
from twite.stores.sqlite import SQLiteStore

PIXEL = "o8z6j"
TOKEN = "emulator-pixel-token-o8z6j"  # noqa: S105  the emulator's own, made up
KEY = "bench-key-bench-key-bench-key"

_SETTLED = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
INSERT INTO {table} SELECT {columns} FROM n {where}
"""


async def create(path: Path) -> None:
    """Make an empty store."""
    store = await SQLiteStore.open(path, dedup_window=7 * DAY)
    await store.close()


def settle(path: Path, many: int) -> None:
    """Write so many delivered conversions into an empty store."""
    now = time.time_ns() // 1_000_000
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-1000000")
    db.execute("BEGIN")
    values = {"many": many, "now": now}
    db.execute(
        "INSERT INTO account (source, pixel, received, delivered) VALUES ('shop', ?, ?, ?)",
        (PIXEL, many, many),
    )
    db.execute("INSERT INTO lane (id, pixel, event) VALUES (1, ?, 'o8z6k')", (PIXEL,))
    for table, columns, where in (
        ("conversion", "i, (i + 99) / 100, 1, 'old-' || i, randomblob(620), NULL, NULL", ""),
        (
            "submission (id, receipt, source, door, received_at, first, entries, body, refusals)",
            """(i + 99) / 100, printf('old-%012d', i), 'shop', 'native', :now - 3600000, i, 100,
            randomblob(60000), NULL""",
            "WHERE i % 100 = 1",
        ),
        ("dedup", "randomblob(16), i", ""),
        ("attempt", "(i + 499) / 500, :now - 3500000, 1, 'delivered', 200, '', 0, 500",
         "WHERE i % 500 = 1"),
        ("attempted", "i, (i + 499) / 500", ""),
    ):  # fmt: skip
        db.execute(_SETTLED.format(table=table, columns=columns, where=where), values)
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


async def queue(path: Path, many: int, first: int) -> None:
    """Put so many conversions into the outbox, through accept."""
    store = await SQLiteStore.open(path, dedup_window=7 * DAY)
    destination = Destination(
        pixel=PIXEL,
        credentials=PixelToken(token=Secret(TOKEN)),
        events={"purchase": "o8z6k"},
    )
    source = Source(name="shop", key=None, pixel=PIXEL, pixels=frozenset({PIXEL}), region="GB")
    accept = Accept(
        ledger=store,
        clock=SystemClock(),
        chance=SystemChance(),
        destinations={PIXEL: destination},
        salt=store.salt,
        wake=lambda _pixel: None,
    )
    for body in bodies(first, many // 1_000, 1_000):
        await accept.native(source=source, body=body)
    await store.close()


def make(path: Path, *, settled: int, queued: int, first: int) -> None:
    """Make a store with so many settled and so many queued conversions."""
    asyncio.run(create(path))
    if settled:
        settle(path, settled)
    if queued:
        asyncio.run(queue(path, queued, first))
