import pytest

from twite.http.limits import AdmissionGate
from twite.http.responses import HttpRefusal


def of(size):
    return {b"content-length": b"%d" % size}


def test_no_more_requests_enter_than_may_be_in_hand():
    gate = AdmissionGate(requests=2, size=1_000, largest=100)
    gate.enter(of(1))
    gate.enter(of(1))

    with pytest.raises(HttpRefusal) as refused:
        gate.enter(of(1))

    assert refused.value.answer.status == 429


def test_no_more_bytes_enter_than_may_be_in_hand():
    gate = AdmissionGate(requests=9, size=100, largest=100)
    gate.enter(of(60))

    with pytest.raises(HttpRefusal):
        gate.enter(of(41))

    assert gate.enter(of(40)) == 40


def test_what_has_left_makes_room():
    gate = AdmissionGate(requests=1, size=100, largest=100)
    for _ in range(3):
        gate.leave(gate.enter(of(60)))
    gate = AdmissionGate(requests=9, size=100, largest=100)
    inside = gate.enter(of(1))

    gate.leave(gate.enter(of(99)))

    assert gate.enter(of(99)) == 99
    assert inside == 1


@pytest.mark.parametrize("headers", [{}, of(5) | {b"content-encoding": b"gzip"}, of(999)])
def test_a_body_of_unknown_size_counts_as_the_largest(headers):
    assert AdmissionGate(requests=9, size=100, largest=70).enter(headers) == 70


def test_one_enters_however_large_it_is():
    assert AdmissionGate(requests=9, size=10, largest=70).enter(of(70)) == 70
