"""Amounts that are unusual for their event."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.stats.value_guard import (
    LEAST_SEEN,
    UnusualAmount,
    UsualAmount,
    learnt,
    unusual_amount,
)


def _usual_amount(amounts, currency="EUR"):
    usual_amount = UsualAmount(pixel="o8z6j", event="o8z6k", currency=currency)
    for amount in amounts:
        usual_amount = learnt(usual_amount, amount)
    return usual_amount


def _orders(many, *, middle=50, seed=1):
    randomness = random.Random(seed)
    return [f"{middle * 2 ** randomness.uniform(-1, 1):.2f}" for _ in range(many)]


def _kind(usual_amounts, value, currency="EUR"):
    flag = unusual_amount(
        {usual_amount.currency: usual_amount for usual_amount in usual_amounts},
        value=value,
        currency=currency,
    )
    return None if flag is None else flag.kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("49.90", None),
        ("99.00", None),
        ("250.00", None),
        ("0.00", UnusualAmount.ZERO),
        ("4990.00", UnusualAmount.MINOR_UNITS),
        # Minor units are whole.
        ("4990.50", UnusualAmount.OUTLIER),
        ("0.49", UnusualAmount.OUTLIER),
        ("1000000.00", UnusualAmount.OUTLIER),
    ],
)
def test_amount_is_compared_with_the_usual_amounts_of_its_event(value, kind):
    assert _kind([_usual_amount(_orders(200))], value) == kind


def test_amount_in_minor_units_is_recognized_if_all_orders_have_one_price():
    assert _kind([_usual_amount(["49.90"] * 100)], "4990.00") == UnusualAmount.MINOR_UNITS


def test_amounts_in_yen_have_no_minor_units():
    assert (
        _kind([_usual_amount(_orders(100, middle=5_000), "JPY")], "500000", "JPY")
        == UnusualAmount.OUTLIER
    )


def test_amounts_in_dinar_have_1000_minor_units():
    usual_amount = _usual_amount(_orders(100), "KWD")

    assert _kind([usual_amount], "50000", "KWD") == UnusualAmount.MINOR_UNITS


def test_no_amount_is_unusual_before_enough_were_seen():
    assert _kind([_usual_amount(_orders(LEAST_SEEN - 1))], "1000000.00") is None


def test_amount_of_zero_is_not_unusual_if_it_is_usual():
    usual_amount = _usual_amount([*_orders(90), *["0.00"] * 10])

    assert _kind([usual_amount], "0.00") is None


def test_new_currency_is_unusual_until_it_was_seen_a_few_times():
    euros = _usual_amount(_orders(100))

    before = _kind([euros], "49.90", "USD")
    after = _kind([euros, _usual_amount(_orders(5), "USD")], "49.90", "USD")

    assert (before, after) == (UnusualAmount.CURRENCY, None)


def test_single_large_amounts_change_the_usual_amount_slowly():
    usual_amount = _usual_amount(_orders(500))

    for _ in range(20):
        usual_amount = learnt(usual_amount, "9999999.00")

    assert _kind([usual_amount], "9999999.00") == UnusualAmount.OUTLIER
    assert _kind([usual_amount], "49.90") is None


def test_new_prices_become_usual_amounts():
    usual_amount = _usual_amount([*_orders(300), *_orders(3_000, middle=2_000)])

    assert _kind([usual_amount], "2000.00") is None


def test_unusual_amount_is_reported_with_the_usual_amount():
    flag = unusual_amount({"EUR": _usual_amount(["49.90"] * 50)}, value="0.00", currency="EUR")

    assert flag is not None
    assert flag.usual == "49.90 EUR"


@given(st.lists(st.decimals(0, 10**15, places=2), max_size=80))
def test_any_amounts_are_learned_as_usual(amounts):
    usual_amount = _usual_amount([f"{amount:.2f}" for amount in amounts])

    assert usual_amount.seen == len(amounts)
    assert (
        unusual_amount({"EUR": usual_amount}, value="1.00", currency="EUR") is None
        or usual_amount.known
    )
