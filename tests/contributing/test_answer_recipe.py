"""The recipe "Add an answer of X" in CONTRIBUTING.md: 425, an answer without an effect."""

import msgspec
import pytest

from builders import NOW
from twite.domain.blame.evidence import Instant, PixelEvidence
from twite.domain.blame.judge import Answer
from twite.domain.blame.learn import learn
from twite.domain.delivery import Delivery, Trigger
from twite.domain.outcome import Errored, Rejected
from twite.domain.times import SECOND
from twite.x.decode import RETRIED, RetriedStatus, decode

TOO_EARLY = 425
BODY = msgspec.json.encode({"errors": [{"code": "TOO_EARLY", "message": "Try again later"}]})
EVIDENCE = PixelEvidence.at_start("o8z6j", (), elapsed=NOW)
INSTANT = Instant(now=NOW, elapsed=NOW, jitter=0.0, pixel_jitter=0.5)
TWO = tuple(
    Delivery(id=number, conversion_id=f"order-{number}", body=b"{}", received_at=NOW)
    for number in (1, 2)
)


def decoded():
    headers = {"retry-after": "30"}
    return decode(status=TOO_EARLY, headers=headers, body=BODY, whole=True, sent=len(TWO), now=NOW)


def learned(outcome):
    return learn(EVIDENCE, Answer(event="o8z6k", group=TWO, outcome=outcome), INSTANT)


@pytest.fixture
def row(monkeypatch):
    monkeypatch.setitem(RETRIED, TOO_EARLY, RetriedStatus(ambiguous=False))


def test_answer_of_x_without_a_row_pauses_the_pixel():
    outcome = decoded()

    evidence, _ = learned(outcome)

    assert type(outcome) is Rejected
    assert evidence.breaker.is_paused


@pytest.mark.usefixtures("row")
def test_new_answer_of_x_is_retried_after_a_row_was_added():
    outcome = decoded()

    evidence, actions = learned(outcome)

    assert outcome == Errored(
        reason="425 TOO_EARLY: Try again later",
        ambiguous=False,
        status=TOO_EARLY,
        retry_at=NOW + 30 * SECOND,
    )
    (transition,) = actions.transitions
    assert (transition.trigger, transition.deliveries) == (Trigger.POSTPONED, (1, 2))
    assert transition.due_at >= NOW + 30 * SECOND
    assert not evidence.breaker.is_paused
    assert evidence.breaker != EVIDENCE.breaker
