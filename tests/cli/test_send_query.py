"""`twite send --query` on SQLite, on PostgreSQL, and through SQLAlchemy."""

import csv
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from send_gateway_double import ids

from twite.cli import run

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
QUERY = "SELECT id AS order_id, 'purchase' AS event, at AS time, total, 'EUR' AS currency, email"
PERSON = "erika.zqmuster@canary.example"


@pytest.fixture
def database(place):
    """A SQLite file with three orders; ids above 2^53."""
    with closing(sqlite3.connect(place / "shop.db")) as made, made:
        made.execute("CREATE TABLE orders(id INTEGER, at TEXT, total TEXT, price REAL, email TEXT)")
        made.executemany(
            "INSERT INTO orders VALUES (?, ?, '49.90', 49.90, ?)",
            [(2**53 + number, YESTERDAY, f"{number}-{PERSON}") for number in (1, 2, 3)],
        )
    made.close()
    return "sqlite:///shop.db"


@pytest.fixture
def postgres(empty_postgres_url, postgres_server):
    name = empty_postgres_url.partition("@/")[2].partition("?")[0]
    postgres_server.psql(
        "CREATE TABLE orders (id bigint, at timestamptz, total numeric(12,2), price float8,"
        " free numeric, paid money, email text, ip inet, key uuid, items jsonb, local timestamp);"
        "INSERT INTO orders SELECT 9007199254740993, now() - interval '1 day', 49.90, 49.9, 1.234,"
        f" '12.50', '{PERSON}', '203.0.113.7', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',"
        ' \'[{"sku": "CAP-7", "price": 24.95, "quantity": 2}]\', now()',
        name,
    )
    return empty_postgres_url


def report(path="query.report.csv"):
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        return [(line["order"], line["verdict"], line["code"]) for line in csv.DictReader(file)]


def said(capsys):
    found = capsys.readouterr()
    return " ".join(re.sub("[│╭╮╰╯─]", " ", found.out + found.err).split())


def test_rows_of_a_query_are_sent_as_rows_of_a_file(place, gateway, database, capsys):
    code = run(["send", "--query", f"{QUERY} FROM orders;", database, "--yes"])

    assert code == 0
    assert ids(gateway.sent) == [str(2**53 + number) for number in (1, 2, 3)]
    assert {sent["value"] for sent in gateway.sent} == {"49.90"}
    assert [line[1] for line in report()] == ["accepted"] * 3
    text = capsys.readouterr()
    assert "query: query, sqlite:///shop.db" in text.err
    assert re.search(r"all rows\s+│\s+3", text.out)
    assert PERSON not in text.out + text.err


def test_query_that_is_sent_again_reports_duplicates(place, gateway, database):
    command = ["send", "--query", f"{QUERY} FROM orders", database, "--yes"]
    run(command)

    assert run(command) == 0
    assert [line[1] for line in report()] == ["duplicate"] * 3


def test_query_and_url_can_be_in_a_file_and_a_variable(place, gateway, database, monkeypatch):
    (place / "orders.sql").write_text(f"{QUERY}\nFROM orders -- all\n")
    monkeypatch.setenv("SHOP_DATABASE", database)

    assert run(["send", "--query", "file:orders.sql", "env:SHOP_DATABASE", "--yes"]) == 0
    assert len(gateway.sent) == 3


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELECT at AS time, total FROM orders", "has no column with the order id"),
        (f"{QUERY.replace('total', 'price')} FROM orders", "printf('%.2f', price) AS price"),
        (f"{QUERY.replace('id AS', 'price AS')} FROM orders", 'the column "order_id" has floating'),
        (f"{QUERY} FROM nowhere", "no such table: nowhere"),
        ("DELETE FROM orders RETURNING id AS order_id", "attempt to write a readonly database"),
    ],
)
def test_unsafe_query_sends_nothing(place, gateway, database, capsys, *, query, sentence):
    code = run(["send", "--query", query, database, "--yes", "--event", "purchase"])

    assert code == 1
    assert sentence in said(capsys)
    assert gateway.requests == []
    with closing(sqlite3.connect(place / "shop.db")) as kept, kept:
        assert kept.execute("SELECT count(*) FROM orders").fetchone() == (3,)
    kept.close()


def test_single_inexact_amount_of_a_query_is_rejected_alone(place, gateway, database):
    rows = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 600) \
        SELECT id AS order_id, 'purchase' AS event, 'EUR' AS currency, 'a@b.co' AS email, \
        CASE WHEN id = 599 THEN 0.1 ELSE '5.00' END AS total FROM n"

    assert run(["send", "--query", rows, database, "--yes"]) == 1
    assert [line for line in report() if line[1] != "accepted"] == [
        ("599", "rejected", "number_inexact")
    ]
    assert len(gateway.sent) == 599


def test_preview_checks_the_first_rows_and_sends_nothing(place, gateway, database, capsys):
    code = run(["send", "--query", f"{QUERY} FROM orders", database, "--preview", "2"])

    assert code == 0
    text = said(capsys)
    assert str(2**53 + 2) in text
    assert str(2**53 + 3) not in text
    assert gateway.requests == []
    assert not Path("query.report.csv").exists()


