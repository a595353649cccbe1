"""The process ends before X's response is committed: the conversion is resent once with the same
body.
"""

import asyncio
import json
import os
import time

import pytest
from gateway_processes import PIXEL, Gateway, wait_for

from simulator.clock import TrialClock
from simulator.files import FileStoreData
from simulator.nth_fault import Scenario
from simulator.scenario import CLICK, Offer
from simulator.store import MemoryStoreData
from simulator.world import World
from simulator.x import Met, RequestFault
from twite.domain.times import DAY, HOUR, MINUTE
from twite_emulator.process import running_emulator

LONG = os.environ.get("TWITE_TRIAL") == "1"
SQLITE = "twite.stores.sqlite:SQLiteStore"
DAYS = 10 if LONG else 3
DEATHS = 500 if LONG else 20
KILLS = 20 if LONG else 2


def a_sale(number):
    written = {"event": "purchase", "conversion_id": f"c{number}", "twclid": CLICK}
    return Offer(
        pixel="oaaa1",
        body=json.dumps({"conversions": [written]}).encode(),
        keys=(("oaaa1", "o8z6k", f"c{number}"),),
        poison=(False,),
        suppressed=(False,),
    )


class DiesOfEachAnswer(Scenario):
    """Each sale's first request ends the process as soon as X has received it."""

    def __init__(self, sales, *, request_fault=RequestFault.DIES_AFTER):
        super().__init__()
        self.sales = sales
        self.request_fault = request_fault
        self.died = 0

    def timeline(self):
        for number in range(self.sales):
            yield number * MINUTE, a_sale(number)

    def on_request(self, pixel):  # noqa: ARG002 there is only one pixel
        self.requests += 1
        if self.requests % 2 and self.died < self.sales:
            self.died += 1
            return Met(request_fault=self.request_fault)
        return Met()


class NeverHears(Scenario):
    """X accepts everything for days, but no response arrives."""

    def timeline(self):
        for number in range(300 if LONG else 30):
            yield number * HOUR // 2, a_sale(number)
        yield DAYS * DAY, a_sale(10_000)

    def on_request(self, pixel):  # noqa: ARG002 there is only one pixel
        return Met(request_fault=RequestFault.TIMEOUT) if self._counting else Met()


async def played(scenario, store_data):
    world = World(scenario=scenario, store_data=store_data, clock=TrialClock(), tell=lambda _: None)
    try:
        await world.play()
    finally:
        await store_data.close()
    return world


@pytest.mark.parametrize("store", [None, SQLITE], ids=["memory", "sqlite"])
def test_crash_between_response_and_commit_resends_an_equal_body(store, figure):
    deaths = DEATHS if LONG or store is None else 10
    scenario = DiesOfEachAnswer(deaths)

    world = asyncio.run(
        played(scenario, MemoryStoreData() if store is None else FileStoreData(store))
    )

    # The judge compares the bytes of each copy, and the time since X accepted the first.
    assert [*map(str, world.judge.findings)] == []
    assert (scenario.died, world.judge.copies) == (deaths, 2 * deaths)
    figure(
        "an unknown outcome is sent again with the same id and body",
        f"{deaths} deaths between X's answer and our commit, {world.judge.copies} copies, 0 differ",
    )


def test_crash_before_x_received_the_request_resends_an_equal_body():
    scenario = DiesOfEachAnswer(DEATHS, request_fault=RequestFault.DIES_BEFORE)

    world = asyncio.run(played(scenario, MemoryStoreData()))

    assert [*map(str, world.judge.findings)] == []
    assert world.judge.copies == 2 * DEATHS


def test_conversions_without_a_response_are_not_sent_after_forty_hours(figure):
    world = asyncio.run(played(NeverHears(), MemoryStoreData()))

    assert [*map(str, world.judge.findings)] == []
    figure(
        "no copy after 40 hours",
        f"{len(world.judge.truths)} conversions that X takes and never answers, {DAYS} days, "
        f"{world.judge.copies:,} copies, 0 after 40 hours",
    )


@pytest.mark.journey
@pytest.mark.timeout(600 if LONG else 120)
def test_conversion_resent_after_a_kill_is_counted_once_by_x(tmp_path, figure):
    switches = ("dedup_scope=all", "log_bodies=1000")
    with running_emulator(*switches) as x, Gateway(tmp_path, x.url) as gateway:
        for kill in range(KILLS):
            x.fault("slow", seconds=60)
            before = x.received(last=1)["requests"]
            sale = {"event": "purchase", "conversion_id": f"k{kill}", "twclid": CLICK}
            assert gateway.post(sale)[0] == 202
            wait_for(lambda before=before: x.received(last=1)["requests"] > before)
            time.sleep(0.01 * kill)
            gateway.kill()
            gateway.start()
            gateway.drained()
        tallies = x.counted()["pixels"][PIXEL]["events"]["o8z6k"]["ids"]
        bodies = [entry["body"] for entry in x.received(bodies=True)["entries"]]
        histories = [gateway.get(f"/v1/conversions/{PIXEL}/k{kill}")[1] for kill in range(KILLS)]

    assert {(tally["api"], tally["counted"]) for tally in tallies.values()} == {(2, 1)}
    assert len(bodies) == 2 * len(set(bodies)) == 2 * KILLS
    assert [[attempt["ambiguous"] for attempt in history["attempts"]] for history in histories] == [
        [True, False]
    ] * KILLS
    figure(
        "SIGKILL between X's work and our commit",
        f"{KILLS} kills, {2 * KILLS} copies, {KILLS} bodies, each counted once",
    )
