"""The sending half of a gateway on SQLite and sockets, timed from disk to X's response."""

import asyncio
import time
from contextlib import asynccontextmanager

from builders import a_destination, a_submission, an_entry
from fakes import conversions_of
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import SilentObserver
from twite.machine.system import SystemClock, SystemRandomness
from twite.senders.http import HttpTransport
from twite.stores.sqlite import SQLiteStore


class Stopwatch:
    """The client for X, which records the time of each conversion in `times`."""

    def __init__(self, transport, times):
        self._transport = transport
        self._times = times
        self.recorded = {}
        self.took = {}
        self.sent = []
        self.news = asyncio.Event()

    async def post(self, outbound):
        conversions = conversions_of(outbound)
        self.sent.append([conversion["conversion_id"] for conversion in conversions])
        came = await self._transport.post(outbound)
        if getattr(came, "status", None) == 200 and self._times(outbound, conversions[0]):
            now = time.perf_counter()
            for conversion in conversions:
                self.took[conversion["conversion_id"]] = (
                    now - self.recorded[conversion["conversion_id"]]
                )
            self.news.set()
        return came


class Sending:
    """A sending gateway."""

    def __init__(self, store, run, watch, clock):
        self.store = store
        self.run = run
        self.watch = watch
        self._clock = clock

    async def record(self, *ids, pixel, event="o8z6k"):
        entries = [an_entry(id_, pixel=pixel, event=event, index=n) for n, id_ in enumerate(ids)]
        self.watch.recorded |= dict.fromkeys(ids, time.perf_counter())
        submission = a_submission(*entries, receipt=ids[0], received_at=self._clock.now())
        await self.store.record(submission)
        self.run.wake(pixel)

    async def all_timed(self, count, *, within):
        """Wait until this many timed conversions were accepted, for at most `within` seconds."""
        async with asyncio.timeout(within):
            while len(self.watch.took) < count:
                await self.watch.news.wait()
                self.watch.news.clear()

    async def ended(self):
        """Stop cleanly, and return the balance of each pixel."""
        await self.run.stop(within=5 * SECOND)
        return {account.pixel: account for account in await self.store.balance()}


@asynccontextmanager
async def sending(folder, x, *, pixels, times):
    """Run a gateway with these pixels against an emulator; `times` selects the timed requests."""
    folder.mkdir()
    store = await SQLiteStore.open(str(folder / "twite.db"))
    transport = HttpTransport(timeout=2 * SECOND)
    await transport.start()
    watch, clock, randomness = (
        Stopwatch(transport, times),
        MonotonicClock(SystemClock()),
        SystemRandomness(),
    )
    post = XClient(transport=watch, clock=clock, randomness=randomness, api_url=x.url, version="12")
    run = DeliveryRunner(
        destinations=[a_destination(pixel, rate=10_000_000) for pixel in pixels],
        outbox=store,
        x_client=post,
        clock=clock,
        randomness=randomness,
        observer=SilentObserver(),
        worker_config=WorkerConfig(),
    )
    await run.start()
    try:
        yield Sending(store, run, watch, clock)
    finally:
        await transport.stop()
        await store.close()
