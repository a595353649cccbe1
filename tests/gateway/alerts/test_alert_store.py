import asyncio
from itertools import count

import msgspec
import pytest

from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.alert import (
    MOST_RESOLVED,
    RESOLVED_KEPT_FOR,
    RULES,
    Acknowledgement,
    Alert,
    AlertKind,
    AlertPhase,
)
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import DAY, MINUTE
from twite.gateway.alerts.alert_store import MOST_UNSENT, AlertStore, CheckResult

PIXEL = "o8z6j"
AT_ONCE = AlertKind.CONVERSIONS_HELD
CALM = RULES[AlertKind.PIXEL_PAUSED].calm


class FailingAlarms:
    def __init__(self):
        self.failing = True
        self.unreadable = False
        self.store = MemoryStore()
        self.meanwhile = lambda: None

    async def load(self, kind, *, prefix=""):
        if self.unreadable:
            raise LedgerUnavailable(reason="the database is down", retry_after=1)
        return await self.store.load(kind, prefix=prefix)

    async def put(self, records, *, gone=()):
        self.meanwhile()
        if self.failing:
            raise LedgerUnavailable(reason="disk full", retry_after=1)
        await self.store.put(records, gone=gone)


class SlowAlarms(MemoryStore):
    """A store whose first write waits until the test makes it fail."""

    def __init__(self):
        super().__init__()
        self._failure = asyncio.get_running_loop().create_future()
        self._writes = 0

    def fail(self):
        self._failure.set_exception(LedgerUnavailable(reason="disk full", retry_after=1))

    async def put(self, records, *, gone=()):
        self._writes += 1
        if self._writes == 1:
            await self._failure
        await super().put(records, gone=gone)


class Stage:
    """An alert store with a fake clock, and its notifications."""

    def __init__(self, alarms=None):
        self.clock = MovingClock()
        self.alarms = alarms or MemoryStore()
        self.said = []
        names = count(1)
        self.register = AlertStore(
            state=self.alarms,
            clock=self.clock,
            new_id=lambda: f"alert-{next(names)}",
            notify=lambda alert, phase: self.said.append((phase, alert.subject, alert.reason)),
        )

    def read(self, *, bad, kind=AT_ONCE, subject=PIXEL, reason="3 are held"):
        self.register.take([CheckResult(kind=kind, subject=subject, bad=bad, reason=reason)])

    async def later(self, ms):
        await self.clock.advance(ms)


async def test_failed_check_opens_one_alert_and_reports_it_once():
    stage = Stage()

    stage.read(bad=True)
    stage.read(bad=True, reason="4 are held")

    assert stage.said == [(AlertPhase.OPENED, PIXEL, "3 are held")]
    assert stage.register.alerts() == [
        Alert(
            id="alert-1",
            kind=AT_ONCE,
            subject=PIXEL,
            reason="4 are held",
            opened_at=stage.clock.now(),
            reported_at=stage.clock.now(),
        )
    ]


async def test_each_subject_and_kind_has_its_own_alert():
    stage = Stage()

    stage.read(bad=True)
    stage.read(bad=True, subject="other")
    stage.read(bad=True, kind=AlertKind.DEAD_LETTERS)

    assert len(stage.register.alerts()) == 3


async def test_passed_check_and_a_short_rate_limit_open_no_alert():
    stage = Stage()

    stage.read(bad=True, kind=AlertKind.EVENT_LIMITED)
    stage.read(bad=False)
    stage.read(bad=None)

    assert (stage.said, stage.register.alerts()) == ([], [])


async def test_alert_opens_after_its_delay():
    stage = Stage()
    patience = RULES[AlertKind.DEADLINE_RISK].opens_after

    stage.read(bad=True, kind=AlertKind.DEADLINE_RISK)
    await stage.later(patience - 1)
    stage.read(bad=True, kind=AlertKind.DEADLINE_RISK)
    before = list(stage.said)
    await stage.later(1)
    stage.read(bad=True, kind=AlertKind.DEADLINE_RISK)

    assert (before, [phase for phase, *_ in stage.said]) == ([], [AlertPhase.OPENED])