def test_dry_run_of_a_query_checks_every_row(place, gateway, database):
    assert run(["send", "--query", f"{QUERY} FROM orders", database, "--dry-run"]) == 0
    assert [line[1] for line in report("query.dry-run.csv")] == ["ready"] * 3
    assert gateway.requests == []


def test_column_of_dates_that_nothing_maps_stops_a_query(place, gateway, database, capsys):
    query = QUERY.replace("AS time", "AS placed_at")

    assert run(["send", "--query", f"{query} FROM orders", database, "--yes"]) == 2
    assert '--map time="placed_at"' in said(capsys)
    assert run(["send", "--query", f"{query} FROM orders", database, "--map", "time="]) == 0


def test_values_of_postgresql_are_exact(place, gateway, postgres):
    query = "SELECT id AS order_id, at AS time, total, items, ip, email FROM orders"

    code = run(["send", "--query", query, postgres, "--event", "purchase", "--currency", "EUR"])

    assert code == 0
    (sent,) = gateway.sent
    assert sent["conversion_id"] == "9007199254740993"
    assert (sent["value"], sent["ip"]) == ("49.90", "203.0.113.7")
    assert sent["contents"] == [{"id": "CAP-7", "price": "24.95", "quantity": 2}]
    assert sent["time"].endswith("Z")


@pytest.mark.parametrize(
    ("amount", "value"),
    [("free", "1.2340"), ("paid::numeric", "12.50"), ("round(free, 2)", "1.23")],
)
def test_amounts_of_postgresql_have_all_digits(place, gateway, postgres, amount, value):
    query = f"SELECT key AS order_id, at AS time, {amount} AS total, email FROM orders"  # noqa: S608

    assert (
        run(["send", "--query", query, postgres, "--event", "purchase", "--currency", "EUR"]) == 0
    )
    assert gateway.sent[0]["value"] == value
    assert gateway.sent[0]["conversion_id"] == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
def test_amount_that_is_not_a_number_rejects_its_row(place, gateway, postgres, *, amount):
    query = f"SELECT id AS order_id, at AS time, '{amount}'::numeric AS total, email FROM orders"  # noqa: S608

    assert run(["send", "--query", query, postgres, "--event", "purchase"]) == 1
    assert report() == [("9007199254740993", "rejected", "not_an_amount")]
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ("at AS time, price AS total", "CAST(total AS numeric(12,2)) AS total"),
        ("local AS time, total", "has no time zone: use --timezone"),
    ],
)
def test_values_of_postgresql_that_are_not_clear_are_refused(
    place, gateway, postgres, capsys, *, columns, sentence
):
    query = f"SELECT id AS order_id, email, {columns} FROM orders"  # noqa: S608

    assert (
        run(["send", "--query", query, postgres, "--event", "purchase", "--currency", "EUR"]) == 1
    )
    assert sentence in said(capsys)
    assert gateway.requests == []


def test_query_cannot_change_the_database(place, gateway, postgres, capsys):
    query = "DELETE FROM orders RETURNING id AS order_id"

    assert run(["send", "--query", query, postgres, "--event", "purchase", "--yes"]) == 1
    assert "read-only transaction" in said(capsys)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:a-canary-password@127.0.0.1:1/shop?sslmode=disable",
        "postgresql://shop:a-canary-password@/shop?host=/nowhere",
        "mysql+pymysql://shop:a-canary-password@127.0.0.1:1/shop",
        "nothing://shop:a-canary-password@127.0.0.1:1/shop",
        "sqlite:///nothing.db",
        "shop.db",
    ],
)
def test_unreachable_database_is_explained_without_its_password(place, gateway, capsys, url):
    assert run(["send", "--query", "SELECT 1 AS order_id", url, "--yes"]) == 1
    text = said(capsys)
    assert "canary" not in text
    assert "internal error" not in text


def test_errors_of_a_query_do_not_repeat_values(place, gateway, postgres, capsys):
    query = f"SELECT 'x {PERSON}'::int AS order_id"

    assert run(["send", "--query", query, postgres, "--event", "purchase"]) == 1
    assert "canary" not in said(capsys)


def test_other_databases_are_read_through_sqlalchemy(place, gateway, database):
    url = database.replace("sqlite:", "sqlite+pysqlite:")
    query = f"{QUERY}, '10:30' AS note FROM orders"

    assert run(["send", "--query", query, url, "--yes", "--json"]) == 0
    assert ids(gateway.sent) == [str(2**53 + number) for number in (1, 2, 3)]


def test_missing_sqlalchemy_is_explained(place, gateway, database, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sqlalchemy", None)

    assert run(["send", "--query", "SELECT 1", "mysql://shop@h/shop"]) == 1
    assert "-m pip install sqlalchemy" in said(capsys)


def test_query_needs_exactly_one_database(place, gateway, database, capsys):
    assert run(["send", "--query", QUERY, database, "orders.csv"]) == 2
    assert "needs one database's URL" in said(capsys)


def test_result_of_a_query_is_printed_as_json(place, gateway, database, capsys):
    run(["send", "--query", f"{QUERY} FROM orders", database, "--json"])

    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert (found["file"], found["format"], found["rows"]) == (database, "query", 3)
    assert (found["accepted"], found["not_sent"]) == (3, None)
