"""The actions after a response: settle, hold, recall or bisect."""

import pytest
from blamed_pixel import (
    BAD,
    DELIVERED,
    EVENT,
    FAILED,
    LARGE,
    LIMITED,
    NOT_YOU,
    OTHER,
    PAGE,
    Pixel,
    alike,
    group_of,
)

from twite.domain.blame.bisect import Bisect
from twite.domain.blame.learn import BISECT_PAUSE, Actions, end_bisect, undo
from twite.domain.blame.rejection_stats import RUN
from twite.domain.delivery import Transition, Trigger
from twite.domain.pause import Cause
from twite.domain.times import MINUTE, SECOND

ALIKE = "all conversions refused alike: 400 refused"


def steps(actions):
    """Return (trigger, ids, due time or reason) of each transition."""
    return [
        (str(each.trigger), each.deliveries, each.reason if each.due_at is None else each.due_at)
        for each in actions.transitions
    ]


def bisected(pixel, bad, refusal, *ids, event=EVENT, **more):
    """Bisect a batch; X refuses these deliveries, and then its bisect ends."""
    bisect = Bisect.of(group_of(*ids), refusal, **more)
    tried = 0
    while not bisect.is_over:
        bisect, group = bisect.next()
        tried += 1
        is_bad = any(delivery.id in bad for delivery in group)
        outcome = refusal if is_bad else DELIVERED
        pixel.hears(outcome, *(delivery.id for delivery in group), event=event, why=refusal)
        bisect = bisect.answered(group, outcome)
    return end(pixel, bisect, event=event)


def end(pixel, bisect, *unsent, event=EVENT, at_once=False):
    pixel.evidence, actions = end_bisect(
        pixel.evidence, event, bisect, group_of(*unsent), pixel.instant, at_once=at_once
    )
    return actions


def test_conversion_that_x_refuses_alone_is_dead():
    assert steps(Pixel().hears(BAD, 1)) == [("given_up", (1,), "400 refused")]


def test_fifth_equal_refusal_holds_all_and_pauses_the_event():
    pixel = Pixel()
    for id_ in range(RUN - 1):
        pixel.hears(BAD, id_)
    before = {*pixel.pauses}

    actions = pixel.hears(BAD, 9)

    assert before == set()
    assert steps(actions) == [("held", (9,), ALIKE)]
    assert (actions.to_hold, actions.reason) == ((0, 1, 2, 3, 9), ALIKE)
    paused = pixel.pauses[EVENT]
    assert (paused.pause.cause, paused.pause.reason) == (Cause.EVENT_REFUSED, ALIKE)
    assert paused.probe_at == pixel.now + MINUTE


def test_probe_of_a_paused_event_that_x_refuses_is_held():
    pixel = Pixel()
    pixel.trip(event=EVENT)
    pixel.now += 5

    actions = pixel.hears(BAD, 1)

    assert (steps(actions), actions.to_hold) == ([("held", (1,), ALIKE)], ())
    assert pixel.pauses[EVENT].probe_at == pixel.now + MINUTE
    assert pixel.hears(DELIVERED, 2).recalls


def test_first_acceptance_recalls_deliveries_held_by_the_last_process():
    pixel = Pixel()

    assert [pixel.hears(DELIVERED, id_).recalls for id_ in range(2)] == [True, False]
    assert pixel.hears(DELIVERED, 3, event=OTHER).recalls


def test_acceptance_makes_the_next_batch_larger():
    pixel = Pixel()
    pixel.become(size=pixel.size.limited(20))

    pixel.hears(DELIVERED, 1)
    pixel.hears(DELIVERED, 2, why=BAD)

    assert pixel.size.most == 20
    assert pixel.stats_of(EVENT).taken == 1


def test_rate_limit_of_an_event_pauses_it_until_its_reset():
    pixel, limited = Pixel(), alike(LIMITED, retry_at=1_000_000 + 9 * SECOND)

    pixel.hears(limited, 1)

    paused = pixel.pauses[EVENT]
    assert (paused.pause.cause, paused.probe_at - pixel.now) == (Cause.EVENT_LIMITED, 9 * SECOND)
    reset = "1970-01-01T00:16:49.000Z"
    assert paused.pause.reason == f"X limits only this event until {reset}: 429"


@pytest.mark.parametrize(
    ("limited", "more"),
    [(LIMITED, {}), (alike(LIMITED, retry_at=2_000_000), {"is_account_limited": True})],
)
def test_rate_limit_of_the_account_pauses_no_event(limited, more):
    pixel = Pixel()

    pixel.hears(limited, 1, **more)

    assert pixel.pauses == {}


def test_event_whose_rate_limit_has_been_reset_is_probed_at_once():
    pixel = Pixel()

    pixel.hears(alike(LIMITED, retry_at=5), 1)

    assert pixel.pauses[EVENT].probe_at == pixel.now


