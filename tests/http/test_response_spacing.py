"""Responses that need no store are spaced out while submissions are being stored."""

import pytest

from twite.http.application import LONGEST, SPACE, CheapRequests
from twite.http.limits import AdmissionGate
from twite.http.route_table import ROUTES

BY_PATH = {route.path: route for route in ROUTES}
HEALTH = BY_PATH["/healthz"]


@pytest.fixture
def admission():
    return AdmissionGate(requests=10, size=1_000, largest=100)


@pytest.fixture
def cheap(admission):
    return CheapRequests([admission])


def waits(cheap, *moments, path="/healthz", method="GET"):
    return [cheap.wait(BY_PATH[path], method, now=now) for now in moments]


def test_responses_are_not_delayed_without_submissions(cheap):
    assert waits(cheap, *[7.0] * 100) == [0.0] * 100


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/twite.js", "/v1/openapi.json"])
def test_simultaneous_responses_are_spaced_out_during_a_submission(cheap, admission, path):
    admission.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0, 7.0, path=path) == pytest.approx([0.0, SPACE, 2 * SPACE])


def test_response_after_the_space_of_the_last_one_is_not_delayed(cheap, admission):
    admission.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0 + SPACE, 9.0) == pytest.approx([0.0, 0.0, 0.0])


def test_delay_of_a_response_is_limited(cheap, admission):
    admission.enter({b"content-length": b"1"})

    assert max(waits(cheap, *[7.0] * 1_000)) == pytest.approx(LONGEST)


def test_responses_are_not_delayed_after_the_submission(cheap, admission):
    weight = admission.enter({b"content-length": b"1"})
    waits(cheap, 7.0, 7.0)
    admission.leave(weight)

    assert waits(cheap, 7.0) == [0.0]


@pytest.mark.parametrize("path", ["/v1/conversions", "/t", "/v1/consent", "/-/control"])
def test_submissions_and_commands_are_not_delayed(cheap, admission, path):
    admission.enter({b"content-length": b"1"})

    assert waits(cheap, 7.0, 7.0, path=path, method="POST") == [0.0, 0.0]
