"""Outcomes of a run: one case in each row of the table."""

import pytest

from twite.domain.delivery import LAST_CEILING, Trigger
from twite.tags.ports.tags import RepeatPolicy, TagRule
from twite.tags.run.outcome import (
    MOST_LOOK_UPS,
    MOST_TRIES,
    RequestOutcome,
    RunOutcome,
    attempt_of,
    timed_out,
    transition_of,
)
from twite.tags.template.sandbox import RunResult

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
def test_successful_run_is_delivered_whatever_the_responses(repeat, tried):
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
def test_failed_run_is_repeated_if_the_policy_allows_it(tried, at_least_once, at_most_once):
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
def test_failure_that_rarely_passes_is_given_up_after_some_attempts(ran, last):
    assert transition(ran, RepeatPolicy.AT_LEAST_ONCE, tries=MOST_TRIES - 1).trigger is AGAIN
    assert transition(ran, RepeatPolicy.AT_LEAST_ONCE, tries=MOST_TRIES).trigger is last


def test_retry_after_of_a_vendor_is_respected():
    busy = RequestOutcome(status=429, words="", left=True, retry_after=60_000)

    postponed = transition(
        RunOutcome(outcome=RunResult.FAILURE, tried=(busy,)), RepeatPolicy.AT_LEAST_ONCE
    )

    assert postponed.due_at == 61_000


def test_attempt_contains_messages_of_template_and_vendor():
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
def test_attempt_of_a_run_without_requests_says_so(ran, answer):
    assert attempt_of(ran, 7, pixel="tag:crm", event="purchase", at=5).answer == answer


