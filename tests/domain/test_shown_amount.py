"""Amounts are shown with the decimals of their currency."""

import pytest

from twite.domain.conversion import shown_amount


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [
        ("5000.00", "JPY", "5000"),
        ("5000.50", "JPY", "5000.5"),
        ("49.9", "EUR", "49.90"),
        ("49.90", "EUR", "49.90"),
        ("12.500", "KWD", "12.500"),
        ("12.50", "KWD", "12.500"),
        ("7", "", "7.00"),
    ],
)
def test_amount_has_the_decimals_of_its_currency(value, currency, shown):
    assert shown_amount(value, currency) == shown
