"""Outcomes of a run: each row of the table is one case."""

import pytest

from twite.domain.delivery import Trigger
from twite.gateway.ports.tags import RepeatPolicy, TagRule
from twite.gateway.tags.run.outcome import (
    MOST_TRIES,
    RequestOutcome,
    RunOutcome,
    attempt_of,
    transition_of,
)
from twite.gtm.template.sandbox import RunResult

TAKEN = RequestOutcome(status=200, words="thanks", left=True)
REFUSED = RequestOutcome(status=422, words="no thanks", left=True)
DOWN = RequestOutcome(status=503, words="", left=True)
SILENT = RequestOutcome(status=None, words="no answer in time", left=True)
UNREACHED = RequestOutcome(status=None, words="no connection", left=False)
AGAIN, HELD, DEAD = Trigger.POSTPONED, Trigger.HELD, Trigger.GIVEN_UP


def transition(ran: RunOutcome, repeat: RepeatPolicy, tries: int = 1):
    rule = TagRule(name="crm", repeat=repeat)
    return transition_of(ran, 7, rule=rule, tries=tries, now=1_000, randomness=0.5)


@pytest.mark.parametrize("repeat", RepeatPolicy)
@pytest.mark.parametrize("tried", [(), (TAKEN,), (SILENT,)])
def test_success_is_delivered_whatever_the_responses(repeat, tried):
    assert (
        transition(RunOutcome(outcome=RunResult.SUCCESS, tried=tried), repeat).trigger
        is Trigger.DELIVERED
    )


@pytest.mark.parametrize(
    ("tried", "at_least_once", "at_most_once"),
    [
        ((), AGAIN, AGAIN),
        ((UNREACHED,), AGAIN, AGAIN),
        ((DOWN,), AGAIN, HELD),
        ((SILENT,), AGAIN, HELD),
        ((TAKEN,), AGAIN, HELD),
        ((REFUSED,), AGAIN, DEAD),
        ((TAKEN, REFUSED), AGAIN, DEAD),
        ((REFUSED, SILENT), AGAIN, HELD),
    ],
)
def test_failure_is_repeated_if_the_policy_allows(tried, at_least_once, at_most_once):
    ran = RunOutcome(outcome=RunResult.FAILURE, tried=tried)

    assert transition(ran, RepeatPolicy.AT_LEAST_ONCE).trigger is at_least_once
    assert transition(ran, RepeatPolicy.AT_MOST_ONCE).trigger is at_most_once


@pytest.mark.parametrize(
    ("ran", "last"),
    [
        (RunOutcome(outcome=RunResult.FAILURE, tried=(REFUSED,)), DEAD),
        (RunOutcome(error="Error: thrown"), DEAD),
        (RunOutcome(), DEAD),
        # An outage may last for days.
        (RunOutcome(outcome=RunResult.FAILURE, tried=(DOWN,)), AGAIN),
        (RunOutcome(outcome=RunResult.FAILURE, tried=(UNREACHED,)), AGAIN),
    ],
)
def test_unlikely_repetition_is_given_up_after_some_attempts(ran, last):
    assert transition(ran, RepeatPolicy.AT_LEAST_ONCE, tries=MOST_TRIES - 1).trigger is AGAIN
    assert transition(ran, RepeatPolicy.AT_LEAST_ONCE, tries=MOST_TRIES).trigger is last


def test_retry_time_of_a_vendor_is_respected():
    busy = RequestOutcome(status=429, words="", left=True, retry_after=60_000)

    postponed = transition(
        RunOutcome(outcome=RunResult.FAILURE, tried=(busy,)), RepeatPolicy.AT_LEAST_ONCE
    )

    assert postponed.due_at == 61_000


def test_attempt_records_template_and_vendor_messages():
    ran = RunOutcome(outcome=RunResult.FAILURE, tried=(TAKEN, REFUSED))

    tried = attempt_of(ran, 7, pixel="tag:crm", event="purchase", at=5)

    assert (tried.outcome, tried.status, tried.ambiguous) == ("rejected", 422, False)
    assert tried.answer == "the template reported failure (422): no thanks"


@pytest.mark.parametrize(
    ("ran", "answer"),
    [
        (RunOutcome(outcome=RunResult.SUCCESS), "it made no request"),
        (RunOutcome(error="thrown"), "it made no request: the template failed: thrown"),
        (RunOutcome(outcome=RunResult.SUCCESS, tried=(SILENT,)), "no answer in time"),
    ],
)
def test_attempt_records_a_run_without_requests(ran, answer):
    assert attempt_of(ran, 7, pixel="tag:crm", event="purchase", at=5).answer == answer


def test_paused_tag_is_held_with_the_reason():
    held = transition(
        RunOutcome(barred="the tag does not run: it is paused"), RepeatPolicy.AT_LEAST_ONCE
    )

    assert (held.trigger, held.reason) == (HELD, "the tag does not run: it is paused")


@pytest.mark.parametrize("repeat", RepeatPolicy)
def test_lost_run_is_held_whatever_the_responses(repeat):
    ran = RunOutcome(error="it hung", tried=(DOWN,), lost=True)

    assert ran.is_spent
    assert transition(ran, repeat).trigger is HELD


@pytest.mark.parametrize(
    ("error", "limit", "spent"),
    [
        ("the run took too much time", True, True),
        ("the run used too much memory", True, True),
        ("it took longer than 30 s", True, False),
        ("more than 500 effects", True, False),
        ("it made more than 100 requests", True, False),
        ("TypeError: not a function", False, False),
    ],
)
def test_only_time_and_memory_violations_start_probation(error, limit, spent):
    ran = RunOutcome(error=error)

    assert (ran.passed_a_limit, ran.is_spent) == (limit, spent)
