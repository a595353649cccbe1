"""Laws of blame: they hold whatever X has answered before."""

from copy import deepcopy

from answers import ANSWERS, BAD_ANSWERS, GROUPS, HISTORIES, pixel_after
from blamed_pixel import BAD, DELIVERED, EVENT, FAILED, NOT_YOU, OTHER, PAGE, group_of
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.blame.bisect import BUDGET
from twite.domain.blame.judge import Answer
from twite.domain.blame.learn import end_bisect, learn
from twite.domain.delivery import Trigger, ids_of
from twite.domain.outcome import Delivered, Errored, is_about_content, is_unexplained
from twite.domain.pause import Cause, pause_by_user


def settled(actions, *triggers):
    """Return the deliveries of the transitions, with one of these triggers or with any."""
    return [
        id_
        for transition in actions.transitions
        if not triggers or transition.trigger in triggers
        for id_ in transition.deliveries
    ]


@given(HISTORIES, ANSWERS)
def test_learning_is_a_pure_function_of_evidence_and_outcome(history, answer):
    pixel = pixel_after(history)
    before = deepcopy(pixel.evidence)

    first = learn(pixel.evidence, answer, pixel.instant)

    assert learn(pixel.evidence, answer, pixel.instant) == first
    assert pixel.evidence == before


@given(HISTORIES, ANSWERS)
def test_each_delivery_of_a_request_is_settled_once_or_bisected(history, answer):
    pixel = pixel_after(history)

    _, actions = learn(pixel.evidence, answer, pixel.instant)

    bisected = [] if actions.bisect is None else ids_of(actions.bisect.rest)
    assert sorted([*settled(actions), *bisected]) == sorted(ids_of(answer.group))
    assert actions.bisect is None or len(answer.group) > 1


@given(HISTORIES, GROUPS, st.sampled_from([EVENT, OTHER]))
def test_acceptance_ends_suspicion_of_its_deliveries_event_and_pixel(history, group, event):
    pixel = pixel_after(history)

    actions = pixel.hears(DELIVERED, *ids_of(group), event=event)

    assert settled(actions, Trigger.DELIVERED) == list(ids_of(group))
    assert not pixel.suspects.known() & {*ids_of(group)}
    assert event not in pixel.suspects.troubled
    assert event not in pixel.pauses
    assert (pixel.failed, pixel.failing, pixel.refused_in_row) == ({}, frozenset(), frozenset())
    assert not pixel.breaker.probes


@given(HISTORIES, ANSWERS)
def test_delivery_is_dead_only_if_x_refused_it_alone(history, answer):
    pixel = pixel_after(history)

    _, actions = learn(pixel.evidence, answer, pixel.instant)

    if settled(actions, Trigger.GIVEN_UP):
        assert len(answer.group) == 1
        assert is_about_content(answer.outcome) or is_unexplained(answer.outcome)


@given(st.lists(BAD_ANSWERS, max_size=60), BAD_ANSWERS)
def test_unclear_refusal_makes_none_dead_while_x_accepts_none(history, answer):
    pixel = pixel_after(history)

    _, actions = learn(pixel.evidence, answer, pixel.instant)

    if not is_about_content(answer.outcome):
        assert settled(actions, Trigger.GIVEN_UP) == []
    assert pixel.suspects.known() <= {*range(1, 13)}


@given(HISTORIES, GROUPS)
def test_failure_of_x_reschedules_or_bisects_and_makes_none_dead(history, group):
    pixel = pixel_after(history)

    actions = pixel.hears(FAILED, *ids_of(group))

    assert settled(actions) == settled(actions, Trigger.POSTPONED)


@given(HISTORIES, ANSWERS)
def test_cautious_pixel_never_resends_an_ambiguous_delivery(history, answer):
    pixel = pixel_after(history, cautious=True)

    _, actions = learn(pixel.evidence, answer, pixel.instant)

    if isinstance(answer.outcome, Errored) and answer.outcome.ambiguous:
        assert settled(actions) == settled(actions, Trigger.HELD)
        assert actions.bisect is None


@given(HISTORIES, st.lists(ANSWERS, min_size=1, max_size=10))
def test_no_response_ends_or_replaces_a_pause_by_a_user(history, later):
    pixel = pixel_after(history)
    pause = pause_by_user("p", since=1, who="ann")
    pixel.evidence = pixel.evidence.hold(pause)

    for answer in later:
        pixel.evidence, _ = learn(pixel.evidence, answer, pixel.instant)

    assert pixel.breaker.pause is pause


@given(HISTORIES, ANSWERS)
def test_event_is_at_fault_only_after_a_response_about_it(history, answer):
    pixel = pixel_after(history)
    paused = {*pixel.pauses}

    evidence, actions = learn(pixel.evidence, answer, pixel.instant)

    assert {*evidence.pauses} ^ paused <= {answer.event}
    assert all(pause.pause.cause is not Cause.USER for pause in evidence.pauses.values())
    assert not actions.to_hold or answer.event in evidence.pauses


@given(HISTORIES, ANSWERS)
def test_bad_responses_never_make_the_next_requests_larger(history, answer):
    pixel = pixel_after(history)

    evidence, _ = learn(pixel.evidence, answer, pixel.instant)

    is_accepted = isinstance(answer.outcome, Delivered)
    assert is_accepted or evidence.size.most <= pixel.size.most
    assert evidence.size.most_bytes <= pixel.size.most_bytes


@given(
    HISTORIES,
    st.integers(2, 60),
    st.sampled_from([BAD, NOT_YOU, PAGE, FAILED]),
    st.sets(st.integers(100, 160)),
    st.integers(0, 70),
)
def test_bisection_settles_or_returns_each_delivery_within_its_limit(
    history, many, bad_outcome, bad, stop
):
    pixel, group = pixel_after(history), group_of(*range(100, 100 + many))
    actions = pixel.hears(bad_outcome, *ids_of(group))
    ended, bisect, tries = settled(actions), actions.bisect, 0
    while bisect is not None and not bisect.is_over and tries < stop:
        tries += 1
        bisect, tried = bisect.next()
        is_bad = bool({*ids_of(tried)} & bad)
        answer = Answer(
            event=EVENT,
            group=tried,
            outcome=bad_outcome if is_bad else DELIVERED,
            why=bisect.why,
        )
        pixel.evidence, actions = learn(pixel.evidence, answer, pixel.instant)
        ended += settled(actions)
        assert actions.is_open is (is_bad and not (bad_outcome is FAILED and len(tried) == 1))
        bisect = bisect.answered(tried, answer.outcome)
    if bisect is not None:
        pixel.evidence, actions = end_bisect(
            pixel.evidence, EVENT, bisect, (), pixel.instant, at_once=False
        )
        ended += settled(actions)
        given_up = settled(actions, Trigger.GIVEN_UP)
        assert {*given_up} <= {delivery.id for delivery, _ in bisect.refused} & bad

    assert sorted(ended) == list(ids_of(group))
    assert tries <= max(BUDGET, 3 * many)
