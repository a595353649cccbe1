"""Many invalid requests use limited disk space; their cost for valid requests is measured."""

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from builders import a_destination, a_source
from twite.domain.submission import MOST_KEPT, RejectionQuery
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.queries import RejectionsQuery
from twite.machine.system import SystemClock, SystemRandomness
from twite.stores.sqlite import SQLiteStore

LONG = os.environ.get("TWITE_TRIAL") == "1"
REQUESTS = 200 if LONG else 40
IN_ONE = 100
FLOODS = 2

pytestmark = pytest.mark.timeout(600)


def body(name, *, bad=False, many=1):
    conversions = [
        {
            "event": "no_such_event" if bad else "purchase",
            "conversion_id": f"{name}-{number}",
            "email": f"{name}.{number}@shop.test.internal",
            "value": "-5.00" if bad else "49.90",
            "currency": "EUR",
            "description": "x" * 200,
        }
        for number in range(many)
    ]
    return msgspec.json.encode({"conversions": conversions})


async def response_times(accept, flood):
    """Submit valid conversions one by one during floods; return their times in ms."""
    over = asyncio.Event()
    reported = []

    async def floods(number):
        part = 0
        while not over.is_set():
            part += 1
            text = body(f"{flood}-{number}-{part}", bad=flood == "bad", many=IN_ONE)
            reported.append(await accept.native(source=a_source(), body=text))

    running = [asyncio.create_task(floods(number)) for number in range(FLOODS)] if flood else []
    took = []
    for number in range(REQUESTS):
        began = time.perf_counter()
        await accept.native(source=a_source("web"), body=body(f"beside-{flood}-{number}"))
        took.append((time.perf_counter() - began) * 1_000)
        await asyncio.sleep(0.005)
    over.set()
    await asyncio.gather(*running)
    return sorted(took), sum(len(receipt.rejected) + receipt.accepted for receipt in reported)


async def test_many_invalid_requests_use_limited_disk_space(tmp_path, figure):
    path = tmp_path / "twite.db"
    store = await SQLiteStore.open(str(path))
    accept = Accept(
        intake=store,
        clock=SystemClock(),
        randomness=SystemRandomness(),
        destinations={"o8z6j": a_destination()},
        salt=store.salt,
        wake=lambda _pixel: None,
    )
    # The ring buffer is filled first, so that the steady state is measured.
    for part in range(MOST_KEPT // 500):
        await accept.native(source=a_source(), body=body(f"first-{part}", bad=True, many=500))
    full = pages(path)

    alone, _ = await response_times(accept, "")
    bad, refused = await response_times(accept, "bad")
    kept = await store.answer(RejectionsQuery(rejection_query=RejectionQuery(limit=99_999)))
    grown = pages(path) - full
    good, taken = await response_times(accept, "good")
    await store.close()

    median = {name: took[len(took) // 2] for name, took in
              (("alone", alone), ("bad", bad), ("good", good))}  # fmt: skip
    figure(
        "a flood of bad requests",
        f"{refused} rejected, {taken} accepted: a good request took {median['alone']:.1f} ms "
        f"alone, {median['bad']:.1f} beside bad ones, {median['good']:.1f} beside good ones; "
        f"{len(kept)} kept, {grown} bytes more on disk",
    )
    assert len(kept) == MOST_KEPT
    # The accepted conversions are included; 100 bytes per rejected one would be more.
    assert grown < refused * 100
    if LONG:
        # A bad conversion costs more to read than a good one, because of its error message.
        assert median["bad"] <= 6 * median["good"]


def pages(path: Path) -> int:
    """Return the bytes of the database's pages, with those that are still in its log."""
    with closing(sqlite3.connect(path)) as connection:
        [(count,)] = connection.execute("PRAGMA page_count")
        [(size,)] = connection.execute("PRAGMA page_size")
    return count * size
