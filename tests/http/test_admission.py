import asyncio

import pytest

from twite.http.limits import AdmissionGate
from twite.http.responses import HttpRefusal


def headers_of_body(size):
    return {b"content-length": b"%d" % size}


def test_number_of_requests_in_flight_is_limited():
    gate = AdmissionGate(requests=2, size=1_000, largest=100)
    gate.enter(headers_of_body(1))
    gate.enter(headers_of_body(1))

    with pytest.raises(HttpRefusal) as refused:
        gate.enter(headers_of_body(1))

    assert refused.value.answer.status == 429


def test_body_bytes_in_flight_are_limited():
    gate = AdmissionGate(requests=9, size=100, largest=100)
    gate.enter(headers_of_body(60))

    with pytest.raises(HttpRefusal):
        gate.enter(headers_of_body(41))

    assert gate.enter(headers_of_body(40)) == 40


def test_finished_requests_make_room_for_new_ones():
    gate = AdmissionGate(requests=1, size=100, largest=100)
    for _ in range(3):
        gate.leave(gate.enter(headers_of_body(60)))
    gate = AdmissionGate(requests=9, size=100, largest=100)
    inside = gate.enter(headers_of_body(1))

    gate.leave(gate.enter(headers_of_body(99)))

    assert gate.enter(headers_of_body(99)) == 99
    assert inside == 1


@pytest.mark.parametrize(
    "headers", [{}, headers_of_body(5) | {b"content-encoding": b"gzip"}, headers_of_body(999)]
)
def test_body_of_unknown_size_counts_as_the_largest(headers):
    assert AdmissionGate(requests=9, size=100, largest=70).enter(headers) == 70


def test_single_request_is_admitted_whatever_its_size():
    assert AdmissionGate(requests=9, size=10, largest=70).enter(headers_of_body(70)) == 70


async def admitted(gate, arrival, *, weight=60):
    gate.enter_first(weight)
    try:
        return await gate.arrived(weight, arrival.wait())
    finally:
        gate.leave(weight)


async def test_newer_request_takes_the_place_of_the_one_whose_body_arrives_for_longest():
    gate = AdmissionGate(requests=2, size=1_000, largest=100)
    bodies = [asyncio.Event() for _ in range(4)]
    requests = []
    for body in bodies:
        requests.append(asyncio.create_task(admitted(gate, body)))
        await asyncio.sleep(0)
    for body in bodies:
        body.set()

    ended = await asyncio.gather(*requests, return_exceptions=True)

    statuses = [each.answer.status if isinstance(each, HttpRefusal) else 200 for each in ended]
    assert statuses == [429, 429, 200, 200]
    assert not gate.is_occupied
    assert gate.admits(1_000)


async def test_request_whose_body_has_arrived_keeps_its_place():
    gate = AdmissionGate(requests=1, size=1_000, largest=100)
    arrived = asyncio.Event()
    arrived.set()
    gate.enter_first(60)
    await gate.arrived(60, arrived.wait())

    with pytest.raises(HttpRefusal):
        gate.enter_first(60)

    gate.leave(60)
    assert not gate.is_occupied


async def test_failure_while_a_body_arrives_is_passed_on():
    async def fail():
        raise TimeoutError("the client")

    gate = AdmissionGate(requests=1, size=1_000, largest=100)
    gate.enter_first(60)

    with pytest.raises(TimeoutError, match="the client"):
        await gate.arrived(60, fail())

    gate.leave(60)
    assert not gate.is_occupied
