"""Decide which event is at fault, if X accepts others."""

import pytest
from suspects_of_pixel import EVENT, OTHER, Pixel, group

from twite.domain.blame.suspects import ROW


@pytest.mark.parametrize(("many", "is_repeated", "is_the_event"), [
    (0, False, False), (1, False, False), (2, True, False), (ROW - 1, True, False),
    (ROW, True, True),
])  # fmt: skip
def test_event_is_at_fault_after_five_bad_requests_with_acceptances_between(
    many, is_repeated, is_the_event
):
    pixel = Pixel()
    for n in range(many):
        pixel.accepts_another()
        pixel.note(group(10 * n, 10 * n + 1), event=EVENT)

    assert (pixel.is_repeated(EVENT), pixel.is_the_event(EVENT)) == (is_repeated, is_the_event)
    assert not pixel.is_repeated(OTHER)


def test_event_is_not_at_fault_while_x_accepts_nothing():
    pixel = Pixel()
    for n in range(2 * ROW):
        pixel.note(group(n), event=EVENT)

    assert not pixel.is_repeated(EVENT)
    assert pixel.troubled == frozenset()


def test_bad_requests_between_two_acceptances_count_once():
    pixel = Pixel()
    pixel.accepts_another()
    for n in range(2 * ROW):
        pixel.note(group(n), event=EVENT)

    assert not pixel.is_repeated(EVENT)


def test_bad_requests_of_one_delivery_count_once():
    pixel = Pixel()
    for _ in range(2 * ROW):
        pixel.accepts_another()
        pixel.note(group(1), event=EVENT)

    assert not pixel.is_repeated(EVENT)


def test_event_has_bad_responses_until_x_accepts_one_of_its_requests():
    pixel = Pixel()
    pixel.accepts_another()
    pixel.note(group(1), event=EVENT)
    during = pixel.troubled

    pixel.took(group(2), event=EVENT)

    assert (during, pixel.troubled) == ({EVENT}, frozenset())


def test_acceptance_of_an_event_resets_its_bad_responses():
    pixel = Pixel()
    for n in range(ROW - 1):
        pixel.accepts_another()
        pixel.note(group(n), event=EVENT)
    pixel.took(group(100), event=EVENT)
    pixel.note(group(101), event=EVENT)

    assert not pixel.is_repeated(EVENT)


def test_isolated_deliveries_are_not_evidence_about_their_event():
    pixel = Pixel()
    pixel.isolates(*range(2 * ROW))
    for n in range(2 * ROW):
        pixel.accepts_another()
        pixel.note(group(n), event=EVENT)
    pixel.accepts_another()
    pixel.refused_alike(group(*range(2 * ROW)), event=EVENT)

    assert not pixel.is_repeated(EVENT)
    assert pixel.troubled == frozenset()
    assert pixel.is_certain(5)


def test_event_is_at_fault_if_x_refuses_each_of_a_batch_and_accepts_others():
    pixel = Pixel()
    pixel.note(group(*range(ROW)), event=EVENT)
    pixel.accepts_another()
    pixel.refused_alike(group(*range(ROW)), event=EVENT)

    assert pixel.is_the_event(EVENT)


@pytest.mark.parametrize("steps", ["", "bad", "other", "bad event other", "other bad"])
def test_refusals_are_not_evidence_without_an_acceptance_since_the_first(steps):
    pixel = Pixel()
    for step in steps.split():
        match step:
            case "bad":
                pixel.note(group(1), event=EVENT)
            case "event":
                pixel.took(group(2), event=EVENT)
            case "other":
                pixel.accepts_another()
    pixel.refused_alike(group(*range(2 * ROW)), event=EVENT)

    assert not pixel.is_the_event(EVENT)


def test_acceptance_after_the_first_of_two_bad_requests_is_evidence():
    pixel = Pixel()
    pixel.note(group(1), event=EVENT)
    pixel.accepts_another()
    pixel.note(group(2), event=EVENT)
    pixel.refused_alike(group(*range(ROW)), event=EVENT)

    assert pixel.is_the_event(EVENT)
