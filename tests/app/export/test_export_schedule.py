"""When exports run: by their interval, only by the leader, and again after a failure."""

import asyncio
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from fakes import MovingClock
from memory_store.state import MemoryState
from twite.app.export import schedule
from twite.app.export.run import ExportRun
from twite.app.export.schedule import ExportSchedule
from twite.app.export.state import list_exports, load_run, run_record
from twite.config.exports import ExportSettings
from twite.domain.errors import ClientError
from twite.domain.secret import Secret
from twite.domain.times import DAY, MINUTE, SECOND
from twite.gateway.alerts.webhook_traffic import EXPORT_RUNS
from twite.gateway.ports.events import ConditionChanged, ProblemSeen
from twite.gateway.ports.state import SyncRecord

EXPORT = ExportSettings(
    name="warehouse", secret_url=Secret("postgresql://twite:a-canary@db/shop"), interval=15 * MINUTE
)
PLACE = "postgresql://twite@db/shop twite_conversions"


class Runs:
    """Counts the runs of exports. `error` is raised in the next run."""

    def __init__(self):
        self.count = 0
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0

    async def __call__(self, target, _basis, range_, run):
        assert target.name == EXPORT.name
        assert range_.since == 0
        self.count += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        run.rows = 3
        if self.error is not None:
            raise self.error


class ScheduleStage:
    def __init__(self, runs):
        self.clock = MovingClock()
        self.seen = []
        self.store = MemoryState()
        self.store.ownership = None
        self.store.salt = b"salt"
        self.settings = SimpleNamespace(exports=(EXPORT,), destinations=lambda: ())
        self.schedule = ExportSchedule(
            self.store,
            self.clock,
            SimpleNamespace(see=self.seen.append),
            in_use=lambda: self.settings,
        )
        self.runs = runs

    async def pass_time(self, ms):
        await self.clock.advance(ms)

    def conditions(self):
        """Return whether each reported condition holds, and why."""
        return [(each.holds, each.reason) for each in self.seen if type(each) is ConditionChanged]


@pytest.fixture
async def stage(monkeypatch):
    runs = Runs()
    monkeypatch.setattr(schedule, "export_to", runs)
    stage = ScheduleStage(runs)
    yield stage
    await stage.schedule.stop()


async def test_export_runs_at_the_start_and_by_its_interval(stage):
    stage.schedule.start()
    await stage.pass_time(SECOND)
    first = stage.runs.count
    await stage.pass_time(14 * MINUTE)
    before = stage.runs.count
    await stage.pass_time(2 * MINUTE)

    assert (first, before, stage.runs.count) == (1, 1, 2)


async def test_interval_lasts_across_restarts(stage):
    now = stage.clock.now()
    await stage.store.put([run_record("warehouse", ExportRun(at=now - 10 * MINUTE, place=PLACE))])
    stage.schedule.start()

    await stage.pass_time(4 * MINUTE)
    before = stage.runs.count
    await stage.pass_time(2 * MINUTE)

    assert (before, stage.runs.count) == (0, 1)


async def test_shorter_interval_counts_from_the_last_run_after_a_reload(stage):
    stage.settings.exports = (replace(EXPORT, interval=7 * DAY),)
    stage.schedule.start()
    await stage.pass_time(MINUTE)

    stage.settings.exports = (EXPORT,)
    await stage.pass_time(13 * MINUTE)
    before = stage.runs.count
    await stage.pass_time(2 * MINUTE)

    assert (before, stage.runs.count) == (1, 2)


@pytest.mark.parametrize(
    "fields", [{"secret_url": Secret("postgresql://twite:a-canary@db/other")}, {"table": "other"}]
)
async def test_other_target_is_written_at_once(stage, fields):
    stage.schedule.start()
    await stage.pass_time(MINUTE)
    stage.settings.exports = (replace(EXPORT, **fields),)
    await stage.pass_time(2 * SECOND)
    reloaded = stage.runs.count
    await stage.schedule.stop()
    restarted = ScheduleStage(stage.runs)
    restarted.store, restarted.clock = stage.store, stage.clock
    later = ExportSchedule(
        stage.store, stage.clock, SimpleNamespace(see=stage.seen.append),
        in_use=lambda: restarted.settings,
    )  # fmt: skip
    later.start()
    await stage.pass_time(2 * SECOND)
    await later.stop()

    assert (reloaded, stage.runs.count) == (2, 3)


