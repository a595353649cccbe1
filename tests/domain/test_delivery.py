import pytest

from twite.domain.delivery import AMBIGUITY_WINDOW, PATIENCE, TRANSITIONS, State, Trigger, after
from twite.domain.errors import IllegalTransition
from twite.domain.times import HOUR

LEGAL = {
    (State.QUEUED, Trigger.CLAIMED): State.SENDING,
    (State.QUEUED, Trigger.HELD): State.HELD,
    (State.QUEUED, Trigger.WITHDRAWN): State.SUPPRESSED,
    (State.SENDING, Trigger.DELIVERED): State.DELIVERED,
    (State.SENDING, Trigger.POSTPONED): State.QUEUED,
    (State.SENDING, Trigger.GIVEN_UP): State.DEAD,
    (State.SENDING, Trigger.HELD): State.HELD,
    (State.SENDING, Trigger.EXPIRED): State.QUEUED,
    (State.SENDING, Trigger.NOT_FIRED): State.SUPPRESSED,
    (State.HELD, Trigger.REPLAYED): State.QUEUED,
    (State.HELD, Trigger.DISCARDED): State.SUPPRESSED,
    (State.HELD, Trigger.RECALLED): State.QUEUED,
    (State.DEAD, Trigger.REPLAYED): State.QUEUED,
    (State.DEAD, Trigger.DISCARDED): State.SUPPRESSED,
    (State.DEAD, Trigger.HELD): State.HELD,
}
ALL = [(state, trigger) for state in State for trigger in Trigger]


@pytest.mark.parametrize(("state", "trigger"), [pair for pair in ALL if pair in LEGAL])
def test_allowed_transition_leads_to_its_delivery_state(state, trigger):
    assert after(state, trigger) is LEGAL[state, trigger]


@pytest.mark.parametrize(("state", "trigger"), [pair for pair in ALL if pair not in LEGAL])
def test_transition_that_is_not_allowed_is_refused(state, trigger):
    with pytest.raises(IllegalTransition, match=f"{trigger} is not for a delivery that is {state}"):
        after(state, trigger)


def test_table_of_transitions_covers_every_state():
    assert set(TRANSITIONS) == set(State)


def test_delivery_is_delivered_only_while_it_is_being_sent_and_only_once():
    ways = [pair for pair, state in LEGAL.items() if state is State.DELIVERED]

    assert ways == [(State.SENDING, Trigger.DELIVERED)]
    assert not TRANSITIONS[State.DELIVERED]


def test_dead_letter_is_queued_only_by_a_replay():
    ways = [trigger for trigger, state in TRANSITIONS[State.DEAD].items() if state is State.QUEUED]

    assert ways == [Trigger.REPLAYED]


def test_held_delivery_is_queued_only_by_a_replay_or_recall():
    ways = [trigger for trigger, state in TRANSITIONS[State.HELD].items() if state is State.QUEUED]

    assert ways == [Trigger.REPLAYED, Trigger.RECALLED]


def test_table_of_transitions_is_immutable():
    with pytest.raises(TypeError):
        TRANSITIONS[State.DELIVERED][Trigger.CLAIMED] = State.SENDING


def test_retries_of_an_ambiguous_delivery_end_8_hours_before_xs_deduplication_window():
    assert AMBIGUITY_WINDOW == 40 * HOUR
    assert PATIENCE > AMBIGUITY_WINDOW
