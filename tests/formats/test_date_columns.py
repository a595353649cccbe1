import pytest

from twite.formats.files.date_columns import unmapped_times
from twite.formats.files.table import recognise

DATES = [
    "2026-11-30",
    "2026-11-30T10:00:00Z",
    "20261130T100000Z",
    "30.11.2026 10:00",
    "30.11.26",
    "11/30/2026",
    "11/30/2026 10:00 PM",
    "30/11/26 10:00",
    "30-11-2026",
    "30-Nov-25",
    "30 Nov 2026",
    "30. November 2026, 10:00",
    "Nov 30, 2026 10:00",
    "November 30th, 2026 at 10:00 p.m.",
    "Mon, 30 Nov 2026 10:00:00 +0000",
    "Mon Nov 30 10:00:00 UTC 2026",
    "Monday, November 30, 2026",
    "30 de noviembre de 2026",
    "30 déc. 2026",
    "2026-Nov-30",
    "2026-11-30T10:00:00.000+01:00[Europe/Berlin]",
    "2026-11-30 10:00:00 Europe/Berlin",
    "1795327307",
]
OTHERS = [
    "CAP-7",
    "MAR-12",
    "12-MAR-450",
    "SKU-2026-11-30-7",
    "A-11-30-2026",
    "+44 20 7946 0958",
    "020-7946-0958",
    "01.23.45.67.89",
    "555-12-3456",
    "1.12.3",
    "v2.10.1",
    "203.0.113.7",
    "49.90",
    "1.234,50",
    "1,234,567",
    "EUR 49.90",
    "42",
    "20261130",
    "1795327307",
    "S-1001",
    "31-32-45",
    "99-99-2026",
    "marketing",
    "may",
    "2 x March 7, 1 x June 5",
    "12 Mayfair Road",
    "10:00",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
]


def found(name, *cells):
    columns = recognise(["order_id", name], {})
    return unmapped_times(columns, [["o-1", cell] for cell in cells])


@pytest.mark.parametrize("cell", DATES)
def test_unmapped_column_of_dates_is_found_in_each_spelling(cell):
    assert found("placed_at", cell) == ("placed_at",)


@pytest.mark.parametrize("cell", OTHERS)
def test_codes_phone_numbers_and_prices_are_no_dates(cell):
    assert found("note", cell) == ()


@pytest.mark.parametrize("other", ["N/A", "", "unknown", "later"])
def test_column_of_dates_may_have_other_cells(other):
    assert found("placed", other, *["30-Nov-25"] * 99) == ("placed",)


def test_column_with_few_dates_is_no_column_of_dates():
    assert found("note", "30-Nov-25", *["wrapped as a gift"] * 2) == ()


def test_dates_after_many_empty_cells_are_found():
    assert found("placed", *[""] * 400, "30-Nov-25") == ("placed",)


def test_numbers_are_times_if_the_name_of_the_column_says_so():
    assert found("placed_at", "46356.4167") == ("placed_at",)
    assert found("Bestelldatum", "46356") == ("Bestelldatum",)
    assert found("quantity", "46356") == ()