@pytest.mark.parametrize("was_hanging", [True, False])
@pytest.mark.parametrize(("outcome", "is_failure"), [(FAILED, True), (LIMITED, False)])
def test_request_without_a_response_while_x_accepts_others_has_suspects(
    outcome, is_failure, was_hanging
):
    pixel = Pixel()

    actions = pixel.hears(outcome, 1, 2, was_hanging=was_hanging)

    is_bisected = was_hanging and is_failure
    assert (actions.bisect is not None, pixel.known(1)) == (is_bisected, is_bisected)


def test_suspect_that_fails_alone_is_isolated_and_rescheduled():
    pixel = Pixel()
    pixel.suspect(1, 2)

    assert steps(pixel.hears(FAILED, 1)) == [("postponed", (1,), pixel.now)]
    assert (list(pixel.suspects.isolated), pixel.suspects.retry_at) == ([1], pixel.now + MINUTE)


@pytest.mark.parametrize(("why", "isolated"), [(FAILED, [1]), (BAD, []), (None, [])])
def test_single_delivery_is_isolated_only_by_the_bisection_of_a_failure(why, isolated):
    pixel = Pixel()

    pixel.hears(FAILED, 1, why=why)

    assert list(pixel.suspects.isolated) == isolated


def test_several_deliveries_are_never_isolated_together():
    pixel = Pixel()

    pixel.hears(FAILED, 1, 2, why=FAILED)

    assert pixel.suspects.isolated == {}


def test_batch_that_x_refuses_is_bisected():
    pixel = Pixel()

    actions = pixel.hears(BAD, 1, 2, 3)

    assert (actions.transitions, actions.is_open) == ((), True)
    assert actions.bisect.rest == group_of(2, 3, 1)
    assert (actions.bisect.is_suspected, actions.bisect.is_known) == (False, False)
    assert pixel.hears(BAD, 1, 2, why=BAD) == Actions(is_open=True)


def test_bisection_knows_suspects_cleared_and_unsent_deliveries():
    pixel = Pixel()
    pixel.suspect(1)
    stats = pixel.stats_of(EVENT)
    pixel.become(
        unreached={3: EVENT, 4: EVENT},
        stats={EVENT: alike(stats, cleared=frozenset({2, 9}))},
    )

    suspected = pixel.hears(PAGE, 1, 2).bisect
    unreached = pixel.hears(BAD, 3, 7).bisect

    assert (suspected.is_suspected, suspected.is_known, suspected.cleared) == (True, True, {2})
    assert (unreached.is_suspected, unreached.is_known) == (False, True)
    assert pixel.unreached == {4: EVENT}


@pytest.mark.parametrize(
    ("more", "wait"),
    [
        ({"may_bisect": False}, BISECT_PAUSE),
        ({"may_bisect": False, "is_bisected": True}, 0),
        ({"may_bisect": True, "is_bisected": True}, None),
    ],
)
def test_batch_without_a_slot_for_its_bisection_waits(more, wait):
    pixel = Pixel()

    actions = pixel.hears(BAD, 1, 2, **more)

    ended = [] if wait is None else [("postponed", (1, 2), pixel.now + wait)]
    assert (steps(actions), actions.bisect is None) == (ended, wait is not None)


def test_suspects_are_bisected_without_a_free_slot():
    pixel = Pixel()
    pixel.suspect(1)

    assert pixel.hears(FAILED, 1, 2, may_bisect=False).bisect is not None


def test_batch_of_a_paused_event_is_returned_to_the_queue():
    pixel = Pixel()
    pixel.trip(event=EVENT)

    assert steps(pixel.hears(BAD, 1, 2)) == [("postponed", (1, 2), pixel.now)]


def test_failed_batch_is_bisected_into_smaller_batches():
    pixel = Pixel()
    pixel.suspect(1)

    pixel.hears(FAILED, *range(80))

    assert pixel.size.most == 10


def test_acceptance_of_a_part_shows_that_refused_ones_are_at_fault():
    pixel = Pixel()

    actions = bisected(pixel, {3}, BAD, 1, 2, 3, 4)

    assert steps(actions) == [("given_up", (3,), "400 refused")]
    assert pixel.stats_of(EVENT).size == 50
    assert pixel.stats_of(EVENT).run == ()


def test_refusals_at_the_end_of_a_bisection_count_for_the_event():
    pixel = Pixel()

    actions = bisected(pixel, {4}, BAD, 1, 2, 3, 4)

    assert steps(actions) == [("given_up", (4,), "400 refused")]
    assert pixel.stats_of(EVENT).run == (4,)


def test_batch_refused_one_by_one_is_held_and_pauses_its_event():
    pixel, many = Pixel(), range(30)

    actions = bisected(pixel, {*many}, BAD, *many)

    held = {id_ for trigger, ids, _ in steps(actions) if trigger == "held" for id_ in ids}
    back = {id_ for trigger, ids, _ in steps(actions) if trigger == "postponed" for id_ in ids}
    assert (len(held), held | back) == (15, {*many})
    assert ("postponed", tuple(sorted(back)), pixel.now) in [
        (trigger, tuple(sorted(ids)), due) for trigger, ids, due in steps(actions)
    ]
    assert set(pixel.pauses) == {EVENT}
    assert pixel.stats_of(EVENT).unsent == back
    assert {*actions.to_hold} == held
    pixel.hears(DELIVERED, 99)
    assert pixel.stats_of(EVENT).cleared == {*many}


