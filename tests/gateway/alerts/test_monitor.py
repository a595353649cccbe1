import asyncio

import pytest
from monitor_stage import PIXEL, ROOM, Stage

from fakes import MovingClock, settled
from memory_store.store import MemoryStore
from twite.domain.alert import Acknowledgement, Alert, AlertKind, AlertPhase
from twite.domain.pause import Cause, Pause
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.alerts.checks import CLOCK, STORE
from twite.gateway.alerts.monitor import STORE_FAILED_FOR
from twite.gateway.ports.events import (
    ConditionChanged,
    Misdated,
    MonitorChecked,
    Paused,
    ProblemSeen,
    Resumed,
)
from twite.gateway.ports.machine import DiskSpace

REFUSED = Pause(pixel=PIXEL, since=1, cause=Cause.CREDENTIALS_REFUSED, reason="401: no")


@pytest.fixture
async def running():
    """Run the monitor of a stage until the test ends."""
    tasks = []

    async def run(stage):
        await stage.monitor.start()
        tasks.append(asyncio.create_task(stage.monitor.run()))
        await settled()

    yield run
    for task in tasks:
        task.cancel()


async def test_healthy_gateway_has_no_alert(running):
    stage = Stage()

    await running(stage)
    await stage.clock.advance(DAY)

    assert stage.said() == []


async def test_monitor_reports_forecasts_and_free_space(running):
    stage = Stage()
    await stage.receive("order-1")

    await running(stage)

    [looked] = [notice for notice in stage.seen.notices if isinstance(notice, MonitorChecked)]
    assert (looked.space, [forecast.pending for forecast in looked.forecasts]) == (ROOM, [1])


async def test_pause_opens_an_alert_at_once(running):
    stage = Stage()
    await running(stage)

    stage.observer.see(Paused(pause=REFUSED))
    await settled()

    assert stage.said() == [(AlertPhase.OPENED, AlertKind.CREDENTIALS_REFUSED, PIXEL)]
    assert [alert.subject for alert in await stage.store.load(Alert)] == [PIXEL]


async def test_alert_resolves_after_the_pixel_resumed_for_a_while(running):
    stage = Stage()
    await running(stage)
    stage.observer.see(Paused(pause=REFUSED))
    await settled()

    stage.observer.see(Resumed(pixel=PIXEL))
    await stage.clock.advance(10 * MINUTE)

    assert [phase for phase, *_ in stage.said()] == [AlertPhase.OPENED, AlertPhase.RESOLVED]


async def test_pause_from_before_a_restart_opens_an_alert_at_the_start(running):
    stage = Stage()
    await stage.store.put(
        [Pause(pixel=PIXEL, since=1, cause=Cause.PIXEL_REFUSED, reason="404 NOT_FOUND: none")]
    )
    await stage.store.put([Pause(pixel="gone", since=1, cause=Cause.PIXEL_REFUSED, reason="404")])

    await running(stage)

    assert [notice for notice in stage.seen.notices if isinstance(notice, Paused)] == [
        Paused(
            pause=Pause(
                since=1, pixel=PIXEL, cause=Cause.PIXEL_REFUSED, reason="404 NOT_FOUND: none"
            )
        )
    ]
    assert stage.open() == {(AlertKind.PIXEL_PAUSED, PIXEL)}


async def test_alert_open_before_a_restart_stays_open(running):
    stage = Stage()
    await stage.store.put([Pause(pixel=PIXEL, since=1, cause=Cause.PIXEL_REFUSED, reason="404")])
    await running(stage)

    again = Stage(stage.store, stage.clock)
    await running(again)

    [looked] = [notice for notice in again.seen.notices if isinstance(notice, MonitorChecked)]
    assert again.said() == []
    assert again.open() == {(AlertKind.PIXEL_PAUSED, PIXEL)}
    assert [alert.subject for alert in looked.alerts] == [PIXEL]


@pytest.mark.parametrize("where", ["ledger", "outbox", "sweep"])
async def test_failed_commit_opens_an_alert_without_writing_it(running, where):
    stage = Stage()
    await running(stage)
    stage.store.failing = True

    stage.observer.see(ProblemSeen(where=where, reason="database or disk is full"))
    await settled()

    assert stage.open() == {(AlertKind.STORE_FAILING, STORE)}


async def test_problem_outside_the_store_is_no_store_alert(running):
    stage = Stage()
    await running(stage)

    stage.observer.see(ProblemSeen(where="batch", reason="ValueError"))
    await settled()

    assert stage.said() == []


async def test_store_alert_resolves_after_successful_commits(running):
    stage = Stage()
    await running(stage)
    stage.store.failing = True
    stage.observer.see(ProblemSeen(where="ledger", reason="full"))
    await settled()

    stage.store.failing = False
    await stage.clock.advance(STORE_FAILED_FOR + 10 * MINUTE)

    assert stage.open() == set()
    assert list(await stage.store.load(Alert)) != []  # not reported yet


async def test_reported_condition_opens_and_resolves_an_alert(running):
    stage = Stage()
    await running(stage)
    warning = {"kind": AlertKind.STORE_UNUSABLE, "subject": STORE, "reason": "page 7"}

    stage.observer.see(ConditionChanged(**warning))
    await settled()
    stage.observer.see(ConditionChanged(**warning, holds=False))
    await settled()

    assert [(phase, kind) for phase, kind, _ in stage.said()] == [
        (AlertPhase.OPENED, AlertKind.STORE_UNUSABLE),
        (AlertPhase.RESOLVED, AlertKind.STORE_UNUSABLE),
    ]


