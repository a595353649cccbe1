"""Rows of a file that repeat the id of an earlier row."""

import pytest

from twite.formats.files.findings import Repeats


def an_order(number, **more):
    return {"event": "purchase", "conversion_id": f"o-{number}", "email": "a@example.com"} | more


def test_repeated_order_is_noted_with_its_first_row():
    repeats = Repeats()
    repeats.see(2, an_order(1))

    finding = repeats.see(7, an_order(1, email=" A@Example.com"))

    assert (finding.code, finding.message) == (
        "same_as_earlier",
        "the same order and event as row 2",
    )


def test_harmless_difference_of_a_repeated_order_is_named():
    repeats = Repeats()
    repeats.see(2, an_order(1, value="1.00"))

    finding = repeats.see(7, an_order(1, ip="192.0.2.1"))

    assert finding.code == "differs_from_earlier"
    assert "with a different value, ip" in finding.message


FULL_ORDER = {
    "time": "2026-11-22T06:00:52Z",
    "value": "49.90",
    "currency": "EUR",
    "email": "a@example.com",
    "phone": "+44 20 7946 0958",
    "twclid": "abc",
}


@pytest.mark.parametrize(
    ("change", "others"),
    [
        ({"value": "50.00"}, "value"),
        ({"currency": "USD"}, "value"),
        ({"time": "2026-11-22T06:00:53Z"}, "time"),
        ({"email": "b@example.com", "phone": "+44 20 7946 0001", "twclid": "abd"}, "person"),
        (
            {"email": "b@example.com", "phone": None, "twclid": None, "value": "1"},
            "person and value",
        ),
    ],
)
def test_order_id_of_another_person_time_or_value_is_an_error(change, others):
    repeats = Repeats()
    repeats.see(2, an_order(1, **FULL_ORDER))

    finding = repeats.see(7, an_order(1, **FULL_ORDER | change))

    assert finding.code == "id_shared"
    assert f"as row 2, but a different {others}: " in finding.message


@pytest.mark.parametrize(
    "change",
    [
        {"value": "49.9", "time": "2026-11-22T07:00:52+01:00", "email": "A@Example.com"},
        {"phone": "020 7946 0958"},
        {"email": "b@example.com"},
        {"twclid": "other"},
        {"value": None, "currency": None, "time": None},
        {"email": None, "phone": None, "twclid": None},
        {"value": "50.00", "consent": {"ad_storage": "denied"}},
    ],
)
def test_different_spelling_of_the_same_order_is_a_repetition(change):
    repeats = Repeats()
    repeats.see(2, an_order(1, **FULL_ORDER))

    assert repeats.see(7, an_order(1, **FULL_ORDER | change)).code != "id_shared"


def test_same_id_with_another_event_or_pixel_is_another_order():
    repeats = Repeats()
    repeats.see(2, an_order(1))

    assert repeats.see(3, an_order(1, event="sign_up")) is None
    assert repeats.see(4, an_order(1, pixel="p2")) is None


def test_number_of_remembered_orders_is_limited():
    repeats = Repeats(remembered=2)
    for number in (1, 2, 3):
        repeats.see(number, an_order(number))

    forgotten, known = repeats.see(4, an_order(1)), repeats.see(5, an_order(3))

    assert forgotten is None
    assert known is not None
