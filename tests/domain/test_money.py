from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain import conversion as money
from twite.domain.conversion import amount, currency
from twite.domain.fault import Fault


def read(text):
    found = amount(text, path="value")
    return found.code if isinstance(found, Fault) else found


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("20", "20.00"),
        ("0", "0.00"),
        ("20.0", "20.00"),
        ("20.5", "20.50"),
        ("49.90", "49.90"),
        ("49.9000", "49.90"),
        ("123.3345", "123.3345"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("007", "7.00"),
        ("00.10", "0.10"),
        (" 49.90\n", "49.90"),
        ("-0", "0.00"),
        ("-0.00", "0.00"),
        ("1e2", "100.00"),
        ("1E+2", "100.00"),
        ("1.5e3", "1500.00"),
        ("125e-2", "1.25"),
        ("1e-7", "0.0000001"),
        ("0e5", "0.00"),
        ("0e-9", "0.00"),
        ("999999999999999999", "999999999999999999.00"),
        ("0.000000000000000001", "0.000000000000000001"),
    ],
)
def test_amount_becomes_a_decimal_text_with_at_least_two_decimals(text, spelled):
    assert read(text) == spelled


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1,234.50", "not_an_amount"),
        ("1.234,50", "not_an_amount"),
        ("49,90", "not_an_amount"),
        ("1 234", "not_an_amount"),
        ("", "not_an_amount"),
        (".5", "not_an_amount"),
        ("5.", "not_an_amount"),
        ("+5", "not_an_amount"),
        ("--5", "not_an_amount"),
        ("€5", "not_an_amount"),
        ("5 EUR", "not_an_amount"),
        ("0x10", "not_an_amount"),
        ("1_000", "not_an_amount"),
        ("nan", "not_an_amount"),
        ("NaN", "not_an_amount"),
        ("Infinity", "not_an_amount"),
        ("-inf", "not_an_amount"),
        ("1e", "not_an_amount"),
        ("e5", "not_an_amount"),
        ("5\x00", "not_an_amount"),
        ("\u0661\u0662", "not_an_amount"),
        ("\uff15", "not_an_amount"),
        ("1e999", "amount_too_large"),
        ("1e-999", "amount_too_large"),
        ("1e99999999999", "amount_too_large"),
        ("1e20", "amount_too_large"),
        ("18446744073709551616", "amount_too_large"),
        ("1" * 19, "amount_too_large"),
        ("0." + "1" * 19, "amount_too_large"),
        ("1" * 5_000, "amount_too_large"),
        ("-1", "amount_negative"),
        ("-0.01", "amount_negative"),
        ("-1e2", "amount_negative"),
    ],
)
def test_invalid_amount_has_its_error_code(text, code):
    assert read(text) == code


def test_message_about_an_amount_quotes_it_with_its_separators():
    assert amount("1,234.50", path="value").message == (
        '"1,234.50" is not an amount: write it without separators, like 1234.50'
    )


@pytest.mark.parametrize("text", ["bob@example.com", "+44 20 7946 0958", "(415) 555-0100", "<b>"])
def test_message_about_an_amount_does_not_quote_possible_personal_data(text):
    message = amount(text, path="value").message

    assert message == "this is not an amount: write it like 49.90"


@given(
    st.decimals(min_value=0, max_value=10**17, allow_nan=False, allow_infinity=False, places=None)
    | st.decimals(min_value=0, max_value=10**15, places=2)
)
def test_amount_keeps_its_exact_value(value):
    spelled = read(str(value))

    if not spelled.startswith("amount_"):
        assert Decimal(spelled) == value
        assert len(spelled.partition(".")[2]) >= 2


@given(st.integers(0, 10**18 - 1))
def test_integers_beyond_the_precision_of_a_float_are_kept(value):
    assert read(str(value)) == f"{value}.00"


@given(st.text(max_size=60) | st.text("0123456789.,-+eE ", max_size=60))
def test_any_text_is_an_amount_or_has_an_error_code(text):
    found = amount(text, path="value")

    assert isinstance(found, Fault) or amount(found, path="value") == found


def test_amounts_are_never_floats():
    assert "float" not in vars(money)
    assert all(not isinstance(value, float) for value in vars(money).values())


@pytest.mark.parametrize("text", ["EUR", "eur", " Eur ", "eUR\n"])
def test_currency_can_be_written_in_any_case(text):
    assert currency(text, path="currency") == "EUR"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EU",
        "EURO",
        "XXX",
        "XXX1",
        "XAU",
        "BTC",
        "ZZZ",
        "€",
        "EU R",
        "E\x00R",
        "\uff45\uff55\uff52",
    ],
)
def test_invalid_currency_has_an_error_code(text):
    assert currency(text, path="currency").code == "currency_unknown"


def test_message_about_a_currency_quotes_only_a_short_code():
    assert currency("XXX1", path="c").message == '"XXX1" is not a currency code of ISO 4217'
    assert (
        currency("bob@example.com", path="c").message == "this is not a currency code of ISO 4217"
    )