def test_paused_tag_is_held_with_the_reason():
    held = transition(
        RunOutcome(not_run="the tag does not run: it is paused"), RepeatPolicy.AT_LEAST_ONCE
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
def test_only_exceeded_time_and_memory_limits_start_probation(error, limit, spent):
    ran = RunOutcome(error=error)

    assert (ran.passed_a_limit, ran.is_spent) == (limit, spent)


def answered(status, **more):
    return RequestOutcome(status=status, words="", left=True, **more)


@pytest.mark.parametrize(
    ("request_outcome", "may_pass", "is_refused"),
    [
        (answered(200), False, False),
        (answered(399), False, False),
        (answered(400), False, True),
        (answered(400, passing=True), True, False),
        (answered(499), False, True),
        (answered(500), True, False),
        (answered(599), True, False),
        (answered(None), True, False),
        *((answered(status), True, False) for status in (408, 425, 429)),
    ],
)
def test_refusals_of_a_vendor_are_final_and_failures_temporary(
    request_outcome, may_pass, is_refused
):
    assert (request_outcome.may_pass, request_outcome.is_refused) == (may_pass, is_refused)


@pytest.mark.parametrize(
    ("ran", "reason"),
    [
        ({"not_fired": "no trigger"}, "the tag did not fire: no trigger"),
        ({"error": "thrown"}, "the template failed: thrown"),
        ({}, "the template reported neither success nor failure"),
        ({"outcome": RunResult.FAILURE}, "the template reported failure"),
        ({"outcome": RunResult.FAILURE, "tried": (TAKEN,)}, "the template reported failure"),
        (
            {"outcome": RunResult.FAILURE, "tried": (answered(201), TAKEN)},
            "the template reported failure (201)",
        ),
        (
            {"tried": (DOWN, SILENT, TAKEN)},
            "the template reported neither success nor failure (no answer)",
        ),
        (
            {"undecided": True, "tried": (TAKEN, DOWN, SILENT)},
            "a lookup that decides whether the tag fires failed (503)",
        ),
        (
            {"undecided": True, "tried": (REFUSED, SILENT)},
            "a lookup that decides whether the tag fires failed (no answer)",
        ),
        (
            {"undecided": True},
            "a lookup that decides whether the tag fires failed (no answer)",
        ),
        (
            {"undecided": True, "error": "it took too long", "tried": (DOWN,)},
            "a lookup that decides whether the tag fires failed (it took too long)",
        ),
    ],
)
def test_failed_run_has_a_reason(ran, reason):
    assert RunOutcome(**ran).reason == reason


def test_timeout_says_how_to_raise_the_limit():
    assert timed_out(1_500) == (
        "it took longer than 1.5 s. "
        "Raise timeout in [[tag]] (for an imported tag in [container]), at most to 1 min"
    )


@pytest.mark.parametrize(
    ("ran", "outcome", "status", "answer", "ambiguous"),
    [
        ({"outcome": RunResult.SUCCESS, "tried": (TAKEN,)}, "delivered", 200, "thanks", False),
        (
            {"outcome": RunResult.SUCCESS, "tried": (DOWN, TAKEN), "notes": ("a note",)},
            "delivered",
            503,
            "a note",
            False,
        ),
        (
            {"outcome": RunResult.FAILURE, "tried": (TAKEN, REFUSED, TAKEN)},
            "rejected",
            422,
            "the template reported failure (422): no thanks",
            False,
        ),
        (
            {"outcome": RunResult.FAILURE, "tried": (TAKEN,)},
            "errored",
            200,
            "the template reported failure: thanks",
            True,
        ),
        (
            {"error": "thrown", "tried": (REFUSED, UNREACHED)},
            "errored",
            None,
            "the template failed: thrown: no connection",
            True,
        ),
        (
            {"error": "thrown", "tried": (UNREACHED,), "notes": ("a note",)},
            "errored",
            None,
            "a note: the template failed: thrown: no connection",
            False,
        ),
        (
            {"error": "thrown"},
            "errored",
            None,
            "it made no request: the template failed: thrown",
            False,
        ),
    ],
)
def test_attempt_has_the_status_of_the_worst_response(ran, outcome, status, answer, ambiguous):
    tried = attempt_of(RunOutcome(**ran), 7, pixel="tag:crm", event="purchase", at=5)

    assert (tried.outcome, tried.status, tried.answer) == (outcome, status, answer)
    assert (tried.ambiguous, tried.deliveries, tried.at) == (ambiguous, (7,), 5)
    assert (tried.pixel, tried.event) == ("tag:crm", "purchase")


@pytest.mark.parametrize(
    ("times", "due"),
    [((), 2_500), ((1_000, None), 2_500), ((9_000, 3_000), 9_000), ((9_000_000,), LAST_CEILING)],
)
def test_retry_waits_for_the_back_off_and_the_vendors_retry_after(times, due):
    tried = tuple(answered(429, retry_after=time) for time in times)
    postponed = transition(RunOutcome(tried=tried), RepeatPolicy.AT_LEAST_ONCE)

    assert (postponed.due_at, postponed.deliveries) == (1_000 + due, (7,))


@pytest.mark.parametrize("repeat", RepeatPolicy)
def test_tag_whose_triggers_did_not_match_did_not_fire(repeat):
    ended = transition(RunOutcome(not_fired="no trigger", tried=(DOWN,)), repeat)

    assert (ended.trigger, ended.reason) == (Trigger.NOT_FIRED, "the tag did not fire: no trigger")


@pytest.mark.parametrize("repeat", RepeatPolicy)
def test_lookup_of_a_trigger_is_repeated_for_some_time(repeat):
    ran = RunOutcome(undecided=True, tried=(DOWN,))

    assert transition(ran, repeat, tries=MOST_LOOK_UPS - 1).trigger is AGAIN
    ended = transition(ran, repeat, tries=MOST_LOOK_UPS)
    assert ended.trigger is Trigger.NOT_FIRED
    assert ended.reason == f"the tag did not fire: {ran.reason}"


def test_error_message_without_a_refusal_of_the_vendor_is_no_refusal():
    ran = RunOutcome(error="thrown", tried=(REFUSED,))

    assert transition(ran, RepeatPolicy.AT_MOST_ONCE).trigger is HELD


@pytest.mark.parametrize("tried", [(), (answered(429),)])
def test_retry_without_a_wait_is_due_at_once(tried):
    ran, rule = RunOutcome(tried=tried), TagRule(name="crm")

    assert transition_of(ran, 7, rule=rule, tries=1, now=1_000, randomness=0.0).due_at == 1_000
