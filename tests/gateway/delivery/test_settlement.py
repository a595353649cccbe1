from contextlib import contextmanager

import pytest

from fakes import MovingClock
from twite.domain.delivery import (
    AMBIGUITY_WINDOW,
    LAST_CEILING,
    MAY_COUNT_TWICE,
    Attempt,
    Batch,
    Delivered,
    Delivery,
    Errored,
    Rejected,
    RejectionScope,
    Settlement,
    Transition,
    Trigger,
    XComplaint,
)
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.delivery.settlement import (
    InFlightBatch,
    Settler,
    attempt,
    is_too_late,
    transitions,
)
from twite.gateway.ports.events import Moved
from twite.gateway.ports.outbox import HoldRejected, MoveResult
from twite.gateway.ports.transport import NoResponse, Response
from worker_bench import Seen

NOW = 1_795_600_000_000
TWO = tuple(
    Delivery(id=n, conversion_id=f"c{n}", body=b"{}", received_at=NOW, attempts=tries)
    for n, tries in ((1, 0), (2, 3))
)
ONE = TWO[:1]


def decided(deliveries, outcome, *, randomness=0.5, cautious=False):
    return transitions(deliveries, outcome, now=NOW, randomness=randomness, cautious=cautious)


def test_accepted_batch_is_delivered():
    assert decided(TWO, Delivered(debug_id="d")) == (
        Transition(trigger=Trigger.DELIVERED, deliveries=(1, 2)),
    )


def test_batch_is_postponed_by_its_longest_tried_delivery():
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

    assert held == (Transition(trigger=Trigger.HELD, deliveries=(1, 2), reason=MAY_COUNT_TWICE),)
    assert tried_again == decided(TWO, sure) != held
    assert tried_again[0].trigger is Trigger.POSTPONED
    assert transitions(TWO, doubtful, now=NOW, randomness=0.5)[0].trigger is Trigger.POSTPONED


def test_delivery_with_a_retry_time_is_due_within_five_seconds_of_it():
    outcome = Errored(reason="429", ambiguous=False, limited=True, retry_at=NOW + 9 * MINUTE)

    moments = [decided(TWO, outcome, randomness=n / 10)[0].due_at for n in range(10)]

    assert min(moments) == NOW + 9 * MINUTE
    assert NOW + 9 * MINUTE + 4 * SECOND < max(moments) <= NOW + 9 * MINUTE + 5 * SECOND


def test_wait_beyond_the_longest_back_off_is_shortened():
    outcome = Errored(reason="429", ambiguous=False, limited=True, retry_at=NOW + HOUR)

    assert decided(ONE, outcome, randomness=0.0)[0].due_at == NOW + LAST_CEILING


def test_deliveries_of_a_refused_pixel_stay_queued():
    outcome = Rejected(scope=RejectionScope.PIXEL, reason="401")

    assert decided(TWO, outcome) == (
        Transition(trigger=Trigger.POSTPONED, deliveries=(1, 2), due_at=NOW, reason="401"),
    )


def test_delivery_with_a_wrong_event_is_held():
    outcome = Rejected(scope=RejectionScope.EVENT, reason="404")

    assert decided(TWO, outcome) == (
        Transition(trigger=Trigger.HELD, deliveries=(1, 2), reason="404"),
    )


@pytest.mark.parametrize("scope", [RejectionScope.CONVERSION, RejectionScope.SIZE])
def test_conversion_refused_alone_is_dead_with_the_message_of_x(scope):
    outcome = Rejected(
        scope=scope, reason="400 C: m", complaints=(XComplaint(code="C", message="m"),)
    )

    assert decided(ONE, outcome) == (
        Transition(trigger=Trigger.GIVEN_UP, deliveries=(1,), reason="400 C: m"),
    )


@pytest.mark.parametrize("retry_at", [None, NOW, NOW + MINUTE])
@pytest.mark.parametrize("randomness", [0.0, 0.999999])
def test_due_time_is_never_in_the_past(retry_at, randomness):
    outcome = Errored(reason="r", ambiguous=True, retry_at=retry_at)

    assert decided(TWO, outcome, randomness=randomness)[0].due_at >= NOW


def recorded(outcome, came):
    return attempt(TWO, outcome, came, pixel="o8z6j", event="o8z6k", at=NOW)


def test_attempt_records_the_response():
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
def test_attempt_without_a_response_has_no_status(left):
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
def test_every_outcome_has_a_name(outcome, word):
    assert recorded(outcome, Response(status=200, headers={}, body=b"")).outcome == word


def test_response_is_truncated_and_decoded_leniently():
    answer = Response(status=400, headers={}, body=b"\xff\xc3" + b"x" * 10_000)

    written = recorded(Rejected(scope=RejectionScope.CONVERSION, reason="400"), answer).answer

    assert written == "\ufffd\ufffd" + "x" * 2_046


def test_attempt_is_ambiguous_only_if_its_error_is():
    answer = Response(status=200, headers={}, body=b"")

    assert not recorded(Delivered(debug_id="d"), answer).ambiguous


@pytest.mark.parametrize(
    ("since", "late"),
    [
        ((None,), False),
        ((NOW - AMBIGUITY_WINDOW,), False),
        ((NOW - AMBIGUITY_WINDOW - 1,), True),
        ((None, NOW, NOW - AMBIGUITY_WINDOW - 1), True),
    ],
)
def test_delivery_is_too_old_to_resend_after_forty_hours(since, late):
    group = [
        Delivery(id=id_, conversion_id="c", body=b"{}", received_at=NOW, ambiguous_since=at)
        for id_, at in enumerate(since)
    ]

    assert is_too_late(group, now=NOW) == late


