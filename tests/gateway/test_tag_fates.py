"""What becomes of a run: a table, whose every row is one claim."""

import pytest

from twite.domain.delivery import Trigger
from twite.gateway.tags.ran import MOST_TRIES, Ran, Tried, attempt_of, fate_of
from twite.gateway.tags.rule import Repeat, Rule
from twite.sgtm.sandbox import Outcome

TAKEN = Tried(status=200, words="thanks", left=True)
REFUSED = Tried(status=422, words="no thanks", left=True)
DOWN = Tried(status=503, words="", left=True)
SILENT = Tried(status=None, words="no answer in time", left=True)
UNREACHED = Tried(status=None, words="no connection", left=False)
AGAIN, HELD, DEAD = Trigger.POSTPONED, Trigger.HELD, Trigger.BURIED


def fate(ran: Ran, repeat: Repeat, tries: int = 1):
    rule = Rule(name="crm", repeat=repeat)
    return fate_of(ran, 7, rule=rule, tries=tries, now=1_000, chance=0.5)


@pytest.mark.parametrize("repeat", Repeat)
@pytest.mark.parametrize("tried", [(), (TAKEN,), (SILENT,)])
def test_a_success_is_delivered_whatever_its_requests_came_to(repeat, tried):
    assert fate(Ran(outcome=Outcome.SUCCESS, tried=tried), repeat).trigger is Trigger.DELIVERED


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
def test_a_failure_is_repeated_where_it_may_be(tried, at_least_once, at_most_once):
    ran = Ran(outcome=Outcome.FAILURE, tried=tried)

    assert fate(ran, Repeat.AT_LEAST_ONCE).trigger is at_least_once
    assert fate(ran, Repeat.AT_MOST_ONCE).trigger is at_most_once


@pytest.mark.parametrize(
    ("ran", "last"),
    [
        (Ran(outcome=Outcome.FAILURE, tried=(REFUSED,)), DEAD),
        (Ran(error="Error: thrown"), DEAD),
        (Ran(), DEAD),
        # An outage may last for days.
        (Ran(outcome=Outcome.FAILURE, tried=(DOWN,)), AGAIN),
        (Ran(outcome=Outcome.FAILURE, tried=(UNREACHED,)), AGAIN),
    ],
)
def test_what_will_hardly_pass_is_given_up_after_some_tries(ran, last):
    assert fate(ran, Repeat.AT_LEAST_ONCE, tries=MOST_TRIES - 1).trigger is AGAIN
    assert fate(ran, Repeat.AT_LEAST_ONCE, tries=MOST_TRIES).trigger is last


def test_a_vendor_that_names_a_time_is_left_alone_until_then():
    busy = Tried(status=429, words="", left=True, retry_after=60_000)

    postponed = fate(Ran(outcome=Outcome.FAILURE, tried=(busy,)), Repeat.AT_LEAST_ONCE)

    assert postponed.due_at == 61_000


def test_an_attempt_says_what_the_template_and_the_vendor_said():
    ran = Ran(outcome=Outcome.FAILURE, tried=(TAKEN, REFUSED))

    tried = attempt_of(ran, 7, pixel="tag:crm", event="purchase", at=5)

    assert (tried.outcome, tried.status, tried.ambiguous) == ("rejected", 422, False)
    assert tried.answer == "the template reported failure (422): no thanks"


@pytest.mark.parametrize(
    ("ran", "answer"),
    [
        (Ran(outcome=Outcome.SUCCESS), "it made no request"),
        (Ran(error="thrown"), "it made no request: the template failed: thrown"),
        (Ran(outcome=Outcome.SUCCESS, tried=(SILENT,)), "no answer in time"),
    ],
)
def test_of_a_run_that_asked_nobody_the_record_says_so(ran, answer):
    assert attempt_of(ran, 7, pixel="tag:crm", event="purchase", at=5).answer == answer


def test_a_tag_that_the_settings_stop_is_held_with_the_reason():
    held = fate(Ran(barred="the tag does not run: it is paused"), Repeat.AT_LEAST_ONCE)

    assert (held.trigger, held.reason) == (HELD, "the tag does not run: it is paused")


@pytest.mark.parametrize("repeat", Repeat)
def test_what_could_not_be_ended_is_held_whatever_its_requests_came_to(repeat):
    ran = Ran(error="it hung", tried=(DOWN,), hung=True)

    assert ran.is_spent
    assert fate(ran, repeat).trigger is HELD


@pytest.mark.parametrize(
    ("error", "limit", "spent"),
    [
        ("the run took too much time", True, True),
        ("the run took too much memory", True, True),
        ("it took longer than 30 s", True, False),
        ("more than 500 effects", True, False),
        ("it made more than 100 requests", True, False),
        ("TypeError: not a function", False, False),
    ],
)
def test_only_what_cost_time_or_memory_is_slowed_down_for_it(error, limit, spent):
    ran = Ran(error=error)

    assert (ran.passed_a_limit, ran.is_spent) == (limit, spent)
