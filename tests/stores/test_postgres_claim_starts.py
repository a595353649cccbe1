"""Where claims on PostgreSQL begin their search: after the last claim, for a limited time."""

import pytest

from builders import NOW
from twite.stores.postgres import claim_starts as module
from twite.stores.postgres.claim_starts import ClaimStarts


@pytest.fixture
def clock(monkeypatch):
    """The frozen time, in seconds."""
    time = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: time[0])
    return time


@pytest.fixture
def starts(clock):
    return ClaimStarts()


def test_claims_of_an_event_continue_after_the_last_claim(starts):
    starts.claimed("pixel", 1, (NOW, 7), took=0.0)
    starts.claimed("pixel", 2, (NOW, 8), took=0.0)
    starts.claimed("pixel", 1, (NOW, 9), took=0.0)

    assert starts.of("pixel") == {1: (NOW, 9), 2: (NOW, 8)}
    assert starts.of("other") == {}


@pytest.mark.parametrize(
    ("took", "lasts"), [(0.0, 1.0), (0.125, 1.25), (0.5, 5.0), (1.0, 10.0), (60.0, 10.0)]
)
def test_search_from_the_beginning_takes_a_tenth_of_the_time(starts, clock, took, lasts):
    starts.claimed("pixel", 1, (NOW, 7), took=took)

    clock[0] += lasts - 0.125
    before = dict(starts.of("pixel"))
    clock[0] += 0.125

    assert (before, starts.of("pixel")) == ({1: (NOW, 7)}, {})


def test_later_claims_do_not_delay_the_next_search_from_the_beginning(starts, clock):
    """Earlier deliveries must not wait as long as there are full claims."""
    starts.claimed("pixel", 1, (NOW, 7), took=0.0)
    clock[0] += 0.75
    starts.claimed("pixel", 1, (NOW, 8), took=0.0)
    clock[0] += 0.25

    assert starts.of("pixel") == {}


def test_claims_continue_after_the_last_one_after_the_search(starts, clock):
    starts.claimed("pixel", 1, (NOW, 7), took=0.0)
    clock[0] += 1.0
    starts.of("pixel")

    starts.claimed("pixel", 1, (NOW, 3), took=0.0)

    assert starts.of("pixel") == {1: (NOW, 3)}


def test_event_without_further_deliveries_is_searched_from_the_beginning(starts):
    starts.claimed("pixel", 1, (NOW, 7), took=0.0)
    starts.claimed("pixel", 2, (NOW, 8), took=0.0)

    starts.ended("pixel", 1)
    starts.ended("pixel", 3)
    starts.ended("other", 1)

    assert starts.of("pixel") == {2: (NOW, 8)}


@pytest.mark.parametrize(("at", "is_found"), [(NOW - 1, True), (NOW, True), (NOW + 1, False)])
def test_delivery_that_may_be_before_the_start_of_a_claim_is_found(starts, at, is_found):
    starts.claimed("pixel", 1, (NOW, 7), took=0.0)
    starts.claimed("other", 1, (NOW - 9, 3), took=0.0)

    starts.made_ready(at)

    assert (starts.of("pixel") == {}) is is_found
