"""Responses that need no store are delayed while submissions are being stored."""

import pytest

from twite.http.application import LONGEST, SPACE, CheapRequests
from twite.http.limits import AdmissionGate
from twite.http.route_table import ROUTES

BY_PATH = {route.path: route for route in ROUTES}
HEALTH = BY_PATH["/healthz"]


@pytest.fixture
def gate():
    return AdmissionGate(requests=10, size=1_000, largest=100)


@pytest.fixture
def cheap(gate):
    return CheapRequests([gate])


def waits(cheap, *moments, path="/healthz", method="GET"):
    return [cheap.wait(BY_PATH[path], method, now=now) for now in moments]


def test_while_nothing_is_submitted_no_answer_waits(cheap):
    assert waits(cheap, *[7.0] * 100) == [0.0] * 100


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/twite.js", "/v1/openapi.json"])
def test_answers_at_one_moment_are_spaced_while_a_submission_is_stored(cheap, gate, path):
    gate.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0, 7.0, path=path) == pytest.approx([0.0, SPACE, 2 * SPACE])


def test_an_answer_after_the_space_does_not_wait(cheap, gate):
    gate.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0 + SPACE, 9.0) == pytest.approx([0.0, 0.0, 0.0])


def test_no_answer_waits_longer_than_the_longest(cheap, gate):
    gate.enter({b"content-length": b"1"})

    assert max(waits(cheap, *[7.0] * 1_000)) == pytest.approx(LONGEST)


def test_after_the_submission_nothing_waits(cheap, gate):
    weight = gate.enter({b"content-length": b"1"})
    waits(cheap, 7.0, 7.0)
    gate.leave(weight)

    assert waits(cheap, 7.0) == [0.0]


@pytest.mark.parametrize("path", ["/v1/conversions", "/t", "/v1/consent", "/-/desk"])
def test_submissions_and_commands_do_not_wait(cheap, gate, path):
    gate.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0, path=path, method="POST") == [0.0, 0.0]
