"""The transitions of the deliveries of one request."""

import pytest

from twite.domain.blame.transitions import is_too_late, transitions
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import (
    AMBIGUITY_WINDOW,
    LAST_CEILING,
    MAY_COUNT_TWICE,
    Delivery,
    Transition,
    Trigger,
)
from twite.domain.outcome import Delivered, Errored, Rejected, RejectionScope, XComplaint
from twite.domain.times import HOUR, MINUTE, SECOND

NOW = 1_795_600_000_000
TWO = tuple(
    Delivery(id=n, conversion_id=f"c{n}", body=b"{}", received_at=NOW, attempts=tries)
    for n, tries in ((1, 0), (2, 3))
)
ONE = TWO[:1]


def decided(deliveries, outcome, *, jitter=0.5, cautious=False):
    return transitions(deliveries, outcome, now=NOW, jitter=jitter, is_cautious=cautious)


def test_deliveries_of_an_accepted_batch_are_delivered():
    assert decided(TWO, Delivered(debug_id="d")) == (
        Transition(trigger=Trigger.DELIVERED, deliveries=(1, 2)),
    )


def test_batch_is_rescheduled_by_its_delivery_with_the_most_attempts():
    outcome = Errored(reason="503", ambiguous=True)

    # Delivery 2 has been tried three times: the ceiling for its fourth failure is 40 s.
    assert decided(TWO, outcome) == (
        Transition(
            trigger=Trigger.POSTPONED, deliveries=(1, 2), due_at=NOW + 20 * SECOND, reason="503"
        ),
    )
    assert decided(ONE, outcome)[0].due_at == NOW + 2_500


def test_cautious_pixel_holds_only_deliveries_x_may_have_received():
    doubtful = Errored(reason="503", ambiguous=True)
    sure = Errored(reason="no connection", ambiguous=False)

    held = decided(TWO, doubtful, cautious=True)
    tried_again = decided(TWO, sure, cautious=True)

    assert held == (
        Transition(
            trigger=Trigger.HELD,
            deliveries=(1, 2),
            cause=DeliveryCause.MAY_COUNT_TWICE,
            reason=MAY_COUNT_TWICE,
        ),
    )
    assert tried_again == decided(TWO, sure) != held
    assert tried_again[0].trigger is Trigger.POSTPONED
    assert transitions(TWO, doubtful, now=NOW, jitter=0.5)[0].trigger is Trigger.POSTPONED


def test_delivery_with_a_retry_time_is_due_within_five_seconds_of_it():
    outcome = Errored(reason="429", ambiguous=False, limited=True, retry_at=NOW + 9 * MINUTE)

    moments = [decided(TWO, outcome, jitter=n / 10)[0].due_at for n in range(10)]

    assert min(moments) == NOW + 9 * MINUTE
    assert NOW + 9 * MINUTE + 4 * SECOND < max(moments) <= NOW + 9 * MINUTE + 5 * SECOND


def test_wait_beyond_the_longest_back_off_is_shortened():
    outcome = Errored(reason="429", ambiguous=False, limited=True, retry_at=NOW + HOUR)

    assert decided(ONE, outcome, jitter=0.0)[0].due_at == NOW + LAST_CEILING


def test_deliveries_of_a_refused_pixel_stay_queued():
    outcome = Rejected(scope=RejectionScope.PIXEL, reason="401")

    assert decided(TWO, outcome) == (
        Transition(trigger=Trigger.POSTPONED, deliveries=(1, 2), due_at=NOW, reason="401"),
    )


def test_delivery_with_a_wrong_event_is_held():
    outcome = Rejected(scope=RejectionScope.EVENT, reason="404")

    assert decided(TWO, outcome) == (
        Transition(
            trigger=Trigger.HELD,
            deliveries=(1, 2),
            cause=DeliveryCause.EVENT_UNKNOWN,
            reason="404",
        ),
    )


@pytest.mark.parametrize("scope", [RejectionScope.CONVERSION, RejectionScope.SIZE])
def test_conversion_refused_alone_is_dead_with_the_message_of_x(scope):
    outcome = Rejected(
        scope=scope, reason="400 C: m", complaints=(XComplaint(code="C", message="m"),)
    )

    assert decided(ONE, outcome) == (
        Transition(
            trigger=Trigger.GIVEN_UP,
            deliveries=(1,),
            cause=DeliveryCause.REFUSED,
            reason="400 C: m",
        ),
    )


@pytest.mark.parametrize("retry_at", [None, NOW, NOW + MINUTE])
@pytest.mark.parametrize("randomness", [0.0, 0.999999])
def test_due_time_is_never_in_the_past(retry_at, randomness):
    outcome = Errored(reason="r", ambiguous=True, retry_at=retry_at)

    assert decided(TWO, outcome, jitter=randomness)[0].due_at >= NOW


@pytest.mark.parametrize(
    ("since", "late"),
    [
        ((None,), False),
        ((NOW - AMBIGUITY_WINDOW,), False),
        ((NOW - AMBIGUITY_WINDOW - 1,), True),
        ((None, NOW, NOW - AMBIGUITY_WINDOW - 1), True),
    ],
)
def test_ambiguous_delivery_is_too_old_to_resend_after_forty_hours(since, late):
    group = [
        Delivery(id=id_, conversion_id="c", body=b"{}", received_at=NOW, ambiguous_since=at)
        for id_, at in enumerate(since)
    ]

    assert is_too_late(group, now=NOW) == late
