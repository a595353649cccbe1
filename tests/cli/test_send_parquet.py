import datetime as dt
import decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from twite.cli.send.files import ParquetMissing, ParquetTable, as_text, open_table
from twite.domain.errors import ClientError
from twite.formats.files.cells import read_amount


class Frame:
    """A few rows as polars returns them."""

    def __init__(self, columns, rows):
        self.columns = columns
        self.height = len(rows)
        self._rows = rows

    def iter_slices(self, n_rows):
        assert n_rows > 0
        return iter([Frame(self.columns, self._rows[:1]), Frame(self.columns, self._rows[1:])])

    def rows(self):
        return self._rows


def test_missing_polars_is_explained():
    def nowhere(name):
        raise ImportError(name)

    with pytest.raises(ParquetMissing, match=r"-m pip install polars`") as caught:
        open_table(Path("orders.parquet"), nowhere)

    # This project does not own the name on PyPI: another owner could run code on users' machines.
    assert "install twite" not in str(caught.value)
    assert "install 'twite" not in str(caught.value)


def test_unreadable_parquet_file_reports_the_first_line_of_the_error():
    class PolarsError(Exception):
        pass

    def refuse(path, *, glob):
        raise PolarsError("out of specification\nbacktrace …")

    polars = SimpleNamespace(
        read_parquet=refuse, exceptions=SimpleNamespace(PolarsError=PolarsError)
    )

    with pytest.raises(ClientError, match=r"orders\.parquet: .*: out of specification$"):
        open_table(Path("orders.parquet"), lambda _: polars)


def test_rows_are_numbered_across_slices_of_a_parquet_file():
    table = ParquetTable(Frame(["order_id", "total"], [("o-1", 1.5), ("o-2", None), ("o-3", 2)]))

    assert list(table.rows()) == [(1, ["o-1", "1.50"]), (2, ["o-2", ""]), (3, ["o-3", "2"])]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (12.5, "12.50"),
        (1.234, "1.2340"),
        (float("nan"), ""),
        (1e21, "1000000000000000000000"),
        (decimal.Decimal("1.234"), "1.2340"),
        (dt.datetime(2026, 11, 22, 6, tzinfo=dt.UTC), "2026-11-22T06:00:00+00:00"),
        (dt.datetime(2026, 11, 22, 6), "2026-11-22T06:00:00"),  # noqa: DTZ001 — Parquet has naive times
        (dt.date(2026, 11, 22), "2026-11-22"),
        (b"o-1", "o-1"),
        ([{"sku": "CAP-7", "qty": 2}], '[{"sku":"CAP-7","qty":2}]'),
    ],
)
def test_parquet_values_are_formatted_as_in_csv(value, text):
    assert as_text(value) == text


def test_amount_with_three_decimals_is_not_read_as_thousands():
    assert read_amount(as_text(1.234), currency="EUR", decimal=None).text == "1.2340"