def test_few_conversions_refused_one_by_one_are_dead():
    pixel = Pixel()

    actions = bisected(pixel, {1, 2}, BAD, 1, 2)

    assert steps(actions) == [
        ("given_up", (1,), "400 refused"), ("given_up", (2,), "400 refused")
    ]  # fmt: skip


def test_five_conversions_refused_one_by_one_are_held():
    pixel = Pixel()

    actions = bisected(pixel, {*range(5)}, BAD, *range(5))

    assert [trigger for trigger, *_ in steps(actions)] == ["held"] * 5
    assert set(pixel.pauses) == {EVENT}


def test_unclear_refusals_of_a_whole_batch_pause_the_pixel():
    pixel = Pixel()

    actions = bisected(pixel, {1, 2}, PAGE, 1, 2)

    assert steps(actions) == [("postponed", (1, 2), pixel.now)]
    assert pixel.breaker.is_paused
    assert pixel.failed == {1: EVENT, 2: EVENT}


@pytest.mark.parametrize("is_known", [True, False])
def test_deliveries_with_unclear_refusals_are_isolated_and_back_off(is_known):
    pixel, bad = Pixel(), {1, 2} if is_known else {2}

    actions = bisected(pixel, bad, PAGE, 1, 2, is_known=is_known)

    assert [trigger for trigger, *_ in steps(actions)] == ["postponed"] * len(bad)
    assert {*pixel.suspects.isolated} == bad
    assert not pixel.breaker.is_paused


def test_retries_of_several_deliveries_are_spread_at_random():
    pixel = Pixel()
    pixel.draw = 0.5

    actions = bisected(pixel, {1, 2, 3}, PAGE, 1, 2, 3, is_known=True)

    waits = [due - pixel.now for _, _, due in steps(actions)]
    assert waits == [2_500, 589, 3_680]


def test_conversion_is_dead_after_five_refusals_with_acceptances_between():
    pixel = Pixel()
    ends = []
    for _ in range(5):
        pixel.hears(DELIVERED, 99, event=OTHER)
        ends += steps(pixel.hears(NOT_YOU, 1, why=None))
        pixel.become(breaker=pixel.breaker.passed())

    assert [trigger for trigger, *_ in ends] == ["postponed"] * 5
    pixel.hears(DELIVERED, 99, event=OTHER)
    assert steps(pixel.hears(NOT_YOU, 1)) == [("given_up", (1,), "401 refused")]


def test_rest_of_a_bisection_waits_a_minute_or_is_sent_at_once():
    bisect = Bisect.of(group_of(1, 2, 3, 4), BAD)
    pixel = Pixel()

    assert steps(end(pixel, bisect, 9)) == [("postponed", (9, 3, 4, 1, 2), pixel.now + MINUTE)]
    assert steps(end(pixel, bisect, at_once=True)) == [("postponed", (3, 4, 1, 2), pixel.now)]
    assert pixel.unreached == {}
    pixel.trip()
    assert steps(end(pixel, bisect)) == [("postponed", (3, 4, 1, 2), pixel.now)]


def test_rest_of_a_partly_accepted_batch_is_remembered():
    bisect, group = Bisect.of(group_of(1, 2, 3, 4), BAD).next()
    pixel = Pixel()

    end(pixel, bisect.answered(group, DELIVERED))

    assert pixel.unreached == {3: EVENT, 4: EVENT}
    assert pixel.stats_of(EVENT).taken == 2


def test_request_that_is_too_large_lowers_the_limit_of_bytes():
    pixel = Pixel()
    before = pixel.size.most_bytes

    bisected(pixel, set(), LARGE, 1, 2)

    assert pixel.size.most_bytes == 50_000 < before


def test_action_that_failed_is_tried_again_later():
    pixel = Pixel()
    pixel.hears(DELIVERED, 1)
    pixel.trip(event=EVENT)

    kept = undo(pixel.evidence, EVENT, Actions())
    held = undo(pixel.evidence, EVENT, Actions(to_hold=(1,)))
    pixel.evidence = undo(pixel.evidence, EVENT, Actions(recalls=True))

    assert (set(kept.pauses), set(held.pauses)) == ({EVENT}, set())
    assert pixel.hears(DELIVERED, 2).recalls


def test_transitions_of_two_actions_keep_their_order():
    first, second = (
        Transition(trigger=Trigger.HELD, deliveries=(number,), reason="r") for number in (1, 2)
    )
    head = Actions(transitions=(first,), to_hold=(1,), reason="one")
    tail = Actions(transitions=(second,))

    assert head.then(tail) == Actions(transitions=(first, second), to_hold=(1,), reason="one")
    assert tail.then(head) == Actions(transitions=(second, first), to_hold=(1,), reason="one")
