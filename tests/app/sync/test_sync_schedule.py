"""When syncs run: by their interval, only by the leader, and not while they are paused."""

import asyncio
from types import SimpleNamespace

import pytest

from fakes import MovingClock
from memory_store.state import MemoryState
from twite.app.sync import schedule
from twite.app.sync.schedule import SyncSchedule
from twite.app.sync.state import SyncRun, SyncState, load_state
from twite.domain.errors import ClientError
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import ConditionChanged, ProblemSeen
from twite.gateway.ports.state import ALL_PAUSED, SyncRecord


class Runs:
    """Counts the runs of syncs, in place of QueryRun. `error` is raised in the next run."""

    def __init__(self):
        self.count = 0
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()

    def __call__(self, _sync, basis):
        self._basis = basis
        return self

    async def run(self, state, run, *, until):
        assert not until()
        await self.gate.wait()
        self.count += 1
        run.add([])
        await self._basis.state.put([state.record("orders")])
        if self.error is not None:
            raise self.error
        return state


class ScheduleStage:
    def __init__(self, runs):
        self.clock = MovingClock()
        self.seen = []
        self.store = MemoryState()
        self.store.ownership = None
        sync = SimpleNamespace(name="orders", interval=5 * MINUTE, is_storage=False)
        kept = SimpleNamespace(dedup_window=0, keeping=SimpleNamespace(history=0))
        settings = SimpleNamespace(syncs=(sync,), store=kept)
        self.settings = settings
        self.schedule = SyncSchedule(
            self.store,
            self.clock,
            SimpleNamespace(see=self.seen.append),
            in_use=lambda: SimpleNamespace(settings=settings),
        )
        self.runs = runs

    def conditions(self):
        """Return whether each reported condition holds, and why."""
        return [(each.holds, each.reason) for each in self.seen if type(each) is ConditionChanged]


@pytest.fixture
async def stage(monkeypatch):
    runs = Runs()
    monkeypatch.setattr(schedule, "QueryRun", runs)
    stage = ScheduleStage(runs)
    yield stage
    await stage.schedule.stop()


async def test_sync_runs_at_the_start_and_by_its_interval(stage):
    stage.schedule.start()
    counts = []
    for span in (SECOND, 4 * MINUTE, MINUTE + 2 * SECOND):
        await stage.clock.advance(span)
        counts.append(stage.runs.count)

    assert counts == [1, 1, 2]


async def test_sync_has_one_run_at_a_time(stage):
    stage.runs.gate.clear()
    stage.schedule.start()
    await stage.clock.advance(11 * MINUTE)
    report = await stage.schedule.run_now("orders")
    before = stage.runs.count
    stage.runs.gate.set()
    await stage.clock.advance(SECOND)

    assert "is running already" in report.error
    assert before == 0
    assert stage.runs.count > 0


async def test_failed_run_is_reported_and_repeated_after_the_interval(stage):
    stage.runs.error = ClientError("no column has the time")
    stage.schedule.start()
    await stage.clock.advance(6 * MINUTE)

    assert stage.runs.count == 2
    problem, *_ = stage.seen
    assert problem == ProblemSeen(where="sync", reason="orders: no column has the time")


async def test_alert_opens_with_a_failed_run_and_resolves_with_the_next(stage):
    stage.runs.error = ClientError("no column has the time")
    stage.schedule.start()
    await stage.clock.advance(6 * MINUTE)
    stage.runs.error = None
    await stage.clock.advance(6 * MINUTE)

    assert stage.conditions() == [(True, "no column has the time"), (False, "")]


async def test_alert_of_a_failed_run_opens_again_after_a_restart(stage):
    failed = SyncRun(at=stage.clock.now(), error="no such table")
    await stage.store.put([SyncState(last_run=failed).record("orders")])
    stage.schedule.start()
    await stage.clock.advance(MINUTE)

    assert stage.runs.count == 0
    assert stage.conditions() == [(True, "no such table")]


async def test_alert_of_a_removed_sync_resolves(stage):
    stage.runs.error = ClientError("no column has the time")
    stage.schedule.start()
    await stage.clock.advance(MINUTE)
    stage.settings.syncs = ()
    await stage.clock.advance(MINUTE)

    assert stage.conditions()[-1] == (False, "")


async def test_only_the_leader_runs_syncs_by_the_interval(stage):
    stage.store.ownership = SimpleNamespace(is_leader=False, may_send=lambda: True)
    stage.schedule.start()
    await stage.clock.advance(MINUTE)
    before = stage.runs.count
    stage.store.ownership = SimpleNamespace(is_leader=True, may_send=lambda: True)
    await stage.clock.advance(MINUTE)

    assert (before, stage.runs.count) == (0, 1)


async def test_paused_sync_runs_only_after_a_command(stage):
    await stage.store.put([SyncRecord(name=ALL_PAUSED, state="1")])
    stage.schedule.start()
    await stage.clock.advance(20 * MINUTE)
    before = stage.runs.count
    await stage.schedule.run_now("orders")
    await stage.clock.advance(6 * MINUTE)

    assert before == 0
    assert stage.runs.count == 2


async def test_unknown_sync_is_an_error_of_the_command(stage):
    assert "no [[sync]] has this name" in (await stage.schedule.run_now("order")).error


async def test_unexpected_error_is_that_of_the_run_without_its_text(stage):
    stage.runs.error = OverflowError("Anna Muster, Gartenweg 5")
    stage.schedule.start()
    await stage.clock.advance(SECOND)

    last = (await load_state(stage.store, "orders")).last_run
    assert "OverflowError" in last.error
    assert stage.conditions() == [(True, last.error)]
    assert "Anna" not in str(stage.seen)
    assert "orders: " in str(stage.seen)
