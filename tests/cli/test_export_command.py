"""`twite export`: targets, ranges, and what it prints."""

import asyncio
import csv
import json
from pathlib import Path

import asyncpg
import pytest

from twite.gateway.operations.export_rows import NAMES, SCHEMA_VERSION

EXPORT = """
[[export]]
name = "warehouse"
to = "env:WAREHOUSE"
table = "sent"
"""


async def states_in(url, table="twite_conversions"):
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(f"SELECT conversion_id, state FROM {table}")  # noqa: S608
    await connection.close()
    return dict(map(tuple, rows))


def with_export(shop: Path) -> str:
    shop.write_text(shop.read_text() + EXPORT)
    return str(shop)


def test_file_gets_all_conversions(command, shop, tmp_path):
    path = tmp_path / "all.csv"

    code, out, err = command("export", "--to", str(path), "-c", str(shop))

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (code, err) == (0, "")
    assert out == f"{len(rows)} rows to {path}, of {len(rows)} conversions\n"
    assert tuple(rows[0]) == NAMES
    assert len(rows) >= 4


def test_summary_is_json(command, shop, tmp_path):
    path = tmp_path / "all.parquet"

    code, out, _ = command(
        "export", "--since", "2020-01-01", "--to", str(path), "--json", "-c", str(shop)
    )

    summary = json.loads(out)
    assert code == 0
    assert summary == {
        "to": str(path),
        "schema_version": SCHEMA_VERSION,
        "since": "2020-01-01T00:00:00.000Z",
        "until": None,
        "read": summary["rows"],
        "rows": summary["rows"],
        "rejected": 0,
    }
    assert summary["rows"] >= 4


def test_range_limits_the_rows(command, shop, tmp_path):
    path = tmp_path / "none.csv"

    code, out, _ = command(
        "export", "--since", "2020-01-01", "--until", "2020-01-02", "--to", str(path),
        "-c", str(shop),
    )  # fmt: skip

    assert (code, out) == (0, f"0 rows to {path}, of 0 conversions\n")


def test_range_that_ends_before_it_begins_is_refused_and_keeps_the_file(command, shop, tmp_path):
    path = tmp_path / "good.csv"
    path.write_text("good")

    code, _, err = command(
        "export", "--since", "2020-01-02", "--until", "2020-01-01", "--to", str(path),
        "-c", str(shop),
    )  # fmt: skip

    assert code == 2
    assert "the range ends before it begins" in err
    assert path.read_text() == "good"


def test_database_is_named_by_a_variable(command, shop, empty_postgres_url, monkeypatch):
    monkeypatch.setenv("WAREHOUSE", empty_postgres_url)

    first = command("export", "--to", "env:WAREHOUSE", "-c", str(shop))
    second = command("export", "--to", "env:WAREHOUSE", "-c", str(shop), "--json")

    assert first[0] == second[0] == 0
    assert len(asyncio.run(states_in(empty_postgres_url))) >= 4
    assert json.loads(second[1])["rows"] == 0


def test_export_of_the_settings_is_named(command, shop, empty_postgres_url, monkeypatch):
    monkeypatch.setenv("WAREHOUSE", empty_postgres_url)
    path = with_export(shop)

    code, _, err = command("export", "warehouse", "-c", path)

    assert (code, err) == (0, "")
    assert len(asyncio.run(states_in(empty_postgres_url, "sent"))) >= 4


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "name an [[export]] of the settings, or a target with --to"),
        (("warehouse", "--to", "a.csv"), "name an [[export]] of the settings, or a target"),
        (("warehous",), "Did you mean 'warehouse'?"),
        (("warehouse", "--since", "1d"), "is a key of the [[export]]"),
        (("--to", "a.xlsx"), "neither a URL nor a file that ends in .csv or .parquet"),
        (("--to", "mysql://db/shop"), "is not the URL of a target"),
        (("--to", "s3://bucket/file.parquet"), "does not name a prefix of objects"),
        (("--to", "postgresql://db/shop", "--table", "a b"), "is not the name of a table"),
        (("--to", "env:NO_SUCH"), "the environment variable 'NO_SUCH' is not set"),
    ],
)
def test_wrong_options_are_named(command, shop, monkeypatch, words, complaint):
    monkeypatch.setenv("WAREHOUSE", "postgresql://db/shop")
    monkeypatch.setenv("COLUMNS", "300")

    code, _, err = command("export", *words, "-c", with_export(shop))

    assert code in {1, 2}
    assert complaint in " ".join(err.split())


def test_password_of_the_target_is_not_shown(command, shop, monkeypatch):
    monkeypatch.setenv("WAREHOUSE", "postgresql://twite:a-canary@127.0.0.1:1/shop")

    code, out, err = command("export", "--to", "env:WAREHOUSE", "-c", str(shop))

    assert code != 0
    assert "postgresql://twite@127.0.0.1:1/shop: the server refuses connections" in err
    assert "canary" not in out + err
