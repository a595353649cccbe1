"""`python -m bench.console`: how long the console's pages take, on a full store and an empty one.

    python -m bench.console                     a store of five million conversions
    python -m bench.console --settled 500000    a smaller one
    python -m bench.console --store FILE        one that was made before; it is used as it is

Each page is asked for so many times from a browser's place, one after the other; told are the
median and the slowest, in milliseconds, from the request to the last byte, beside the same on an
empty store. The first time of a page is left out of both: templates are read then.
"""

import argparse
import asyncio
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from bench import fill
from twite.assembly.gateway import Gateway
from twite.assembly.people import open_staff
from twite.assembly.settings import load
from twite.domain.people import Role
from twite.domain.tally import KEPT
from twite.domain.times import DAY, HOUR, MINUTE

PASSWORD = "a sentence that does well"  # noqa: S105  made up
LIMIT = 100
RESTING = 20_000
SETTINGS = """
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite:{store}"
keep_bodies = "3650d"
keep_lives = "3650d"
keep_dead = "3650d"
[x]
api_url = "http://127.0.0.1:9"
[log]
level = "error"
[[pixel]]
id = "o8z6j"
auth = {{ pixel_token = "{token}" }}
events = {{ purchase = "o8z6k", sign_up = "o8z6m" }}
[[source]]
name = "shop"
key = "{key}"
pixel = "o8z6j"
"""


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--settled", type=int, default=5_000_000)
    asked.add_argument("--store", type=Path)
    asked.add_argument("--times", type=int, default=15)
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="twite-bench-") as scratch:
        folder = Path(scratch)
        full = chosen.store or folder / "full.db"
        if chosen.store is None or not chosen.store.exists():
            print(f"filling a store with {chosen.settled:,} conversions …", file=sys.stderr)
            fill.make(full, settled=chosen.settled, queued=0, first=0)
            crowd(full, chosen.settled)
        empty = folder / "empty.db"
        fill.make(empty, settled=0, queued=0, first=0)
        several = asyncio.run(measured(folder, {"empty": empty, "full": full}, chosen.times))
    return told(several)


