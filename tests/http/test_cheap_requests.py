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


def test_responses_are_not_delayed_without_submissions(cheap):
    assert waits(cheap, *[7.0] * 100) == [0.0] * 100


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/twite.js", "/v1/openapi.json"])
def test_simultaneous_responses_are_spaced_during_a_submission(cheap, gate, path):
    gate.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0, 7.0, path=path) == pytest.approx([0.0, SPACE, 2 * SPACE])


def test_response_after_the_spacing_is_not_delayed(cheap, gate):
    gate.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0 + SPACE, 9.0) == pytest.approx([0.0, 0.0, 0.0])


def test_response_delay_is_capped(cheap, gate):
    gate.enter({b"content-length": b"1"})

    assert max(waits(cheap, *[7.0] * 1_000)) == pytest.approx(LONGEST)


def test_responses_are_not_delayed_after_the_submission(cheap, gate):
    weight = gate.enter({b"content-length": b"1"})
    waits(cheap, 7.0, 7.0)
    gate.leave(weight)

    assert waits(cheap, 7.0) == [0.0]


@pytest.mark.parametrize("path", ["/v1/conversions", "/t", "/v1/consent", "/-/desk"])
def test_submissions_and_commands_are_not_delayed(cheap, gate, path):
    gate.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0, path=path, method="POST") == [0.0, 0.0]