async def test_other_password_of_a_target_is_no_other_target(stage):
    stage.schedule.start()
    await stage.pass_time(MINUTE)
    url = Secret("postgresql://twite:rotated@db/shop")
    stage.settings.exports = (replace(EXPORT, secret_url=url),)
    await stage.pass_time(MINUTE)

    (record,) = await stage.store.load(SyncRecord, prefix="export:")
    assert stage.runs.count == 1
    assert "canary" not in record.state


async def test_clock_that_was_ahead_delays_a_run_by_no_more_than_its_interval(stage):
    stage.clock.jump(300 * DAY)
    stage.schedule.start()
    await stage.pass_time(SECOND)
    stage.clock.jump(-300 * DAY)

    await stage.pass_time(16 * MINUTE)

    assert stage.runs.count >= 2


async def test_export_never_runs_twice_at_once(stage):
    stage.runs.gate.clear()
    stage.schedule.start()

    await stage.pass_time(60 * MINUTE)

    assert stage.runs.count == 1


async def test_only_the_leader_runs_exports(stage):
    stage.store.ownership = SimpleNamespace(is_leader=False)
    stage.schedule.start()
    await stage.pass_time(MINUTE)
    before = stage.runs.count
    stage.store.ownership.is_leader = True
    await stage.pass_time(MINUTE)

    assert (before, stage.runs.count) == (0, 1)


async def test_failure_is_stored_reported_and_resolved(stage):
    stage.runs.error = ClientError("the server refuses connections")
    stage.schedule.start()
    await stage.pass_time(SECOND)
    (failing,) = await list_exports(stage.store, [EXPORT])
    stage.runs.error = None
    await stage.pass_time(15 * MINUTE)
    (working,) = await list_exports(stage.store, [EXPORT])

    assert stage.conditions() == [(True, "the server refuses connections"), (False, "")]
    assert [type(each) for each in stage.seen if isinstance(each, ProblemSeen)] == [ProblemSeen]
    assert (failing.problem, failing.to) == (
        "the server refuses connections", "postgresql://twite@db/shop"
    )  # fmt: skip
    assert (working.problem, working.rows) == ("", 3)


async def test_unexpected_error_shows_no_value_and_stops_nothing(stage):
    stage.runs.error = RuntimeError("a canary in a row")
    stage.schedule.start()
    await stage.pass_time(SECOND)
    run = await load_run(stage.store, "warehouse")
    await stage.pass_time(16 * MINUTE)

    assert run.error == "an unexpected error (RuntimeError): a bug in Twite, please report it"
    assert "canary" not in str(stage.seen)
    assert stage.runs.count == 2


async def test_alert_resolves_when_the_export_is_removed(stage):
    stage.runs.error = ClientError("no such database")
    stage.schedule.start()
    await stage.pass_time(SECOND)
    stage.settings.exports = ()
    await stage.pass_time(2 * SECOND)

    assert stage.conditions() == [(True, "no such database"), (False, "")]


async def test_stop_ends_a_run(stage):
    stage.runs.gate.clear()
    stage.schedule.start()
    await stage.pass_time(SECOND)

    await stage.schedule.stop()

    assert stage.runs.cancelled == 1


async def test_only_successful_runs_are_counted(stage):
    stage.runs.error = ClientError("the server refuses connections")
    stage.schedule.start()
    await stage.pass_time(MINUTE)
    failed = await EXPORT_RUNS.store(stage.store, now=stage.clock.now())
    stage.runs.error = None
    await stage.pass_time(31 * MINUTE)
    hours = await EXPORT_RUNS.store(stage.store, now=stage.clock.now())

    assert failed == {}
    assert {name: sum(hour.count for hour in own) for name, own in hours.items()} == {
        "warehouse": 2
    }
