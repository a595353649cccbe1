"""Statements in PostgreSQL's dialect: parameters, results, and insertions at once."""

import re

import asyncpg
import pytest

from postgres_statements import has_rows
from twite.stores.postgres.statements import (
    STATEMENTS,
    PostgresStatement,
    at_once,
    shared,
)
from twite.stores.sql.rows.insertions import ROWS, TallyRow
from twite.stores.sql.rows.join_tables import KnownIdentifierRow
from twite.stores.sql.rows.tables import (
    AccountRow,
    AttemptedRow,
    CalledRow,
    DedupKeyRow,
    DedupReportRow,
    IdempotencyKeyRow,
    QueueRow,
)
from twite.stores.sql.statements import QUERIES

# PostgreSQL assigns ids, and counts in another table.
INSERTED = {
    AccountRow: ("source", "pixel"),
    DedupReportRow: DedupReportRow.__struct_fields__[1:],
    KnownIdentifierRow: KnownIdentifierRow.__struct_fields__[1:],
    IdempotencyKeyRow: IdempotencyKeyRow.__struct_fields__[1:],
    QueueRow: ("pixel", "event"),
}


async def test_postgresql_accepts_all_statements(postgres_url):
    """Each statement returns rows if the generated file says so."""
    driver = await asyncpg.connect(postgres_url)
    try:
        for name, found in STATEMENTS.items():
            prepared = await driver.prepare(found.text)
            assert len(prepared.get_parameters()) == len(found.names), name
            assert bool(prepared.get_attributes()) is found.has_rows, name
    finally:
        await driver.close()


def test_values_are_passed_in_the_order_of_their_first_use():
    assert STATEMENTS["next_keys"].names == ("after", "limit")
    assert STATEMENTS["next_keys"].values({"limit": 9, "after": b"", "more": 1}) == [b"", 9]
    assert STATEMENTS["next_keys"].values((b"", 9)) == (b"", 9)


def test_parameter_has_one_number_in_a_statement():
    text = STATEMENTS["forget_keys"].text

    assert STATEMENTS["forget_keys"].names == ("keys", "before")
    assert re.findall(r"\$\d", text) == ["$1", "$2"]
    assert STATEMENTS["claim_usual"].names.count("node") == 1


def test_postgresql_statement_replaces_the_shared_one():
    assert "FOR UPDATE" not in QUERIES["to_cut"]
    assert STATEMENTS["to_cut"].text.endswith(" FROM submission WHERE id = $1 FOR UPDATE")


def test_statement_is_found_by_the_text_of_the_shared_one():
    assert shared(QUERIES["accounts"]) == STATEMENTS["accounts"]
    assert shared("COMMIT") == PostgresStatement("COMMIT", (), has_rows=False)
    assert shared("SELECT 1") == PostgresStatement("SELECT 1", (), has_rows=True)


@pytest.mark.parametrize(
    ("text", "returns"),
    [
        ("SELECT 1", True),
        ("LOCK TABLE a", False),
        ("DELETE FROM a", False),
        ("DELETE FROM a RETURNING b", True),
        ("INSERT INTO a\nSELECT 1", False),
        ("WITH a AS (\nSELECT 1)\nDELETE FROM b", False),
        ("WITH a AS (\nDELETE FROM b)\nSELECT 1", True),
    ],
)
def test_main_verb_of_a_statement_says_whether_it_returns_rows(text, returns):
    assert has_rows(text) is returns


def test_several_insertions_in_a_statement_have_consecutive_parameters():
    assert at_once(((CalledRow, ("delivery", "name")), (AttemptedRow, ("attempt",)))) == (
        'WITH add_called AS (INSERT INTO "called" AS known ("delivery", "name") '
        'SELECT unnest($1::bigint[]) AS "delivery", unnest($2::text[]) AS "name"), '
        'add_attempted AS (INSERT INTO "attempted" AS known ("attempt") '
        'SELECT unnest($3::bigint[]) AS "attempt") SELECT 1'
    )


async def test_postgresql_accepts_the_insertion_of_each_table(postgres_url):
    driver = await asyncpg.connect(postgres_url)
    try:
        for kind in {*ROWS, TallyRow} - {DedupKeyRow}:
            await driver.prepare(at_once(((kind, INSERTED.get(kind, kind.__struct_fields__)),)))
    finally:
        await driver.close()
