"""What a gateway of an agency would have counted and kept beside its settled conversions.

Forty shops of twenty ads accounts, each with a pixel of two events and two sources (its server and
its pages). Every span of the tallies has its rows, in all slots that are usual; every day its match
keys and flaws; a part of the conversions rest, for some reasons each; pages and servers were seen.
"""

import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from bench import fill
from builders import matching
from twite.domain.stats.deduplication import KEPT_FOR
from twite.domain.stats.match_keys import Matching
from twite.domain.stats.tally import KEPT
from twite.domain.times import DAY, HOUR, MINUTE

SHOPS = 40
ACCOUNTS = 20
RESTING = 20_000
SEEN = 200_000
REASONS = 8
_KITS = (0, 1, 2, 3, 6, 7, 24, 25, 26, 27, 31, 63)
_CODES = ("phone_unusable", "email_unusable", "hash_of_nothing", "ip_private", "twclid_unusable")
_SLOTS = range(20, 60)
_SLOTS_OF_A_MINUTE = range(32, 44)  # within a factor of eight

SETTINGS = """
[server]
listen = "127.0.0.1:0"
[store]
url = "{store}"
keep_bodies = "3650d"
keep_history = "3650d"
keep_dead = "3650d"
[x]
api_url = "http://127.0.0.1:9"
[log]
level = "error"
"""
_SHOP = """
[[pixel]]
id = "{pixel}"
account = "{account}"
auth = {{ pixel_token = "{token}" }}
events = {{ purchase = "{purchase}", sign_up = "{sign_up}" }}
[[source]]
name = "{source}"
key = "{key}-of-{shop}"
pixel = "{pixel}"
[[source]]
name = "page-{shop}"
key = "{key}-of-page-{shop}"
pixel = "{pixel}"
"""


def settings(store: str) -> str:
    """Return the settings of a gateway on a store that was made here; `store` is store.url."""
    return SETTINGS.format(store=store) + "".join(
        _SHOP.format(
            shop=shop,
            account=f"agency{shop % ACCOUNTS}",
            pixel=fill.pixel_of(shop),
            purchase=fill.event_of(shop, 0),
            sign_up=fill.event_of(shop, 1),
            source=fill.source_of(shop),
            token=fill.TOKEN,
            key=fill.KEY,
        )
        for shop in range(SHOPS)
    )


def make(path: Path, settled: int) -> None:
    """Make a store of so many settled conversions, and all that goes with them."""
    fill.make(path, settled=settled, queued=0, first=0, shops=SHOPS)
    now = time.time_ns() // 1_000_000
    randomness = random.Random(5)  # noqa: S311  the same store each time
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("BEGIN")
    for shop in range(SHOPS):
        db.execute(
            "INSERT INTO account (source, pixel) VALUES (?, ?)",
            (f"page-{shop}", fill.pixel_of(shop)),
        )
    # (account, its shop)
    accounts = [
        (number, (number - 1) % SHOPS)
        for (number,) in db.execute("SELECT id FROM account ORDER BY id").fetchall()
    ]
    _count(db, now, randomness, accounts)
    _rest(db, now, randomness, settled)
    db.executemany(
        """INSERT INTO dedup_report (
          at, queue, path, conversion_id, email_mark, phone_mark, click_mark)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        _seen(now, randomness, min(SEEN, settled), settled),
    )
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _count(
    db: sqlite3.Connection, now: int, randomness: random.Random, accounts: list[tuple[int, int]]
) -> None:
    """Write the tallies: of each account, by span and by day."""
    for span, kept in KEPT.items():
        spans = [(now // span - back) * span for back in range(kept // span)]
        db.executemany(
            """INSERT INTO flow
            (span, at, account, received, duplicate, suppressed, rejected, delivered, dead)
            VALUES (?, ?, ?, 900, 20, 5, 3, 870, 2)""",
            ((span, at, account) for at in spans for account, _ in accounts),
        )
        db.executemany(
            "INSERT INTO waited (span, at, account, slot, deliveries) VALUES (?, ?, ?, ?, ?)",
            (
                (span, at, account, slot, randomness.randrange(1, 90))
                for at in spans
                for account, _ in accounts
                for slot in (_SLOTS_OF_A_MINUTE if span == MINUTE else _SLOTS)
            ),
        )
    queues = [
        (day, account, fill.queue_of(shop, second))
        for day in range(now // DAY - 90, now // DAY + 1)
        for account, shop in accounts
        for second in (0, 1)
    ]
    fields = Matching.__struct_fields__
    db.executemany(
        "INSERT INTO matched VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (*which, *(getattr(keys, name) for name in fields))
            for which in queues
            for keys in (matching({key_set: randomness.randrange(900) for key_set in _KITS}),)
        ),
    )
    db.executemany(
        """INSERT INTO flaw (day, account, queue, code, times, shape, delivery, wins)
        VALUES (?, ?, ?, ?, 9, '99 99', 1, 3)""",
        ((*which, code) for which in queues for code in _CODES),
    )


def _rest(db: sqlite3.Connection, now: int, randomness: random.Random, settled: int) -> None:
    """Let a part of the conversions rest, and find some amounts unusual."""
    apart = max(1, settled // (2 * RESTING))
    resting = range(settled, max(0, settled - RESTING * apart), -apart)
    db.executemany(
        """INSERT INTO outbox (id, queue, account, received_at, state, rested_at, reason)
        SELECT conversion.id, conversion.queue, account.id, ?, ?, ?, ?
        FROM conversion JOIN queue ON queue.id = conversion.queue
        JOIN submission ON submission.id = conversion.submission
        JOIN account ON account.source = submission.source AND account.pixel = queue.pixel
        WHERE conversion.id = ?""",
        (
            (
                now - HOUR - number,
                randomness.choice(("dead", "held")),
                now - number * MINUTE // 10,
                f"400 INVALID_PARAMETER: reason number {randomness.randrange(REASONS)}",
                id_,
            )
            for number, id_ in enumerate(resting)
        ),
    )
    db.execute(
        """UPDATE account SET delivered = delivered
        - (SELECT count(*) FROM outbox WHERE outbox.account = account.id)"""
    )
    db.executemany(
        """INSERT INTO flagged (delivery, kind, value, currency, usual)
        VALUES (?, 'outlier', '4990.00', 'EUR', '49.90 EUR')""",
        [(settled - number * 7,) for number in range(min(RESTING, settled // 8))],
    )


def _seen(
    now: int, randomness: random.Random, many: int, settled: int
) -> Iterator[tuple[int, int, str, str, int | None, int | None, int | None]]:
    """Yield rows of the latest conversions, the oldest first.

    Each came from a server; of half the page sent X's pixel under the same id, of a tenth under
    another.
    """
    for number in range(many):
        at = now - KEPT_FOR + (number + 1) * KEPT_FOR // (many + 1)
        id_ = settled - many + number + 1
        shop = (id_ + 99) // 100 % SHOPS
        queue = fill.queue_of(shop, id_ % 2)
        marks = (
            randomness.getrandbits(62),
            randomness.getrandbits(62) if number % 3 else None,
            None,
        )
        yield at, queue, "server", f"old-{id_}", *marks
        if number % 2:
            yield at, queue, "pixel", f"old-{id_}", None, None, None
        elif number % 10 == 0:
            yield at, queue, "pixel", f"page-{id_}", *marks
