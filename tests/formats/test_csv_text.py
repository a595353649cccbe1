"""CSV for spreadsheets."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.formats.files.csv_text import csv_text, harmless


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", " =1", "\u200b=1"]
    + [f"{sign}1" for sign in "\uff1d\uff0b\uff0d\uff20"],
)
def test_possible_formula_is_exported_as_text(text):
    assert harmless(text).startswith("'")


@pytest.mark.parametrize("text", ["order-1", "", "49.90 EUR", "a=b", "<script>"])
def test_text_that_is_no_formula_is_exported_unchanged(text):
    assert harmless(text) == text


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_no_cell_is_a_formula_or_leaves_its_quotes(texts):
    (head, row) = csv.reader(io.StringIO(csv_text([["h"] * len(texts), texts]), newline=""))

    assert len(row) == len(head) == len(texts)
    assert all(
        field[:1] not in set("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20") or not field for field in row
    )


def test_cell_is_limited_to_the_length_of_a_spreadsheet_harmless():
    assert len(harmless("x" * (1 << 20))) == 32_767
