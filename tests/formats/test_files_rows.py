from datetime import UTC

import msgspec
import pytest

from twite.domain.fault import CODES
from twite.formats.files.findings import ERRORS, NOTES, RowIds
from twite.formats.files.rows import RowOptions, Rows
from twite.formats.files.table import recognise

HEADER = ("order_id", "created_at", "event", "total", "currency", "email", "phone", "twclid", "ip")
GOOD = {
    "order_id": "W-1",
    "created_at": "2026-11-22T06:00:52Z",
    "event": "purchase",
    "total": "12.50",
    "currency": "EUR",
    "email": "shopper@example.com",
}


def reader(header=HEADER, **said):
    return Rows(recognise(header, {}), RowOptions(**said), ids=RowIds())


def read(*, said=None, **cells):
    header = (*HEADER, *(name for name in cells if name not in HEADER))
    row = GOOD | cells
    return reader(header, **(said or {})).read(2, [row.get(name, "") for name in header])


def conversion(row):
    return msgspec.json.decode(row.body)


def codes(findings):
    return [(finding.field, finding.code) for finding in findings]


def test_row_becomes_a_native_conversion():
    row = read(total="12,50", currency="eur", phone="+44 20 7946 0958", items="CAP-7 x1 @12.50")

    assert conversion(row) == {
        "conversion_id": "W-1",
        "event": "purchase",
        "time": "2026-11-22T06:00:52.000Z",
        "value": "12.50",
        "contents": [{"id": "CAP-7", "quantity": 1, "price": "12.50"}],
        "currency": "EUR",
        "email": "shopper@example.com",
        "phone": "+44 20 7946 0958",
    }
    assert codes(row.notes) == [("value", "amount_read")]


@pytest.mark.parametrize(
    "placeholder",
    ["undefined", "null", "N/A", "unknown", "None", "-", "[object Object]", " null ", "0"],
)
def test_placeholder_as_a_click_id_is_empty_and_noted(placeholder):
    row = read(twclid=placeholder)

    assert "twclid" not in conversion(row)
    assert codes(row.notes) == [("twclid", "placeholder")]


def test_placeholder_as_an_order_id_is_replaced_by_the_id_of_the_row():
    row = read(order_id="null")

    assert conversion(row)["conversion_id"] == row.order == read(order_id="null").order
    assert len(row.order) == 26


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!"])
def test_error_of_a_spreadsheet_is_no_order_id_and_no_amount(cell):
    assert codes(read(order_id=cell).notes) == [("conversion_id", "placeholder")]
    assert codes(read(total=cell).errors) == [("value", "not_an_amount")]


def test_cell_that_a_spreadsheet_keeps_as_text_is_read_without_its_formula():
    row = read(order_id='="007"', total='="12.50"')

    assert (conversion(row)["conversion_id"], conversion(row)["value"]) == ("007", "12.50")


@pytest.mark.parametrize(
    ("cell", "phone"),
    [
        ("1512345678.0", "1512345678"),
        ("+447912345678.00", "+447912345678"),
        ("020.7946.0958", "020.7946.0958"),
        ("2079460.0958", "2079460.0958"),
    ],
)
def test_decimals_of_a_phone_number_are_no_digits_of_it(cell, phone):
    assert conversion(read(phone=cell))["phone"] == phone


def test_order_id_that_became_a_decimal_number_is_noted():
    row = read(order_id="1001.0")

    assert conversion(row)["conversion_id"] == "1001.0"
    assert codes(row.notes) == [("conversion_id", "id_decimal")]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"total": "$12.50", "currency": "EUR"}, {}),
        ({"total": "$12.50", "currency": ""}, {"currency": "EUR"}),
        ({"total": "¥1250", "currency": "USD"}, {}),
    ],
)
def test_sign_of_another_currency_is_refused(cells, said):
    assert codes(read(said=said, **cells).errors) == [("value", "currency_conflict")]


@pytest.mark.parametrize(
    ("cell", "currency"), [("$12.50", "USD"), ("$12.50", "CAD"), ("¥1250", "CNY")]
)
def test_sign_of_several_currencies_fits_each_of_them(cell, currency):
    assert read(total=cell, currency=currency).errors == ()


def test_row_without_an_id_among_rows_with_ids_is_noted():
    assert codes(read(order_id="").notes) == [("conversion_id", "id_derived")]
    assert codes(reader(["email", "event"]).read(2, ["a@b.co", "lead"]).notes) == []


def test_total_of_zero_is_not_a_placeholder():
    assert conversion(read(total="0"))["value"] == "0"