def crowd(path: Path, settled: int) -> None:
    """Write what a gateway would have counted on the way, and conversions that rest."""
    now = time.time_ns() // 1_000_000
    chance = random.Random(5)  # noqa: S311  the same store each time
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("BEGIN")
    db.execute("INSERT INTO lane (id, pixel, event) VALUES (2, ?, 'o8z6m')", (fill.PIXEL,))
    for span, kept in KEPT.items():
        spans = [(now // span - back) * span for back in range(kept // span)]
        db.executemany(
            "INSERT INTO flow VALUES (?, ?, 1, 900, 20, 5, 3, 870, 2)", [(span, at) for at in spans]
        )
        db.executemany(
            "INSERT INTO waited VALUES (?, ?, 1, ?, ?)",
            [(span, at, slot, chance.randrange(1, 90)) for at in spans for slot in range(20, 60)],
        )
    days = range(now // DAY - 90, now // DAY + 1)
    db.executemany(
        "INSERT INTO kit VALUES (?, 1, ?, ?, ?)",
        [
            (day, lane, kit, chance.randrange(900))
            for day in days
            for lane in (1, 2)
            for kit in (0, 1, 2, 3, 6, 7, 24, 25, 26, 27, 31, 63)
        ],
    )
    codes = ("phone_unusable", "email_unusable", "hash_of_nothing", "ip_private", "twclid_unusable")
    db.executemany(
        "INSERT INTO flaw VALUES (?, 1, ?, ?, 9, '99 99', 1)",
        [(day, lane, code) for day in days for lane in (1, 2) for code in codes],
    )
    db.executemany(
        """INSERT INTO outbox (id, lane, account, received_at, state, rested_at, reason)
        VALUES (?, 1, 1, ?, ?, ?, ?)""",
        [
            (
                settled - number * max(1, settled // (2 * RESTING)),
                now - HOUR - number,
                chance.choice(("dead", "held")),
                now - number * MINUTE // 10,
                f"400 INVALID_PARAMETER: reason number {number % 40}",
            )
            for number in range(min(RESTING, settled))
        ],
    )
    db.execute("UPDATE account SET delivered = delivered - ?", (min(RESTING, settled),))
    db.executemany(
        "INSERT INTO flagged VALUES (?, 'outlier', '4990.00', 'EUR', '49.90 EUR')",
        [(settled - number * 7,) for number in range(min(RESTING, settled // 8))],
    )
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def pages(settled: int) -> Mapping[str, str]:
    """Return the pages that are asked for, by what they are called."""
    last = max(1, settled)
    return {
        "overview, a day": "",
        "overview, a month": "?span=month",
        "live": "/live",
        "live, deep in the past": f"/live?before={last // 3}",
        "live, before a moment": "/live?at=2026-01-01T00:00",
        "live, of an event that never comes": "/live?event=o8z6m",
        "live, delivered": "/live?state=delivered",
        "live, dead": "/live?state=dead",
        "live, suppressed (none)": "/live?state=suppressed",
        "a life": f"/live/{last // 2}",
        "match keys, 7 days": "/match-keys",
        "match keys, 90 days": "/match-keys?days=90",
        "twins": "/twins",
        "pixels and sources": "/pixels",
        "a pixel": f"/pixels/{fill.PIXEL}",
        "audit": "/audit",
        "dead letters and held": "/dead",
        "a heap of them": "/dead/heap?pixel=o8z6j&event=o8z6k&state=dead"
        "&reason=400+INVALID_PARAMETER%3A+reason+number+7",
        "value guards": "/value-guards",
        "value guards, of one kind (none)": "/value-guards?reason=zero",
    }


async def measured(
    folder: Path, stores: Mapping[str, Path], times: int
) -> Mapping[str, Mapping[str, Sequence[float]]]:
    """Return milliseconds by page and store; the stores take turns."""
    found: dict[str, dict[str, list[float]]] = {}
    houses = {name: await opened(folder / f"{name}.toml", path) for name, path in stores.items()}
    for _ in range(times + 1):
        for store, (gateway, http, settled) in houses.items():
            for name, path in pages(settled).items():
                began = time.perf_counter()
                async with http.get(f"{gateway.url}/console{path}") as answer:
                    await answer.read()
                    status = answer.status
                took = (time.perf_counter() - began) * 1_000
                if status not in {200, 404}:
                    raise SystemExit(f"{name} answered {status}")
                found.setdefault(name, {}).setdefault(store, []).append(took)
    for gateway, http, _ in houses.values():
        await http.close()
        await gateway.stop()
    return {
        name: {store: several[1:] for store, several in by_store.items()}
        for name, by_store in found.items()
    }


async def opened(config: Path, store: Path) -> tuple[Gateway, aiohttp.ClientSession, int]:
    """Return a gateway on a store, somebody signed in, and how many conversions there are."""
    written = SETTINGS.format(store=store, token=fill.TOKEN, key=fill.KEY)
    await asyncio.to_thread(config.write_text, written)
    settings = load(config, {})
    async with open_staff(settings) as staff:
        if not any(user.name == "ada" for user in await staff.users()):
            await staff.add("ada", role=Role.ADMIN, password=PASSWORD, pixels=None, by="bench")
    gateway = Gateway(settings)
    await gateway.start()
    http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    async with http.get(f"{gateway.url}/console/sign-in") as page:
        token = (await page.text()).split('name="form_token" value="')[1][:64]
    form = {"form_token": token, "name": "ada", "password": PASSWORD, "code": ""}
    async with http.post(
        f"{gateway.url}/console/sign-in", data=form, headers={"Origin": gateway.url}
    ) as answer:
        await answer.read()
    db = sqlite3.connect(store)
    settled = db.execute("SELECT coalesce(max(id), 0) FROM conversion").fetchone()[0]
    db.close()
    return gateway, http, settled


def told(found: Mapping[str, Mapping[str, Sequence[float]]]) -> int:
    """Print it; 1 where a page's median is over the limit on the full store."""
    print(f"{'page':36}{'empty':>8}{'full':>8}{'ratio':>8}{'slowest':>9}")
    slow = 0
    for name, by_store in found.items():
        empty, full = (statistics.median(by_store[store]) for store in ("empty", "full"))
        slow += full >= LIMIT
        print(f"{name:36}{empty:8.1f}{full:8.1f}{full / empty:8.1f}{max(by_store['full']):9.1f}")
    print(f"{len(found) - slow} of {len(found)} pages in less than {LIMIT} ms")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
