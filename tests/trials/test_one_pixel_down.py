"""One pixel down, one up, on one store and one way to X: the healthy one does not notice.

The promise is a ratio: the 99th percentile of the healthy pixel's deliveries beside a dead one,
over that of the same load alone. Times are asserted in the long form only.
"""

import asyncio
import os
import time

import pytest

from twite.domain.times import SECOND
from twite.gateway.dispatch import Pace
from twite.gateway.notices import Silent
from twite.gateway.post import Post
from twite.gateway.run import Run
from twite.gateway.steady import SteadyClock
from twite.machine import SystemChance, SystemClock
from twite.senders.http import HttpTransport
from twite.stores.sqlite import SQLiteStore
from twite.testing.builders import a_destination, a_submission, an_entry
from twite.testing.transport import conversions_of

LONG = os.environ.get("TWITE_TRIAL") == "1"
UP, DOWN = "o8z6j", "o6dkt"
EACH = 10
SUBMISSIONS = 5_000 if LONG else 100
EVERY = 0.01  # seconds: a thousand conversions a second, half of them for each pixel
FAULTS = {
    "dead": {"kind": "stall", "seconds": 60},
    "answering 503": {"kind": "status", "status": 503},
    "revoked": {"kind": "status", "status": 401},
    "limited": {"kind": "rate_limit", "seconds": 600},
    "slow": {"kind": "slow", "seconds": 0.5},
}


class Stopwatch:
    """The way to X, which notes how long each conversion took from the disk to X's answer."""

    def __init__(self, transport):
        self._transport = transport
        self.recorded = {}
        self.took = {}
        self.news = asyncio.Event()

    async def post(self, parcel):
        came = await self._transport.post(parcel)
        if parcel.url.endswith(UP) and getattr(came, "status", None) == 200:
            now = time.perf_counter()
            for one in conversions_of(parcel):
                self.took[one["conversion_id"]] = now - self.recorded[one["conversion_id"]]
            self.news.set()
        return came


async def delays(folder, x, *, both):
    """Return how long deliveries of the healthy pixel took, and how many of the other's wait."""
    store = await SQLiteStore.open(str(folder / "twite.db"))
    transport = HttpTransport(timeout=2 * SECOND)
    await transport.start()
    watch, clock, chance = Stopwatch(transport), SteadyClock(SystemClock()), SystemChance()
    post = Post(transport=watch, clock=clock, chance=chance, api_url=x.url, version="12")
    run = Run(
        destinations=[a_destination(pixel, rate=10_000_000) for pixel in (UP, DOWN)],
        outbox=store,
        post=post,
        clock=clock,
        chance=chance,
        observer=Silent(),
        pace=Pace(),
    )
    await run.start()
    began = time.perf_counter()
    for number in range(SUBMISSIONS):
        for pixel in (UP, DOWN) if both else (UP,):
            ids = [f"{pixel}-{number}-{n}" for n in range(EACH)]
            entries = [an_entry(one, pixel=pixel, index=n) for n, one in enumerate(ids)]
            receipt = f"{pixel}-{number:06}"
            watch.recorded |= dict.fromkeys(ids, time.perf_counter())
            await store.record(a_submission(*entries, receipt=receipt, received_at=clock.now()))
            run.wake(pixel)
        await asyncio.sleep(max(0.0, began + number * EVERY - time.perf_counter()))
    async with asyncio.timeout(60):
        while len(watch.took) < SUBMISSIONS * EACH:
            await watch.news.wait()
            watch.news.clear()
    await run.stop(within=5 * SECOND)
    accounts = {one.pixel: one for one in await store.accounts()}
    await transport.stop()
    await store.close()
    return sorted(watch.took.values()), accounts


@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS if LONG else ["dead", "revoked"])
async def test_a_pixel_that_is_down_delays_no_other(fault, tmp_path, x_emulator, figure):
    x_emulator.switch(rate_limit=1_000_000_000)
    x_emulator.fault(**FAULTS[fault], pixel=DOWN, count=0)
    (tmp_path / "alone").mkdir()
    (tmp_path / "both").mkdir()

    alone, _ = await delays(tmp_path / "alone", x_emulator, both=False)
    beside, accounts = await delays(tmp_path / "both", x_emulator, both=True)

    p99 = [one[int(len(one) * 0.99)] * 1_000 for one in (alone, beside)]
    ratio = p99[1] / p99[0]
    figure(
        f"one pixel up beside one that is {fault}",
        f"{2 * SUBMISSIONS * EACH:,} conversions; p99 of its deliveries {ratio:.2f} of that alone "
        f"({p99[1]:.0f} ms, {p99[0]:.0f} ms)",
    )
    assert (accounts[UP].delivered, accounts[UP].pending) == (SUBMISSIONS * EACH, 0)
    assert {one.balance for one in accounts.values()} == {0}
    if LONG:
        assert ratio <= 1.2