@pytest.mark.parametrize("between", [False, None])
async def test_passed_check_restarts_the_delay(between):
    stage = Stage()
    patience = RULES[AlertKind.DEADLINE_RISK].opens_after

    stage.read(bad=True, kind=AlertKind.DEADLINE_RISK)
    await stage.later(patience - 1)
    stage.read(bad=between, kind=AlertKind.DEADLINE_RISK)
    stage.read(bad=True, kind=AlertKind.DEADLINE_RISK)
    await stage.later(patience - 1)
    stage.read(bad=True, kind=AlertKind.DEADLINE_RISK)

    assert stage.said == []


async def test_alert_resolves_after_checks_passed_for_a_while():
    stage = Stage()
    kind = AlertKind.PIXEL_PAUSED

    stage.read(bad=True, kind=kind)
    for _ in range(20):
        stage.read(bad=False, kind=kind)
        await stage.later(CALM - 1)
        stage.read(bad=True, kind=kind)
    flapping = [phase for phase, *_ in stage.said]
    stage.read(bad=False, kind=kind)
    await stage.later(CALM)
    stage.read(bad=False, kind=kind)

    assert flapping == [AlertPhase.OPENED]
    assert [phase for phase, *_ in stage.said] == [AlertPhase.OPENED, AlertPhase.RESOLVED]
    assert stage.register.alerts() == []


async def test_alert_stays_open_between_its_two_thresholds():
    stage = Stage()

    stage.read(bad=True)
    await stage.later(10 * MINUTE)
    stage.read(bad=None)

    assert [phase for phase, *_ in stage.said] == [AlertPhase.OPENED]


async def test_open_alert_is_repeated_daily_with_the_current_reason():
    stage = Stage()

    stage.read(bad=True)
    for _ in range(3 * 24 - 1):
        await stage.later(60 * MINUTE)
        stage.read(bad=True, reason="9 are held")

    assert stage.said == [
        (AlertPhase.OPENED, PIXEL, "3 are held"),
        (AlertPhase.STILL_OPEN, PIXEL, "9 are held"),
        (AlertPhase.STILL_OPEN, PIXEL, "9 are held"),
    ]


async def test_clock_jump_does_not_resolve_an_alert():
    stage = Stage()
    kind = AlertKind.PIXEL_PAUSED

    stage.read(bad=True, kind=kind)
    stage.read(bad=False, kind=kind)
    stage.clock.jump(DAY)
    stage.read(bad=False, kind=kind)

    assert len(stage.register.alerts()) == 1


async def test_subject_that_a_complete_check_omits_has_passed():
    stage = Stage()
    stage.read(bad=True)
    stage.read(bad=True, kind=AlertKind.DEAD_LETTERS)

    stage.register.take([], whole={AT_ONCE})

    assert [alert.kind for alert in stage.register.alerts()] == [AlertKind.DEAD_LETTERS]


async def test_alerts_and_unsent_messages_are_stored_over_a_restart():
    stage = Stage()
    stage.read(bad=True)
    stage.read(bad=True, subject="other")
    stage.read(bad=False, subject="other")
    await stage.register.save()

    after = Stage(stage.alarms)
    await after.register.load()

    assert [alert.subject for alert in after.register.alerts()] == [PIXEL]
    assert [(new.subject, new.unsent_phase) for new in after.register.unsent()] == [
        (PIXEL, AlertPhase.OPENED),
        ("other", AlertPhase.RESOLVED),
    ]


async def test_alert_open_before_a_restart_is_not_opened_again():
    stage = Stage()
    stage.read(bad=True)
    await stage.register.save()

    after = Stage(stage.alarms)
    await after.register.load()
    after.read(bad=True)

    assert after.said == []


async def test_resolved_alert_is_kept_in_the_history_after_its_message():
    stage = Stage()
    stage.read(bad=True)
    stage.read(bad=True, subject="other")
    stage.read(bad=False, subject="other")

    for alert in stage.register.unsent():
        stage.register.record_sent(alert)
    await stage.register.save()

    assert stage.register.unsent() == []
    assert [
        (alert.subject, alert.unsent_phase, alert.resolved_at is None)
        for alert in await stage.alarms.load(Alert)
    ] == [(PIXEL, None, True), ("other", None, False)]


