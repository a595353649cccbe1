import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.formats.files.cells import Amount, read_amount
from twite.formats.files.findings import RowFinding


def read(cell, *, currency="EUR", decimal=None):
    return read_amount(cell, currency=currency, decimal=decimal)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("12.50", "12.50"),
        ("400", "400"),
        ("12,50", "12.50"),
        ("1,234.50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1.234.567", "1234567"),
        ("12,34,567.50", "1234567.50"),
        ("1 234,50", "1234.50"),
        ("1\u202f234,50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("0,500", "0.500"),
        ("1234,500", "1234.500"),
        ("+5.00", "5.00"),
        ("-0.00", "0.00"),
        (" 9.99 ", "9.99"),
    ],
)
def test_every_spelling_of_an_amount_is_read(cell, text):
    amount = read(cell)

    assert isinstance(amount, Amount)
    assert amount.text == text


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("GBP 55.45", Amount(text="55.45", currency="GBP", reread=True)),
        ("55,45 gbp", Amount(text="55.45", currency="GBP", reread=True)),
        ("JPY14400", Amount(text="14400", currency="JPY", reread=True)),
        ("€ 12,50", Amount(text="12.50", currency="EUR", reread=True)),
        ("12.50 £", Amount(text="12.50", currency="GBP", reread=True)),
        ("$12.50", Amount(text="12.50", sign="$", reread=True)),
    ],
)
def test_unambiguous_currency_beside_the_amount_is_used(cell, amount):
    assert read(cell, currency=None) == amount


@pytest.mark.parametrize("cell", ["-5.00", "\u22125,00", "5.00-", "(5.00)", "EUR -5.00"])
def test_negative_amount_in_a_file_is_refused(cell):
    refused = read(cell)

    assert isinstance(refused, RowFinding)
    assert refused.code == "amount_negative"


@pytest.mark.parametrize("cell", ["1,234", "1.234", "12,950"])
def test_separator_before_three_digits_is_ambiguous(cell):
    refused = read(cell)

    assert isinstance(refused, RowFinding)
    assert refused.code == "amount_ambiguous"
    assert "--decimal" in refused.message


@pytest.mark.parametrize(
    ("cell", "decimal", "text"),
    [
        ("1,234", "comma", "1.234"),
        ("1,234", "point", "1234"),
        ("1.234", "comma", "1234"),
        ("1.234", "point", "1.234"),
        ("12.50", "comma", "12.50"),
    ],
)
def test_decimal_option_is_used_only_for_ambiguous_amounts(cell, decimal, text):
    assert read(cell, decimal=decimal).text == text


@pytest.mark.parametrize(
    ("cell", "currency", "text"),
    [("3,320", "JPY", "3320"), ("3.320", "KRW", "3320"), ("49.900", "BHD", "49.900")],
)
def test_number_of_decimals_of_the_currency_resolves_an_ambiguous_amount(cell, currency, text):
    assert read(cell, currency=currency).text == text


@pytest.mark.parametrize(
    "cell",
    ["free", "12.34.5", "1,23.4,5", "1,2345.00", ".", "1.", ",5", "1e3", "ABC 12", "١٢", "12 50"],
)
def test_invalid_amount_in_a_file_is_refused(cell):
    refused = read(cell)

    assert isinstance(refused, RowFinding)
    assert refused.code == "not_an_amount"


def test_amount_in_another_currency_than_its_column_is_refused():
    refused = read("GBP 55.45", currency="EUR")

    assert refused == RowFinding(
        field="value",
        code="currency_conflict",
        message="the amount contains GBP, but the currency column contains EUR: "
        "correct one of them",
    )


def test_email_in_the_amount_column_is_not_in_the_message():
    refused = read("shopper@example.com")

    assert "shopper" not in refused.message


@given(st.integers(0, 10**9), st.integers(0, 99), st.sampled_from([",.", ".,", " ,", "'."]))
def test_amount_with_thousands_separators_and_decimals_keeps_its_value(whole, cents, marks):
    grouped = f"{whole:,}".replace(",", marks[0])

    amount = read(f"{grouped}{marks[1]}{cents:02d}")

    assert amount.text == f"{whole}.{cents:02d}"


@given(st.text(max_size=30))
def test_any_text_is_an_amount_of_digits_or_refused(text):
    read_as = read(text)

    assert isinstance(read_as, RowFinding) or set(read_as.text) <= set("0123456789.")
