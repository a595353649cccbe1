import pytest

from twite.formats.files.rows import read_items


def items(cell):
    return read_items(cell, currency="EUR", decimal=None)


@pytest.mark.parametrize(
    ("cell", "contents"),
    [
        (
            "CAP-7 x2 @18.00 | PRINT-A2 x1 @120.00",
            [
                {"id": "CAP-7", "quantity": 2, "price": "18.00"},
                {"id": "PRINT-A2", "quantity": 1, "price": "120.00"},
            ],
        ),
        ("TEE-L x5 @3992,00", [{"id": "TEE-L", "quantity": 5, "price": "3992.00"}]),
        ("2 x CAP-7; TEE-L", [{"id": "CAP-7", "quantity": 2}, {"id": "TEE-L"}]),
        ("Box x ray \u00d73", [{"id": "Box x ray", "quantity": 3}]),
        (
            '[{"sku": "CAP-7", "qty": "2", "unit_price": 18.00, "title": "Cap"}]',
            [{"id": "CAP-7", "name": "Cap", "quantity": 2, "price": "18.00"}],
        ),
    ],
)
def test_items_of_an_order_in_one_cell_are_read(cell, contents):
    assert items(cell) == contents


@pytest.mark.parametrize(
    "cell",
    ["CAP-7 x0 @18.00", "CAP-7 x2 @cheap", "[1, 2]", "[{]", "[]", "{}", "[{}]",
     '[{"sku": "A", "qty": -1}]', "A | @3", "CAP-7 x2 @-5.00", "[" * 5000],
)  # fmt: skip
def test_unreadable_cell_of_items_is_none(cell):
    assert items(cell) is None