async def test_message_created_while_another_is_sent_stays_pending():
    stage = Stage()
    stage.read(bad=True)
    [opened] = stage.register.unsent()

    stage.read(bad=False)
    stage.register.record_sent(opened)

    assert [new.unsent_phase for new in stage.register.unsent()] == [AlertPhase.RESOLVED]


async def test_unsent_opening_message_does_not_become_a_reminder():
    stage = Stage()
    stage.read(bad=True)

    await stage.later(DAY)
    stage.read(bad=True)

    assert [new.unsent_phase for new in stage.register.unsent()] == [AlertPhase.OPENED]


async def test_store_failure_does_not_prevent_an_alert():
    alarms = FailingAlarms()
    stage = Stage(alarms)
    stage.read(bad=True)
    await stage.register.save()

    alarms.failing = False
    await stage.register.save()

    assert len(stage.said) == 1
    assert [alert.subject for alert in await alarms.load(Alert)] == [PIXEL]


async def test_alert_that_could_not_be_loaded_is_not_opened_twice():
    alarms = FailingAlarms()
    alarms.failing = False
    before = Stage(alarms)
    before.read(bad=True)
    await before.register.save()
    [opened] = await alarms.load(Alert)
    stage = Stage(alarms)
    stage.register.new_id()  # uses up an id, so that the new id differs from the first one
    await stage.later(MINUTE)
    alarms.unreadable = True
    with pytest.raises(LedgerUnavailable):
        await stage.register.load()
    stage.read(bad=True, reason="4 are held")
    await stage.register.save()

    alarms.unreadable = False
    await stage.register.save()
    stage.read(bad=False)
    await stage.later(RULES[AT_ONCE].calm)
    stage.read(bad=False)
    await stage.register.save()

    [resolved] = await alarms.load(Alert)
    assert (resolved.opened_at, resolved.resolved_at) == (opened.opened_at, stage.clock.now())


async def test_alert_changed_during_a_failed_write_is_written():
    alarms = FailingAlarms()
    stage = Stage(alarms)
    stage.read(bad=True)
    [alert] = stage.register.unsent()
    alarms.meanwhile = lambda: stage.register.record_sent(alert)
    await stage.register.save()

    alarms.failing = False
    await stage.register.save()

    assert list(await alarms.load(Alert)) == [msgspec.structs.replace(alert, unsent_phase=None)]


async def test_late_failure_of_a_write_does_not_undo_a_later_write():
    alarms = SlowAlarms()
    stage = Stage(alarms)
    stage.read(bad=True)
    slow = asyncio.create_task(stage.register.save())
    await asyncio.sleep(0)

    [alert] = stage.register.unsent()
    stage.register.record_sent(alert)
    later = asyncio.create_task(stage.register.save())
    await asyncio.sleep(0)
    alarms.fail()
    await asyncio.gather(slow, later)
    await stage.register.save()

    assert [alert.unsent_phase for alert in await alarms.load(Alert)] == [None]


async def test_stored_alert_has_the_current_reason():
    stage = Stage()
    stage.read(bad=True)
    await stage.register.save()

    stage.read(bad=True, reason="500 are held")
    await stage.register.save()

    assert [alert.reason for alert in await stage.alarms.load(Alert)] == ["500 are held"]


async def test_numbers_of_unsent_and_of_resolved_alerts_are_limited():
    stage = Stage()

    for _ in range(MOST_RESOLVED + 50):
        stage.read(bad=True)
        stage.read(bad=False)
    await stage.register.save()

    kept = await stage.alarms.load(Alert)
    assert len(kept) == MOST_RESOLVED
    assert sum(alert.unsent_phase is not None for alert in kept) == MOST_UNSENT
    assert len(stage.register.unsent()) == MOST_UNSENT


async def test_resolved_alert_is_deleted_after_its_time_with_its_acknowledgement():
    stage = Stage()
    stage.read(bad=True)
    stage.read(bad=False)
    await stage.alarms.put([Acknowledgement(alert="alert-1", at=stage.clock.now(), who="olga")])
    await stage.register.save()

    await stage.later(RESOLVED_KEPT_FOR + 1)
    stage.read(bad=True, subject="other")
    stage.read(bad=False, subject="other")
    await stage.register.save()

    assert [alert.subject for alert in await stage.alarms.load(Alert)] == ["other"]
    assert list(await stage.alarms.load(Acknowledgement)) == []
