import asyncio
import json
from itertools import count

import pytest

from fakes import MovingClock, ScriptedTransport, settled
from memory_store.store import MemoryStore
from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.domain.secret import Secret
from twite.domain.times import MINUTE
from twite.gateway.alerts.alert_store import AlertStore, CheckResult
from twite.gateway.alerts.notifier import LONGEST_REST, Notifier, Webhook
from twite.gateway.ports.events import WebhookTried
from twite.gateway.ports.transport import NoResponse, Response
from worker_bench import Seen

ADDRESS = "https://hooks.example/T0/B0/x"
TAKEN = Response(status=204, headers={}, body=b"")


def answered(status):
    return Response(status=status, headers={}, body=b"words of the webhook")


class HighestChance:
    """Randomness that makes every wait as long as possible."""

    def fraction(self):
        return 0.999


class Stage:
    def __init__(self, *replies, webhook=True, alarms=None):
        self.clock = MovingClock()
        self.seen = Seen()
        self.alarms = alarms or MemoryStore()
        self.transport = ScriptedTransport(replies)
        names = count(1)
        self.register = AlertStore(
            state=self.alarms,
            clock=self.clock,
            new_id=lambda: f"alert-{next(names)}",
            notify=lambda _alert, _phase: self.notifier.wake(),
        )
        self.notifier = Notifier(
            alert_store=self.register,
            webhook=Webhook(address=Secret(ADDRESS)) if webhook else None,
            transport=self.transport,
            clock=self.clock,
            randomness=HighestChance(),
            observer=self.seen,
            gateway="https://t.shop.example",
        )

    def read(self, *, bad, subject="o8z6j"):
        reading = CheckResult(
            kind=AlertKind.CONVERSIONS_HELD, subject=subject, bad=bad, reason="1 is held"
        )
        self.register.take([reading])

    def reported(self):
        bodies = [json.loads(outbound.body) for outbound in self.transport.sent]
        return [(body["event"], body["subject"]) for body in bodies]


@pytest.fixture
async def running():
    """Run the notifier of a stage until the test ends."""
    tasks = []

    def run(stage):
        tasks.append(asyncio.create_task(stage.notifier.run()))

    yield run
    for task in tasks:
        task.cancel()


async def test_alert_is_sent_to_the_webhook_once(running):
    stage = Stage(TAKEN, TAKEN)
    running(stage)
    await settled()

    stage.read(bad=True)
    await settled()
    await stage.clock.advance(10 * MINUTE)

    assert stage.reported() == [("opened", "o8z6j")]
    assert stage.transport.sent[0].url == ADDRESS
    assert stage.seen.notices == [
        WebhookTried(kind=AlertKind.CONVERSIONS_HELD, phase=AlertPhase.OPENED)
    ]


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (answered(500), "answered 500"),
        (answered(404), "answered 404"),
        (answered(302), "answered 302"),
        (NoResponse(reason="no answer in time", left=True), "no answer in time"),
    ],
)
async def test_failed_message_is_repeated_with_the_same_id(running, refusal, why):
    stage = Stage(refusal, TAKEN)
    running(stage)
    stage.read(bad=True)
    await settled()

    await stage.clock.advance(5_000)

    first, second = stage.transport.sent
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert stage.seen.notices[0] == WebhookTried(
        kind=AlertKind.CONVERSIONS_HELD, phase=AlertPhase.OPENED, refused=why
    )
    assert stage.register.unsent() == []


async def test_unavailable_webhook_is_called_at_growing_intervals(running):
    stage = Stage(*[answered(503)] * 1_000)
    running(stage)
    stage.read(bad=True)
    await settled()

    await stage.clock.advance(60 * MINUTE)

    # 5, 10, 20, 40, 80 and 160 seconds, then every five minutes.
    assert 15 <= len(stage.transport.sent) <= 20
    assert LONGEST_REST == 5 * MINUTE


async def test_refused_message_does_not_delay_others(running):
    def picky(outbound):
        return answered(400) if b"bad" in outbound.body else TAKEN

    stage = Stage(*[picky] * 10)
    stage.read(bad=True, subject="bad")
    running(stage)
    await settled()

    stage.read(bad=True, subject="good")
    await settled()

    assert [new.subject for new in stage.register.unsent()] == ["bad"]
    assert stage.reported() == [("opened", "bad"), ("opened", "good")]


async def test_resolution_is_sent_even_if_the_opening_was_not(running):
    stage = Stage(answered(500), TAKEN)
    running(stage)
    stage.read(bad=True)
    await settled()

    stage.read(bad=False)
    await settled()

    assert stage.reported() == [("opened", "o8z6j"), ("resolved", "o8z6j")]
    assert [alert.unsent_phase for alert in await stage.alarms.load(Alert)] == [None]


async def test_unsent_message_is_sent_after_the_next_start(running):
    stage = Stage(answered(500))
    stage.read(bad=True)
    await stage.notifier.once()

    after = Stage(TAKEN, alarms=stage.alarms)
    await after.register.load()
    running(after)
    await settled()

    assert after.reported() == [("opened", "o8z6j")]
    assert (
        after.transport.sent[0].headers["webhook-id"]
        == stage.transport.sent[0].headers["webhook-id"]
    )


async def test_messages_are_not_queued_without_a_webhook(running):
    stage = Stage(webhook=False)
    stage.read(bad=True)
    stage.read(bad=True, subject="other")
    stage.read(bad=False, subject="other")

    await stage.notifier.once()

    assert (stage.register.unsent(), stage.seen.notices) == ([], [])
    kept = await stage.alarms.load(Alert)
    assert [(alert.subject, alert.resolved_at is None) for alert in kept] == [
        ("o8z6j", True),
        ("other", False),
    ]


async def test_alerts_with_one_cause_are_sent_in_one_message(running):
    stage = Stage(answered(503), TAKEN, TAKEN)
    for subject in ("a", "b", "c"):
        stage.read(bad=True, subject=subject)
    running(stage)
    await settled()
    # It does not join a message that was refused, so that this keeps its id.
    stage.read(bad=True, subject="d")
    await settled()
    await stage.clock.advance(5_000)

    bodies = [json.loads(outbound.body) for outbound in stage.transport.sent]
    subjects = [(body["subject"], [other["subject"] for other in body["also"]]) for body in bodies]
    assert subjects == [("a", ["b", "c"]), ("d", []), ("a", ["b", "c"])]
    first, _, third = stage.transport.sent
    assert first.headers["webhook-id"] == third.headers["webhook-id"]
    assert "· a and 2 more: conversions are held. 1 is held. Also: b, c." in bodies[0]["text"]
    assert bodies[0]["also"][0] == {"id": "alert-2", "subject": "b", "reason": "1 is held"}
    assert stage.register.unsent() == []


async def test_alerts_with_other_causes_have_their_own_messages(running):
    stage = Stage(TAKEN, TAKEN)
    reasons = {"a": "X's response: 401", "b": "X's response: 403 suspended"}
    kind = AlertKind.CREDENTIALS_REFUSED
    stage.register.take(
        CheckResult(kind=kind, subject=subject, bad=True, reason=reason)
        for subject, reason in reasons.items()
    )
    running(stage)
    await settled()

    assert stage.reported() == [("opened", "a"), ("opened", "b")]


def test_repr_of_a_webhook_hides_its_url():
    assert "hooks" not in repr(Webhook(address=Secret(ADDRESS), secret=Secret("s3")))