BATCH = Batch(lease=7, pixel="o8z6j", event="o8z6k", deliveries=TWO)


def test_rest_of_a_batch_excludes_the_request_that_left():
    in_flight = InFlightBatch(BATCH, at=NOW)
    claimed = in_flight.rest()
    in_flight.group = ONE
    before = in_flight.rest()
    in_flight.left = True

    assert (claimed, before, in_flight.rest()) == ((1, 2), (1, 2), (2,))


class Written:
    """A store that records settlements, and moves a given number of deliveries."""

    def __init__(self, *, moves=0):
        self.settlements = []
        self._moves = moves

    async def settle(self, settlement):
        self.settlements.append(settlement)

    async def move(self, _move, *, now):
        assert now == NOW
        return MoveResult(moved=self._moves)


def a_settler(store):
    return Settler(delivery_store=store, clock=MovingClock(NOW), observer=Seen(), lease=30 * SECOND)


async def test_settlement_extends_the_lease_and_reports_each_transition():
    store = Written()
    settler = a_settler(store)
    tried = recorded(Delivered(debug_id="d"), Response(status=200, headers={}, body=b""))
    late = Batch(
        lease=7,
        pixel="o8z6j",
        event="o8z6k",
        deliveries=(
            Delivery(id=1, conversion_id="c1", body=b"{}", received_at=NOW - 5),
            Delivery(id=2, conversion_id="c2", body=b"{}", received_at=NOW - 7),
            Delivery(id=3, conversion_id="c3", body=b"{}", received_at=NOW + 9),
        ),
    )
    written = (
        Transition(trigger=Trigger.DELIVERED, deliveries=(1, 3)),
        Transition(trigger=Trigger.GIVEN_UP, deliveries=(2,), reason="400 C: m"),
    )

    await settler.settle(late, tried, written)

    assert store.settlements == [
        Settlement(lease=7, attempt=tried, transitions=written, lease_until=NOW + 30 * SECOND)
    ]
    assert settler.observer.notices == [
        # The third one was received when the clock was ahead.
        Moved(pixel="o8z6j", trigger=Trigger.DELIVERED, deliveries=2, waited={5: 1, 0: 1}),
        Moved(pixel="o8z6j", trigger=Trigger.GIVEN_UP, deliveries=1, reason="400 C: m"),
    ]


@pytest.mark.parametrize(
    ("written", "is_freed"),
    [
        ([Transition(trigger=Trigger.DELIVERED, deliveries=(1, 2))], True),
        ([Transition(trigger=Trigger.DELIVERED, deliveries=(1,))], False),
        ([Transition(trigger=Trigger.GIVEN_UP, deliveries=(1, 2))], False),
    ],
)
async def test_slot_is_free_while_an_accepted_batch_is_settled(written, is_freed):
    entered = []

    class Freed(Written):
        async def settle(self, settlement):
            entered.append("settled")
            await super().settle(settlement)

    @contextmanager
    def settling(batch):
        entered.append(batch)
        yield
        entered.append("ended")

    settler = a_settler(Freed())
    settler.settling = settling

    await settler.settle(BATCH, None, tuple(written))

    assert entered == ([BATCH, "settled", "ended"] if is_freed else ["settled"])


async def test_accepted_batch_is_settled_without_slots():
    store = Written()

    await a_settler(store).settle(BATCH, None, decided(TWO, Delivered(debug_id="d")))

    assert [found.transitions for found in store.settlements] == [
        (Transition(trigger=Trigger.DELIVERED, deliveries=(1, 2)),)
    ]


async def test_unsent_deliveries_go_back_to_the_queue_without_an_attempt():
    store = Written()

    await a_settler(store).give_back(BATCH, [])
    await a_settler(store).give_back(BATCH, [2])
    await a_settler(store).give_back(BATCH, [1], wait=MINUTE)

    assert [(found.attempt, found.transitions) for found in store.settlements] == [
        (None, (Transition(trigger=Trigger.POSTPONED, deliveries=(id_,), due_at=due),))
        for id_, due in ((2, NOW), (1, NOW + MINUTE))
    ]


@pytest.mark.parametrize("many", [0, 1, 3])
async def test_move_is_reported_if_it_moved_a_delivery(many):
    settler = a_settler(Written(moves=many))

    await settler.move(
        HoldRejected(deliveries=[1], reason="r"), Trigger.HELD, pixel="o8z6j", reason="r"
    )

    assert settler.observer.notices == [
        Moved(pixel="o8z6j", trigger=Trigger.HELD, deliveries=many, reason="r")
    ] * bool(many)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize(("group", "others"), [(ONE, (2,)), (None, ())])
async def test_bug_counts_as_a_crash_of_the_deliveries_being_sent(left, group, others):
    store, in_flight = Written(), InFlightBatch(BATCH, at=NOW - 3)
    in_flight.left = left
    if group:  # else the whole batch, as in its first request
        in_flight.group = group

    await a_settler(store).settle_fault(in_flight, ZeroDivisionError(), due_at=NOW + MINUTE)

    (found,) = store.settlements
    named = tuple(delivery.id for delivery in group or TWO)
    assert found.attempt == Attempt(
        at=NOW - 3,
        pixel="o8z6j",
        event="o8z6k",
        outcome="errored",
        deliveries=named,
        answer="internal error in Twite: ZeroDivisionError",
        ambiguous=left,
    )
    assert found.transitions == tuple(
        Transition(trigger=trigger, deliveries=ids, due_at=NOW + MINUTE)
        for trigger, ids in ((Trigger.EXPIRED, named), (Trigger.POSTPONED, others))
        if ids
    )
