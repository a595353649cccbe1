import datetime as dt
import decimal
import sys
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from send_gateway_double import YESTERDAY

from twite.cli import run
from twite.domain.errors import ClientError
from twite.formats.files.cells import read_amount
from twite.formats.files.values import as_cell
from twite.readers.input_file import InputFile, local_file
from twite.readers.parquet import ParquetMissing, ParquetTable


def test_parquet_object_that_is_too_large_for_memory_is_refused_with_a_fix(monkeypatch):
    monkeypatch.setattr("twite.readers.parquet.MOST_IN_MEMORY", 4)
    stored = InputFile(
        name="a.parquet",
        location="s3://b/a.parquet",
        path=Path("a"),
        open=lambda: BytesIO(b"PAR1x"),
    )

    with pytest.raises(ClientError, match=r"s3://b/a\.parquet: larger than .* download it"):
        ParquetTable(stored)


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
        (1e21, "1000000000000000000000"),
        (decimal.Decimal("1.234"), "1.2340"),
        (dt.datetime(2026, 11, 22, 6, tzinfo=dt.UTC), "2026-11-22T06:00:00+00:00"),
        (dt.datetime(2026, 11, 22, 6), "2026-11-22T06:00:00"),  # noqa: DTZ001 — Parquet has naive times
        (dt.date(2026, 11, 22), "2026-11-22"),
        (b"o-1", "o-1"),
        (b"\xa0\xee", "a0ee"),
        (memoryview(b"o-1"), "o-1"),
        (decimal.Decimal("NaN"), "NaN"),
        (decimal.Decimal("-Infinity"), "-Infinity"),
        ([{"sku": "CAP-7", "qty": 2}], '[{"sku":"CAP-7","qty":2}]'),
        ([{"price": 24.950000762939453, "qty": 2.0}], '[{"price":null,"qty":2}]'),
    ],
)
def test_parquet_values_are_formatted_as_in_csv(value, text):
    assert as_cell(value) == text


def test_amount_with_three_decimals_is_not_read_as_thousands():
    assert read_amount(as_cell(1.234), currency="EUR", decimal=None).text == "1.2340"


ORDER = {
    "order_id": "o-1", "event": "purchase", "total": decimal.Decimal("49.90"), "currency": "EUR",
    "email": "a@example.com", "created_at": YESTERDAY, "phone": None, "user_id": None,
}  # fmt: skip


def sent(place, *rows, **schema):
    frame = pl.DataFrame([ORDER | row for row in rows], schema_overrides=schema)
    frame.write_parquet(place / "orders.parquet")
    return run(["send", "orders.parquet", "--yes"])


@pytest.mark.parametrize(
    ("column", "number"),
    [("total", 49.9), ("order_id", 1001.0), ("phone", 447911123456.0), ("user_id", 7.0)],
)
def test_column_of_floating_point_numbers_refuses_the_file(
    place, gateway, capsys, *, column, number
):
    assert sent(place, {column: number}, **{column: pl.Float64}) == 1
    text = " ".join(capsys.readouterr().err.split())
    assert f'the column "{column}" has floating-point numbers' in text
    assert gateway.requests == []


def test_exact_columns_of_a_parquet_file_are_sent(place, gateway):
    assert sent(place, {"phone": "+447911123456", "user_id": 7}) == 0
    (conversion,) = gateway.sent
    assert (conversion["value"], conversion["user_id"]) == ("49.90", "7")


def test_floating_point_number_after_the_first_rows_rejects_its_row(place, gateway):
    rows = [{"order_id": f"o-{number}", "total": None} for number in range(600)]
    rows.append({"order_id": "o-inexact", "total": 0.1})
    rows.append({"order_id": "o-nan", "total": float("nan")})

    assert sent(place, *rows, total=pl.Float64) == 1
    report = (place / "orders.parquet.report.csv").read_text("utf-8-sig")
    rejected = [line for line in report.splitlines() if ",rejected," in line]
    assert [line.split(",")[1:4] for line in rejected] == [
        ["o-inexact", "rejected", "number_inexact"],
        ["o-nan", "rejected", "number_inexact"],
    ]


def test_damaged_parquet_file_that_makes_polars_panic_is_unreadable(tmp_path, monkeypatch):
    def panic(*_args, **_options):
        raise pl.exceptions.PanicException("range end out of bounds")

    monkeypatch.setattr(pl, "scan_parquet", panic)

    with pytest.raises(ClientError, match="cannot be read as Parquet: range end"):
        ParquetTable(local_file(tmp_path / "orders.parquet"))
