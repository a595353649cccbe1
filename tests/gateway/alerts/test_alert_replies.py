"""Acknowledged and muted alerts: what is still reported about them."""

import pytest
from test_alert_store import AT_ONCE, PIXEL, Stage

from twite.domain.alert import (
    Acknowledgement,
    Alert,
    AlertKind,
    AlertPhase,
    Mute,
    by_cause,
    mute_subject,
)
from twite.domain.times import DAY, HOUR


async def open_alert(stage, *, is_sent):
    stage.read(bad=True)
    if is_sent:
        [alert] = stage.register.unsent()
        stage.register.record_sent(alert)


async def acknowledge(stage):
    [alert] = stage.register.alerts()
    await stage.alarms.put([Acknowledgement(alert=alert.id, at=stage.clock.now(), who="olga")])
    await stage.register.load_replies()


async def mute(stage, *, lasts):
    now = stage.clock.now()
    subject = mute_subject(AT_ONCE, PIXEL)
    await stage.alarms.put([Mute(subject=subject, until=now + lasts, at=now, who="olga")])
    await stage.register.load_replies()


async def later(stage, ms):
    await stage.later(ms)
    stage.read(bad=True)


def due(stage):
    return [alert.unsent_phase for alert in stage.register.unsent()]


@pytest.mark.parametrize("reply", [acknowledge, lambda stage: mute(stage, lasts=9 * DAY)])
async def test_replied_alert_is_not_repeated_and_stays_open(reply):
    stage = Stage()
    await open_alert(stage, is_sent=True)
    await reply(stage)

    await later(stage, 3 * DAY)

    assert due(stage) == []
    assert [phase for phase, *_ in stage.said] == [AlertPhase.OPENED]
    assert [alert.subject for alert in stage.register.alerts()] == [PIXEL]


@pytest.mark.parametrize("reply", [acknowledge, lambda stage: mute(stage, lasts=9 * DAY)])
async def test_end_of_a_replied_alert_is_reported(reply):
    stage = Stage()
    await open_alert(stage, is_sent=True)
    await reply(stage)

    stage.read(bad=False)

    assert due(stage) == [AlertPhase.RESOLVED]


async def test_next_alert_after_an_acknowledged_one_is_reported():
    stage = Stage()
    await open_alert(stage, is_sent=True)
    await acknowledge(stage)
    stage.read(bad=False)
    for alert in stage.register.unsent():
        stage.register.record_sent(alert)

    stage.read(bad=True)

    assert due(stage) == [AlertPhase.OPENED]


async def test_alert_that_opens_and_ends_while_muted_is_not_reported():
    stage = Stage()
    await mute(stage, lasts=HOUR)

    stage.read(bad=True)
    opened = due(stage)
    stage.read(bad=False)

    assert (opened, due(stage)) == ([], [])


async def test_alert_opened_while_muted_is_reported_when_the_mute_ends():
    stage = Stage()
    await mute(stage, lasts=HOUR)
    stage.read(bad=True)

    await later(stage, HOUR)

    assert due(stage) == [AlertPhase.OPENED]


async def test_reminder_is_due_when_a_long_mute_ends():
    stage = Stage()
    await open_alert(stage, is_sent=True)
    await mute(stage, lasts=2 * DAY)

    await later(stage, 2 * DAY)

    assert due(stage) == [AlertPhase.STILL_OPEN]


async def test_mute_of_one_subject_leaves_the_others():
    stage = Stage()
    await mute(stage, lasts=HOUR)

    stage.read(bad=True, subject="other")

    assert due(stage) == [AlertPhase.OPENED]


async def test_replies_survive_a_restart():
    stage = Stage()
    await open_alert(stage, is_sent=True)
    await acknowledge(stage)
    await stage.register.save()

    after = Stage(stage.alarms)
    await after.register.load()
    await after.later(3 * DAY)
    after.read(bad=True)

    assert (due(after), after.said) == ([], [])


def an_alert(id_, subject, *, kind=AlertKind.CREDENTIALS_REFUSED, reason="401", opened_at=0):
    return Alert(
        id=id_, kind=kind, subject=subject, reason=reason, opened_at=opened_at, reported_at=0
    )


def test_alerts_with_one_cause_are_one_group():
    held = AlertKind.CONVERSIONS_HELD
    alerts = [
        an_alert("1", "p1", kind=held, reason="1 conversion is held"),
        an_alert("2", "p2", kind=held, reason="12 conversions are held"),
        an_alert("3", "p1", reason="X's response: 401: token of p1 expired", opened_at=2),
        an_alert("4", "p2", reason="X's response: 401: token of p2 expired", opened_at=1),
        an_alert("5", "p3", reason="X's response: 403: suspended"),
    ]

    groups = [(cause.kind, cause.subjects) for cause in by_cause(alerts)]

    refused = AlertKind.CREDENTIALS_REFUSED
    assert groups == [(refused, ["p2", "p1"]), (refused, ["p3"]), (held, ["p1", "p2"])]
