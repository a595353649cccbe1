"""Slots of a pixel for requests in flight, and the requests that use none."""

from contextlib import ExitStack

import pytest

from fakes import MovingClock
from twite.domain.delivery import Batch
from twite.domain.times import SECOND
from twite.gateway.delivery.requests_in_flight import (
    MOST_AT_ONCE,
    MOST_OF_EVENT,
    SLOW,
    RequestsInFlight,
)

NONE = frozenset()
ONE, OTHER = "o8zb1", "o8zb2"
SIZE = 500


class Pixel(RequestsInFlight):
    """The requests of a pixel with four slots, each sent and without a response."""

    def __init__(self, *, slots=4):
        self.clock = MovingClock()
        super().__init__(clock=self.clock, slots=slots)
        self.last = 0
        self.unanswered = ExitStack()

    def send(self, event, many=1):
        for _ in range(many):
            self.last += 1
            batch = Batch(lease=self.last, pixel="p", event=event, deliveries=())
            self.began(batch)
            self.unanswered.enter_context(self.sending(batch))
        return batch

    def accept(self, event):
        self.accepted(event, sent_at=self.clock.elapsed())

    def may(self, troubled=NONE):
        return list(self.openings(SIZE, troubled=troubled))


def test_any_event_may_use_a_free_slot():
    pixel = Pixel()
    pixel.send(ONE, 3)

    assert (pixel.free(), pixel.may()) == (1, [(SIZE, NONE)])


def test_nothing_may_be_sent_while_all_slots_are_in_use():
    pixel = Pixel()
    pixel.send(ONE, 4)

    assert (pixel.free(), pixel.may()) == (0, [])


@pytest.mark.parametrize(("slots", "may"), [(1, [(SIZE, frozenset({ONE}))]), (2, [])])
def test_bisection_does_not_use_the_only_slot(slots, may):
    pixel = Pixel(slots=slots)
    pixel.send(ONE, slots)

    with pixel.bisecting(ONE):
        assert pixel.may() == may
        pixel.send(OTHER)
        assert pixel.may() == []


@pytest.mark.parametrize(("slots", "may"), [(1, [(SIZE, frozenset({ONE}))]), (2, [])])
def test_suspects_do_not_use_the_only_slot(slots, may):
    pixel = Pixel(slots=slots)
    for _ in range(slots):
        pixel.yields(pixel.send(ONE))

    assert pixel.may() == may
    pixel.send(OTHER)
    assert pixel.may() == []


async def test_another_event_may_send_one_conversion_while_x_is_slow():
    pixel = Pixel()
    pixel.send(ONE, 1)
    await pixel.clock.advance(SLOW)
    pixel.send(ONE, 3)

    assert pixel.may() == [(1, {ONE})]


async def test_slow_event_may_send_one_conversion_until_it_uses_twice_the_slots():
    pixel = Pixel()
    pixel.send(ONE, 4)
    await pixel.clock.advance(SLOW)
    before = pixel.may()
    pixel.send(ONE, 4)
    await pixel.clock.advance(SLOW)

    assert before == [(1, {ONE}), (1, NONE)]
    assert pixel.may() == [(1, {ONE})]
    assert pixel.full(troubled=NONE, limited=()) == {ONE}


async def test_event_without_responses_uses_no_slot_of_events_that_x_accepts():
    pixel = Pixel()
    pixel.send(ONE, 4)
    await pixel.clock.advance(SLOW)
    pixel.accept(OTHER)
    before = pixel.free()
    pixel.send(ONE, 4)

    assert before == 4
    assert pixel.may() == [(SIZE, {ONE}), (1, {ONE})]


async def test_request_is_not_slow_until_a_later_one_is_accepted():
    pixel = Pixel()
    pixel.accept(OTHER)
    await pixel.clock.advance(1)
    batch = pixel.send(ONE)
    await pixel.clock.advance(SLOW)
    before = pixel.is_hanging(batch.lease), pixel.free()
    pixel.accept(OTHER)

    assert before == (False, 3)
    assert (pixel.is_hanging(batch.lease), pixel.free()) == (True, 4)


def test_event_with_bad_responses_uses_no_slot_of_others():
    pixel = Pixel(slots=1)
    pixel.send(ONE)

    assert pixel.may() == []
    assert pixel.may(troubled=frozenset({ONE})) == [(SIZE, {ONE})]


def test_events_with_bad_responses_use_at_most_half_of_the_slots():
    pixel, troubled = Pixel(), frozenset({ONE, OTHER})
    pixel.send(ONE)
    before = pixel.full(troubled=troubled, limited=())
    pixel.send(OTHER)

    assert (before, pixel.full(troubled=troubled, limited=())) == (NONE, troubled)


async def test_slow_request_does_not_count_towards_half_of_the_slots():
    pixel = Pixel()
    pixel.send(ONE, 2)
    before = pixel.full(troubled=frozenset({ONE}), limited=())
    await pixel.clock.advance(SLOW)

    assert (before, pixel.full(troubled=frozenset({ONE}), limited=())) == ({ONE}, NONE)


def test_rate_limited_event_uses_half_of_the_slots():
    pixel = Pixel()
    pixel.send(ONE, 2)
    pixel.send(OTHER)

    assert pixel.full(troubled=NONE, limited={ONE, OTHER}) == {ONE}


def test_batch_of_suspects_uses_no_slot_of_its_event():
    pixel = Pixel()
    batch = pixel.send(ONE, 2)
    pixel.yields(batch)

    assert pixel.full(troubled=NONE, limited={ONE}) == NONE


def test_events_are_bisected_one_at_a_time_in_at_most_half_of_the_slots():
    pixel = Pixel()
    pixel.send(ONE)
    with pixel.bisecting(ONE):
        first = (
            pixel.may_bisect(ONE),
            pixel.may_bisect(OTHER),
            pixel.full(troubled=NONE, limited=()),
        )
        with pixel.bisecting(OTHER):
            both = pixel.may_bisect("third")

    assert (first, both) == ((False, True, {ONE}), False)
    assert pixel.may_bisect(ONE)


async def test_event_that_x_accepts_in_part_leaves_slots_to_others():
    pixel = Pixel()
    pixel.send(ONE, MOST_OF_EVENT)
    await pixel.clock.advance(SLOW)
    pixel.accept(ONE)

    assert pixel.full(troubled=NONE, limited=()) == {ONE}
    pixel.send(OTHER, MOST_AT_ONCE - MOST_OF_EVENT)
    assert pixel.may() == []


@pytest.mark.parametrize(("many", "free"), [(1, 4), (4, 4), (5, 3)])
def test_batches_being_settled_use_no_slot_up_to_the_number_of_slots(many, free):
    pixel = Pixel()
    freed = []
    pixel.freed = lambda: freed.append(True)
    with ExitStack() as settled:
        for _ in range(many):
            settled.enter_context(pixel.settling(pixel.send(ONE)))
        during = pixel.free()

    assert (during, len(freed)) == (free, many)


async def test_worker_waits_until_the_next_request_is_slow():
    pixel = Pixel()
    pixel.send(ONE)
    await pixel.clock.advance(SECOND)
    pixel.send(ONE)

    first = pixel.until_slow()
    await pixel.clock.advance(first)

    assert (first, pixel.until_slow()) == (SLOW - SECOND, SECOND)
    await pixel.clock.advance(SECOND)
    assert pixel.until_slow() == SLOW
