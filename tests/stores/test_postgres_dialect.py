"""Statements in PostgreSQL's dialect: parameters, results, and insertions at once."""

import re

import asyncpg
import pytest

from twite.stores.postgres import dialect
from twite.stores.postgres.dialect import PostgresStatement, at_once, shared, statement
from twite.stores.sql.statements import QUERIES


async def test_postgresql_accepts_all_its_own_statements(postgres_url):
    """And each returns rows if the translation says so."""
    driver = await asyncpg.connect(postgres_url)
    try:
        for name in dialect._OWN:  # noqa: SLF001
            found = statement(name)
            prepared = await driver.prepare(found.text)
            # Insertions are numbered already, see `at_once`.
            assert len(prepared.get_parameters()) == len(found.names) or not found.names, name
            assert bool(prepared.get_attributes()) is found.has_rows, name
    finally:
        await driver.close()


def test_values_are_passed_in_the_order_of_their_first_use():
    assert statement("next_keys").names == ("after", "limit")
    assert statement("next_keys").values({"limit": 9, "after": b"", "more": 1}) == [b"", 9]
    assert statement("next_keys").values((b"", 9)) == (b"", 9)


def test_parameter_has_one_number_in_a_statement():
    text = statement("forget_keys").text

    assert statement("forget_keys").names == ("keys", "before")
    assert re.findall(r"\$\d", text) == ["$1", "$2"]
    assert statement("claim_usual").names.count("node") == 1


def test_own_statement_replaces_the_shared_one(monkeypatch):
    monkeypatch.setitem(QUERIES, "a_query", "SELECT sum(a) FROM b WHERE c = :c")
    monkeypatch.setitem(dialect._OWN, "a_query", "SELECT sum(b) FROM c")  # noqa: SLF001

    assert statement("a_query").text == "SELECT sum(b) FROM c"


def test_shared_statement_is_translated(monkeypatch):
    monkeypatch.setitem(QUERIES, "other_query", "SELECT sum(a) FROM b WHERE c = :c")

    found = PostgresStatement("SELECT sum(a)::bigint FROM b WHERE c = $1", ("c",))
    assert statement("other_query") == found


def test_shared_statement_is_translated_by_its_text():
    assert shared(QUERIES["accounts"]) == statement("accounts")
    assert shared("COMMIT") == PostgresStatement("COMMIT", (), has_rows=False)


@pytest.mark.parametrize(
    ("text", "has_rows"),
    [
        ("SELECT 1", True),
        ("SET a = 1", False),
        ("DELETE FROM a", False),
        ("DELETE FROM a RETURNING b", True),
        ("INSERT INTO a\nSELECT 1", False),
        ("WITH a AS (\nSELECT 1)\nDELETE FROM b", False),
        ("WITH a AS (\nDELETE FROM b)\nSELECT 1", True),
    ],
)
def test_main_verb_of_a_statement_says_whether_it_returns_rows(text, has_rows):
    assert shared(text).has_rows is has_rows


def test_insertions_at_once_have_continuous_parameters():
    names = ("add_called", "count_flow", "add_called")
    counts = [len(set(re.findall(r"\$\d+", dialect._OWN[name]))) for name in names]  # noqa: SLF001

    parts = at_once(names).split(" AS (insert INTO ")[1:]
    places = [sorted({int(place) for place in re.findall(r"\$(\d+)", part)}) for part in parts]

    assert [place for part in places for place in part] == list(range(1, sum(counts) + 1))
    assert [len(part) for part in places] == counts
    assert at_once(("add_called",)).startswith("WITH add_called AS (insert INTO called ")
    assert at_once(("add_called",)).endswith(") SELECT 1")
