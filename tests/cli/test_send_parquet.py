import datetime as dt
import decimal
import sys

import polars as pl
import pytest

from twite.domain.errors import ClientError
from twite.formats.files.cells import read_amount
from twite.formats.files.values import as_text
from twite.readers.input_file import local_file
from twite.readers.parquet import ParquetMissing, ParquetTable


def test_missing_polars_is_explained(tmp_path):
    def nowhere(name):
        raise ImportError(name)

    with pytest.raises(ParquetMissing, match=r"-m pip install polars`") as caught:
        ParquetTable(local_file(tmp_path / "orders.parquet"), nowhere)

    # This project does not own the name on PyPI: another owner could run code on users' machines.
    assert "install twite" not in str(caught.value)
    assert "install 'twite" not in str(caught.value)


def test_unreadable_parquet_file_reports_the_first_line_of_the_error(tmp_path):
    file = tmp_path / "orders.parquet"
    file.write_bytes(b"PAR1" + b"x" * 99)

    with pytest.raises(ClientError, match=r"orders\.parquet: cannot be read as Parquet: [^\n]+$"):
        ParquetTable(local_file(file))


def test_rows_of_a_parquet_file_are_numbered_across_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[ParquetTable.__module__], "_BATCH", 2)
    file = tmp_path / "orders [1].parquet"
    rows = {"order_id": ["o-1", "o-2", "o-3"], "total": [1.5, None, 2.0]}
    pl.DataFrame(rows).write_parquet(file)

    table = ParquetTable(local_file(file))

    assert (table.header, table.height) == (("order_id", "total"), 3)
    assert list(table.rows()) == [(1, ["o-1", "1.50"]), (2, ["o-2", ""]), (3, ["o-3", "2.00"])]


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