def test_order_without_an_amount_has_no_value_and_currency():
    sent = conversion(read(total=""))

    assert "value" not in sent
    assert "currency" not in sent


def test_currency_beside_an_amount_is_used_if_the_column_is_empty():
    row = read(total="GBP 55.45", currency="")

    assert conversion(row)["currency"] == "GBP"
    assert codes(row.notes) == [("currency", "currency_read")]


def test_currency_beside_an_amount_is_used_if_the_column_is_invalid():
    assert conversion(read(total="EUR 602.50", currency="XX"))["currency"] == "EUR"


def test_default_currency_applies_to_rows_without_one():
    assert conversion(read(currency="", said={"currency": "CHF"}))["currency"] == "CHF"
    assert conversion(read(currency="EUR", said={"currency": "CHF"}))["currency"] == "EUR"


@pytest.mark.parametrize(
    ("cells", "errors"),
    [
        ({"total": "-5.00"}, [("value", "amount_negative")]),
        ({"currency": ""}, [("currency", "currency_missing")]),
        ({"currency": "XX"}, [("currency", "currency_unknown")]),
        ({"total": "1,234"}, [("value", "amount_ambiguous")]),
        ({"total": "GBP 5.00"}, [("value", "currency_conflict")]),
        ({"event": ""}, [("event", "event_missing")]),
        ({"created_at": ""}, [("time", "time_missing")]),
        ({"created_at": "2026-11-22 06:00"}, [("time", "not_a_time")]),
        ({"consent": "perhaps"}, [("consent", "consent_unreadable")]),
        (
            {"created_at": "", "total": "-5.00"},
            [("time", "time_missing"), ("value", "amount_negative")],
        ),
    ],
)
def test_invalid_row_is_refused_with_every_reason(cells, errors):
    row = read(**cells)

    assert row.body is None
    assert codes(row.errors) == errors


def test_options_set_the_event_and_the_zone_of_rows():
    said = {"event": "lead", "zone": UTC}

    sent = conversion(read(event="", created_at="2026-11-22 06:00", said=said))

    assert sent["event"] == "lead"
    assert sent["time"] == "2026-11-22T06:00:00.000Z"


@pytest.mark.parametrize(
    ("cell", "consent"),
    [
        ("denied", {"ad_storage": "denied"}),
        ("No", {"ad_storage": "denied"}),
        ("false", {"ad_storage": "denied"}),
        ("0", {"ad_storage": "denied"}),
        ("f", {"ad_storage": "denied"}),
        ("t", {"ad_storage": "granted"}),
        ("granted", {"ad_storage": "granted"}),
        ("TRUE", {"ad_storage": "granted"}),
        ("", None),
        ("unknown", None),
    ],
)
def test_every_consent_cell_becomes_a_consent_signal(cell, consent):
    assert conversion(read(consent=cell)).get("consent") == consent


def test_unreadable_items_are_omitted_with_a_note():
    row = read(items="CAP-7 x0")

    assert "contents" not in conversion(row)
    assert codes(row.notes) == [("contents", "items_unread")]


@pytest.mark.parametrize(("cells", "code"), [(8, "cells_missing"), (10, "cells_too_many")])
def test_row_with_a_wrong_number_of_cells_is_refused(cells, code):
    row = reader().read(7, ["x"] * cells)

    assert codes(row.errors) == [("", code)]


def test_repeated_order_is_noted_with_its_first_row():
    rows = reader()
    cells = [GOOD.get(name, "") for name in HEADER]
    rows.read(2, cells)

    again = rows.read(9, [cell.upper() if "@" in cell else cell for cell in cells])

    assert codes(again.notes) == [("conversion_id", "same_as_earlier")]
    assert again.notes[0].message == "the same order and event as row 2"


def test_repeated_order_with_another_value_is_refused():
    rows = reader()
    rows.read(2, [GOOD.get(name, "") for name in HEADER])

    again = rows.read(3, [(GOOD | {"total": "1.00"}).get(name, "") for name in HEADER])

    assert codes(again.errors) == [("conversion_id", "id_shared")]
    assert again.body is None
    assert "different value" in again.errors[0].message


def test_same_order_id_with_another_event_is_another_conversion():
    rows = reader()
    rows.read(2, [GOOD.get(name, "") for name in HEADER])

    other = rows.read(3, [(GOOD | {"event": "lead"}).get(name, "") for name in HEADER])

    assert other.notes == ()


def test_repr_of_a_row_hides_personal_data():
    assert "shopper" not in repr(read())


def test_codes_of_files_differ_from_codes_of_the_gateway():
    assert not (ERRORS.keys() | NOTES.keys()) & CODES.keys()