async def test_clock_that_stays_wrong_opens_an_alert(running):
    stage = Stage()
    await running(stage)

    stage.observer.see(Misdated(offset=-3_600_000))
    await stage.clock.advance(5 * MINUTE)

    assert stage.open() == {(AlertKind.CLOCK_WRONG, CLOCK)}


async def test_full_disk_opens_an_alert_within_a_minute(running):
    stage = Stage()
    await running(stage)

    stage.disk.room = DiskSpace(free=100 << 20, files={})
    await stage.clock.advance(MINUTE)

    assert stage.open() == {(AlertKind.DISK_NEARLY_FULL, STORE)}


@pytest.mark.parametrize("replied", [True, False])
async def test_acknowledgement_of_another_gateway_stops_reminders_within_a_minute(running, replied):
    stage = Stage()
    stage.disk.room = DiskSpace(free=1, files={})
    await running(stage)
    [alert] = stage.monitor.register.alerts()

    if replied:
        await stage.store.put([Acknowledgement(alert=alert.id, at=1, who="olga")])
    await stage.clock.advance(DAY + MINUTE)

    reminders = [phase for phase, *_ in stage.said() if phase is AlertPhase.STILL_OPEN]
    assert len(reminders) == (0 if replied else 1)


async def test_unreadable_figures_open_an_alert_and_resolve_none(running):
    stage = Stage()
    stage.disk.room = DiskSpace(free=1, files={})
    await running(stage)

    stage.disk.room = None
    stage.store.failing = True
    await stage.clock.advance(5 * MINUTE)

    problems = {notice.where for notice in stage.seen.notices if isinstance(notice, ProblemSeen)}
    assert problems == {"audit", "alerts"}
    assert stage.open() == {(AlertKind.DISK_NEARLY_FULL, STORE)}


async def test_unreadable_store_at_the_start_does_not_stop_the_monitor(running):
    stage = Stage()
    stage.store.failing = True
    stage.disk.room = DiskSpace(free=1, files={})

    await running(stage)

    assert stage.open() == {(AlertKind.DISK_NEARLY_FULL, STORE)}


async def test_lasting_deadline_risk_opens_an_alert(running):
    stage = Stage()
    await stage.receive("order-1")
    await stage.clock.advance(47 * HOUR)
    await running(stage)

    early = stage.said()
    await stage.clock.advance(5 * MINUTE)

    assert (early, stage.open()) == ([], {(AlertKind.DEADLINE_RISK, PIXEL)})


async def test_silent_source_opens_an_alert():
    stage = Stage(sources=("shop", "till"))
    for day in range(9):
        await stage.day(f"shop-{day}", f"till-{day}")

    for day in range(9, 12):
        await stage.day(f"till-{day}")

    assert (AlertKind.SOURCE_SILENT, "shop") in stage.open()
    assert (AlertKind.SOURCE_SILENT, "till") not in stage.open()


async def test_failed_write_does_not_resolve_the_alert_of_a_silent_source():
    stage = Stage()
    for day in range(9):
        await stage.day(f"shop-{day}")
    for _ in range(3):
        await stage.day()
    await stage.receive("shop-again")

    stage.store.read_only = True
    await stage.monitor.look()

    assert (AlertKind.SOURCE_SILENT, "shop") in stage.open()


async def test_usual_traffic_is_kept_over_a_restart_and_downtime_is_no_silence():
    stage = Stage()
    for day in range(9):
        await stage.day(f"shop-{day}")

    # The gateway was down for a week.
    again = Stage(stage.store, MovingClock(stage.clock.now() + 7 * DAY))
    await again.day()
    at_the_start = again.open()
    for _ in range(3):
        await again.day()

    assert (AlertKind.SOURCE_SILENT, "shop") not in at_the_start
    assert (AlertKind.SOURCE_SILENT, "shop") in again.open()


async def test_internal_error_does_not_stop_the_monitor(running):
    stage = Stage()
    await running(stage)
    stage.disk.room = "much"  # not a plausible free space

    await stage.clock.advance(MINUTE)
    stage.disk.room = DiskSpace(free=1, files={})
    await stage.clock.advance(MINUTE)

    assert ProblemSeen(where="alerts", reason="AttributeError") in stage.seen.notices
    assert (AlertKind.DISK_NEARLY_FULL, STORE) in stage.open()


async def test_monitor_checks_once_a_minute_however_many_notices_arrive(running):
    stage = Stage()
    await running(stage)

    for _ in range(10 * 60):
        stage.observer.see(ProblemSeen(where="sweep", reason="full"))
        await stage.clock.advance(SECOND)

    looks = [notice for notice in stage.seen.notices if isinstance(notice, MonitorChecked)]
    assert len(looks) == 11


class HangingStore(MemoryStore):
    """Never answers a backlog query while it hangs."""

    hangs = False

    async def backlog(self):
        if self.hangs:
            await asyncio.Event().wait()
        return await super().backlog()


async def test_notice_opens_an_alert_while_a_check_waits_for_the_store(running):
    stage = Stage(HangingStore())
    await running(stage)
    stage.store.hangs = True
    await stage.clock.advance(MINUTE)

    stage.observer.see(ProblemSeen(where="ledger", reason="the database does not answer"))
    await stage.clock.advance(SECOND)

    assert stage.said() == [(AlertPhase.OPENED, AlertKind.STORE_FAILING, STORE)]
