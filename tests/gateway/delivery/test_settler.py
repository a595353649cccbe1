"""Attempts and transitions are recorded together."""

from contextlib import contextmanager

import pytest

from fakes import MovingClock
from twite.domain.delivery import (
    Attempt,
    Batch,
    Delivery,
    Settlement,
    Transition,
    Trigger,
)
from twite.domain.outcome import Delivered, Errored, Rejected, RejectionScope
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.settler import (
    InFlightBatch,
    Settler,
    attempt,
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
BATCH = Batch(lease=7, pixel="o8z6j", event="o8z6k", deliveries=TWO)


def recorded(outcome, came):
    return attempt(TWO, outcome, came, pixel="o8z6j", event="o8z6k", at=NOW)


def test_attempt_contains_the_response():
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


def test_response_is_truncated_and_invalid_bytes_replaced():
    answer = Response(status=400, headers={}, body=b"\xff\xc3" + b"x" * 10_000)

    written = recorded(Rejected(scope=RejectionScope.CONVERSION, reason="400"), answer).answer

    assert written == "\ufffd\ufffd" + "x" * 2_046


def test_attempt_is_ambiguous_only_if_its_error_is():
    answer = Response(status=200, headers={}, body=b"")

    assert not recorded(Delivered(debug_id="d"), answer).ambiguous


def test_rest_of_a_batch_excludes_the_request_in_flight():
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

    await a_settler(store).settle(
        BATCH, None, (Transition(trigger=Trigger.DELIVERED, deliveries=(1, 2)),)
    )

    assert [found.transitions for found in store.settlements] == [
        (Transition(trigger=Trigger.DELIVERED, deliveries=(1, 2)),)
    ]


async def test_unsent_deliveries_return_to_the_queue_without_an_attempt():
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
async def test_internal_error_counts_as_a_crash_of_the_deliveries_being_sent(left, group, others):
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
