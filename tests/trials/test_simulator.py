"""The seeded simulator: a few scenarios by default, thousands with TWITE_TRIAL=1."""

import asyncio
import os
from random import Random

import msgspec
import pytest

from memory_store.store import MemoryStore
from simulator.clock import TrialClock
from simulator.nth_fault import Scenario
from simulator.scenario import Conversions, Jump, Stop
from simulator.simulator import main, play
from simulator.store import MemoryStoreData
from simulator.world import World
from simulator.x import Met, RequestFault
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig

LONG = os.environ.get("TWITE_TRIAL") == "1"
SQLITE = "twite.stores.sqlite:SQLiteStore"
EACH = 5 if LONG else 2
CHUNKS = range(400 if LONG else 1)


def broken(played):
    """Return the finding and the command that reproduces it."""
    return [f"{finding}\n  {played.command}" for finding in played.findings]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_no_scenario_of_a_seed_breaks_a_guarantee(chunk, figure):
    seeds = range(chunk * EACH, (chunk + 1) * EACH)

    played = [
        play(seed, days=10 if LONG else 0.03, store=SQLITE if seed % EACH == EACH - 1 else None)
        for seed in seeds
    ]

    assert [line for run in played for line in broken(run)] == []
    figure(
        "no scenario of the simulator breaks a promise",
        f"{len(played):,} scenarios of {'ten days' if LONG else 'three quarters of an hour'}, "
        f"{sum(run.conversions for run in played):,} conversions, "
        f"{sum(run.requests for run in played):,} requests, "
        f"{sum(run.processes for run in played):,} processes: 0 checks broken",
    )


@pytest.mark.skipif(not LONG, reason="a trial: another test plays three quarters of an hour")
@pytest.mark.parametrize(("seed", "days"), [(3, 10), (196, 2), (376, 0.03)])
def test_days_of_virtual_time_break_no_guarantee(seed, days):
    played = play(seed, days=days)

    assert broken(played) == []


@pytest.mark.parametrize("store", [None, SQLITE] if LONG else [None])
def test_same_seed_gives_the_same_scenario(store):
    scenarios: list[list[str]] = [[], []]

    for steps in scenarios:
        play(8, days=0.1 if store is None else 0.03, store=store, tell=steps.append)

    assert len(scenarios[0]) > 100
    assert scenarios[0] == scenarios[1]


def test_command_of_a_finding_repeats_its_scenario(capsys):
    status = main(["--seed", "8", "--days", "0.1", "-v"])

    assert status == 0
    assert "process 1 starts" in capsys.readouterr().out


class Outage(Scenario):
    """X accepts everything but does not respond for two days."""

    def on_request(self, pixel):  # noqa: ARG002 the same for every pixel
        return Met(request_fault=RequestFault.TIMEOUT) if self._counting else Met()

    def timeline(self):
        yield from super().timeline()
        yield 48 * HOUR, Jump(by=0)


class PutBack(Scenario):
    """The wall clock is set back by a day while a delivery waits for its retry."""

    def timeline(self):
        for at, happening in super().timeline():
            if at < 10 * SECOND:
                yield at, happening
        yield 10 * SECOND, Jump(by=-24 * HOUR)

    def on_request(self, pixel):  # noqa: ARG002 the same for every pixel
        return (
            Met(request_fault=RequestFault.LIMITED, wait=10 * MINUTE) if self._counting else Met()
        )


class RefusedAccount(Scenario):
    """X refuses everything for an hour, and the process restarts meanwhile."""

    def __init__(self):
        super().__init__()
        # Fewer than fifteen equal refusals prove nothing.
        self.worker_config = WorkerConfig(batch=50)

    def timeline(self):
        events = [("purchase", "o8z6k")]
        conversions = Conversions(Random(1), poison=0)
        for minute in range(0, 60, 6):
            yield minute * MINUTE, conversions.offer("oaaa1", events, minute * MINUTE, many=40)
            yield minute * MINUTE + 3 * MINUTE, Stop()
        yield HOUR, Jump(by=0)

    def on_request(self, pixel):  # noqa: ARG002 there is only one pixel
        return Met(request_fault=RequestFault.ALL_ALIKE) if self._counting else Met()


async def checks_broken(scenario, store=None):
    """Run a scenario on a store, and return the names of the failed checks."""
    store_data = MemoryStoreData(store)
    world = World(scenario=scenario, store_data=store_data, clock=TrialClock(), tell=lambda _: None)
    # The world observes all tasks of its loop.
    await world.play()
    return {finding.check for finding in (*world.judge.findings, *world.judge.known)}


@pytest.mark.skipif(not LONG, reason="test_answer_and_commit.py has a longer one")
def test_ambiguous_deliveries_are_held_after_an_outage_of_two_days():
    assert asyncio.run(checks_broken(Outage())) == set()


def test_refused_account_makes_no_conversion_dead_despite_restarts():
    assert asyncio.run(checks_broken(RefusedAccount())) == set()


class StoreWithoutRecords(MemoryStore):
    """A store that acknowledges but stores nothing."""

    async def record(self, submission):
        return await MemoryStore().record(submission)


class StoreWithoutSettlements(MemoryStore):
    """A store that reports a settlement but does not record it."""

    async def settle(self, settlement):  # noqa: ARG002 the same for every settlement
        return 0


class StoreWithoutDeadline(MemoryStore):
    """A store without the 40-hour limit."""

    async def claim(self, claim):
        return await super().claim(msgspec.structs.replace(claim, ambiguous_after=0))

    async def sweep(self, sweeping):
        return await super().sweep(msgspec.structs.replace(sweeping, ambiguous_before=0))


class StoreWithoutBalance(MemoryStore):
    """Counts wrongly."""

    async def balance(self):
        return [
            type(account)(source=account.source, pixel=account.pixel, received=account.received + 1)
            for account in await super().balance()
        ]


class StoreWithoutCauses(MemoryStore):
    """A store that loses the causes."""

    async def find(self, selection):
        found = await super().find(selection)
        return [msgspec.structs.replace(history, cause=None) for history in found]


@pytest.mark.parametrize(
    ("store", "scenario", "check"),
    [
        (StoreWithoutRecords, Scenario, "nothing_lost"),
        (StoreWithoutSettlements, Scenario, "no_resend_after_success"),
        pytest.param(
            StoreWithoutDeadline,
            Outage,
            "forty_hours",
            marks=pytest.mark.skipif(not LONG, reason="a trial: two virtual days"),
        ),
        (StoreWithoutBalance, Scenario, "balance"),
        (StoreWithoutCauses, Scenario, "cause"),
    ],
)
def test_simulator_detects_a_store_that_breaks_a_guarantee(store, scenario, check):
    assert check in asyncio.run(checks_broken(scenario(), store()))


def test_wall_clock_set_back_by_a_day_delays_no_delivery():
    assert asyncio.run(checks_broken(PutBack())) == set()


def test_reset_time_of_x_is_kept_over_a_restart():
    assert asyncio.run(checks_broken(Scenario(request=(0, "LIMITED")))) == set()
