"""An export into a file has the conversions of a range as they are."""

import csv
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from export_stage import DAY, NOW, STATES, ExportStage

from twite.app.export import file_export
from twite.domain.errors import ClientError
from twite.domain.times import SECOND, spelled
from twite.gateway.operations.export_rows import NAMES


@pytest.fixture
async def stage(tmp_path):
    stage = await ExportStage.begin(tmp_path, None)
    yield stage
    await stage.store.close()


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


async def test_csv_and_parquet_have_the_same_rows(stage, tmp_path):
    await stage.fill()

    run = await stage.export(tmp_path / "all.csv")
    await stage.export(tmp_path / "all.parquet")

    rows = rows_of(tmp_path / "all.csv")
    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert run.rows == 6
    assert tuple(rows[0]) == tuple(frame.columns) == NAMES
    assert {row["conversion_id"]: row["state"] for row in rows} == {
        name: name for name in (*STATES, "rejected")
    }
    assert frame["key"].to_list() == [row["key"] for row in rows]
    first = frame.row(0, named=True)
    assert first["received_at"] == datetime.fromtimestamp(NOW / SECOND, UTC)
    assert (first["value"], first["test"], first["attempts"]) == (Decimal("49.90"), False, 1)
    assert (rows[0]["value"], rows[0]["test"], rows[0]["attempts"]) == ("49.90", "false", "1")
    assert rows[0]["received_at"] == spelled(NOW)
    assert not list(tmp_path.glob("*.part"))


async def test_file_has_only_the_range(stage, tmp_path):
    for day in range(3):
        await stage.queue(f"day-{day}")
        stage.clock.jump(DAY)

    await stage.export(tmp_path / "day.csv", since=NOW + DAY, until=NOW + 2 * DAY)

    assert [row["conversion_id"] for row in rows_of(tmp_path / "day.csv")] == ["day-1"]


async def test_file_that_cannot_be_written_is_named(stage, tmp_path):
    with pytest.raises(ClientError, match=r"all.csv cannot be written: No such file or directory"):
        await stage.export(tmp_path / "none" / "all.csv")


async def test_parquet_without_polars_is_explained(stage, tmp_path, monkeypatch):
    monkeypatch.setattr(file_export, "polars", lambda: None)

    with pytest.raises(ClientError, match="needs the package polars"):
        await stage.export(tmp_path / "all.parquet")
