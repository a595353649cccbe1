import pytest

from twite.domain.delivery import (
    MAY_COUNT_TWICE,
    Attempt,
    Delivered,
    Delivery,
    Errored,
    Rejected,
    RejectionScope,
    Transition,
    Trigger,
    XComplaint,
)
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.settlement import attempt, transitions
from twite.gateway.ports.transport import NoResponse, Response

NOW = 1_795_600_000_000
TWO = tuple(
    Delivery(id=n, conversion_id=f"c{n}", body=b"{}", received_at=NOW, attempts=tries)
    for n, tries in ((1, 0), (2, 3))
)
ONE = TWO[:1]


def decided(deliveries, outcome, *, randomness=0.5, cautious=False):
    return transitions(deliveries, outcome, now=NOW, randomness=randomness, cautious=cautious)


def test_what_x_took_is_delivered():
    assert decided(TWO, Delivered(debug_id="d")) == (
        Transition(trigger=Trigger.DELIVERED, deliveries=(1, 2)),
    )


def test_what_may_pass_is_postponed_by_the_longest_tried():
    outcome = Errored(reason="503", ambiguous=True)

    # Two has been tried three times: its fourth failure has a ceiling of 40 s.
    assert decided(TWO, outcome) == (
        Transition(
            trigger=Trigger.POSTPONED, deliveries=(1, 2), due_at=NOW + 20 * SECOND, reason="503"
        ),
    )
    assert decided(ONE, outcome)[0].due_at == NOW + 2_500


def test_of_a_cautious_pixel_only_what_x_may_have_is_held():
    doubtful = Errored(reason="503", ambiguous=True)
    sure = Errored(reason="no connection", ambiguous=False)

    held = decided(TWO, doubtful, cautious=True)
    tried_again = decided(TWO, sure, cautious=True)

    assert held == (Transition(trigger=Trigger.HELD, deliveries=(1, 2), reason=MAY_COUNT_TWICE),)
    assert tried_again == decided(TWO, sure) != held
    assert tried_again[0].trigger is Trigger.POSTPONED
    assert transitions(TWO, doubtful, now=NOW, randomness=0.5)[0].trigger is Trigger.POSTPONED


def test_what_waits_for_a_moment_that_x_named_comes_within_five_seconds_of_it():
    outcome = Errored(reason="429", ambiguous=False, limited=True, retry_at=NOW + 9 * MINUTE)

    moments = [decided(TWO, outcome, randomness=n / 10)[0].due_at for n in range(10)]

    assert min(moments) == NOW + 9 * MINUTE
    assert NOW + 9 * MINUTE + 4 * SECOND < max(moments) <= NOW + 9 * MINUTE + 5 * SECOND


def test_what_a_pixel_is_refused_for_waits_for_the_pixel():
    outcome = Rejected(scope=RejectionScope.PIXEL, reason="401")

    assert decided(TWO, outcome) == (
        Transition(trigger=Trigger.POSTPONED, deliveries=(1, 2), due_at=NOW, reason="401"),
    )


def test_what_names_a_wrong_event_is_held():
    outcome = Rejected(scope=RejectionScope.EVENT, reason="404")

    assert decided(TWO, outcome) == (
        Transition(trigger=Trigger.HELD, deliveries=(1, 2), reason="404"),
    )


@pytest.mark.parametrize("scope", [RejectionScope.CONVERSION, RejectionScope.SIZE])
def test_a_conversion_refused_by_itself_is_buried_with_the_words_of_x(scope):
    outcome = Rejected(
        scope=scope, reason="400 C: m", complaints=(XComplaint(code="C", message="m"),)
    )

    assert decided(ONE, outcome) == (
        Transition(trigger=Trigger.GIVEN_UP, deliveries=(1,), reason="400 C: m"),
    )


@pytest.mark.parametrize("retry_at", [None, NOW, NOW + MINUTE])
@pytest.mark.parametrize("randomness", [0.0, 0.999999])
def test_nothing_is_due_before_now(retry_at, randomness):
    outcome = Errored(reason="r", ambiguous=True, retry_at=retry_at)

    assert decided(TWO, outcome, randomness=randomness)[0].due_at >= NOW


def recorded(outcome, came):
    return attempt(TWO, outcome, came, pixel="o8z6j", event="o8z6k", at=NOW)


def test_an_attempt_records_what_came_back():
    answer = Response(status=503, headers={}, body="später".encode())

    assert recorded(Errored(reason="503", ambiguous=True), answer) == Attempt(
        at=NOW,
        pixel="o8z6j",
        event="o8z6k",
        outcome="errored",
        deliveries=(1, 2),
        status=503,
        answer="später",
        ambiguous=True,
    )


@pytest.mark.parametrize("left", [True, False])
def test_an_attempt_without_an_answer_has_no_status(left):
    written = recorded(
        Errored(reason="no connection", ambiguous=left),
        NoResponse(reason="no connection", left=left),
    )

    assert (written.status, written.answer, written.ambiguous) == (None, "no connection", left)


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Delivered(debug_id="d"), "delivered"),
        (Errored(reason="r", ambiguous=False), "errored"),
        (Rejected(scope=RejectionScope.PIXEL, reason="r"), "rejected"),
    ],
)
def test_an_outcome_has_one_word(outcome, word):
    assert recorded(outcome, Response(status=200, headers={}, body=b"")).outcome == word


def test_an_answer_is_cut_short_and_read_whatever_its_bytes():
    answer = Response(status=400, headers={}, body=b"\xff\xc3" + b"x" * 10_000)

    written = recorded(Rejected(scope=RejectionScope.CONVERSION, reason="400"), answer).answer

    assert written == "\ufffd\ufffd" + "x" * 2_046
