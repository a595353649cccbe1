"""The structs of rows, compared with the schemas of both engines."""

from contextlib import closing

import asyncpg
import msgspec
import pytest

from twite.stores.postgres.copying import OWN_COLUMNS
from twite.stores.sql.rows.insertions import ROWS, insertion
from twite.stores.sql.rows.tables import (
    AccountRow,
    CalledRow,
    DedupKeyRow,
    DedupReportRow,
    LeaseRow,
    OutboxRow,
)
from twite.stores.sqlite.engine.deployment import DeploymentRow
from twite.stores.sqlite.engine.schema import new_database

SQLITE = {"INTEGER": int, "TEXT": str, "BLOB": bytes, "REAL": float}
POSTGRES = {
    "bigint": int,
    "text": str,
    "bytea": bytes,
    "uuid": bytes,
    "boolean": bool,
    "double precision": float,
}
ONLY_IN_SQLITE = {LeaseRow: ["unmarked"]}
ONLY_IN_POSTGRES = {DedupKeyRow: ["at"]}


def columns_of(kind, *, without=()):
    """Return the columns of a row by name: type, and whether it may be NULL."""
    return {
        name: (plain(annotation), annotation == plain(annotation) | None and name != "id")
        for name, annotation in kind.__annotations__.items()
        if name in kind.__struct_fields__ and name not in without
    }


def plain(annotation):
    (found,) = {*getattr(annotation, "__args__", [annotation])} - {type(None)}
    return found


def in_sqlite(connection, kind):
    """Return the columns of a table: type, and whether it may be NULL."""
    return {
        name: (SQLITE[type_], not (is_required or key))
        for _, name, type_, is_required, _, key, generated in connection.execute(
            f'PRAGMA table_xinfo("{kind.table()}")'
        )
        if not generated
    }


@pytest.mark.parametrize("kind", [*ROWS, DeploymentRow], ids=lambda kind: kind.table())
def test_row_struct_has_the_columns_of_sqlite_in_order(kind):
    with closing(new_database()) as connection:
        found = in_sqlite(connection, kind)

    for name in ONLY_IN_SQLITE.get(kind, ()):
        del found[name]
    expected = columns_of(kind, without=ONLY_IN_POSTGRES.get(kind, ()))
    # SQLite has no type for a truth value.
    expected = {
        name: (int if type_ is bool else type_, null) for name, (type_, null) in expected.items()
    }
    assert list(found.items()) == list(expected.items())


async def test_row_structs_have_the_columns_of_postgresql_in_order(postgres_url):
    driver = await asyncpg.connect(postgres_url)
    try:
        for kind in ROWS:
            rows = await driver.fetch(
                "SELECT column_name, data_type, is_nullable = 'YES' "
                "FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' "
                "ORDER BY ordinal_position",
                kind.table(),
            )
            found = {name: (POSTGRES[type_], null) for name, type_, null in rows}
            found.pop(OWN_COLUMNS.get(kind.table()), None)
            columns = columns_of(kind)
            if kind is AccountRow:  # its counts are in the table `tally`
                columns = {name: columns[name] for name in ("id", "source", "pixel", "since")}
            assert list(found.items()) == list(columns.items()), kind
    finally:
        await driver.close()


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.table())
def test_defaults_of_row_structs_are_those_of_sqlite(kind):
    with closing(new_database()) as connection:
        columns = connection.execute(f'PRAGMA table_info("{kind.table()}")').fetchall()
        found = {
            name: connection.execute(f"SELECT {default}").fetchone()[0]
            for _, name, _, _, default, _ in columns
            if default is not None
        }

    if kind is LeaseRow:
        del found["unmarked"]
    assert {
        field.name: field.default
        for field in msgspec.structs.fields(kind)
        if field.default not in {None, msgspec.NODEFAULT}
    } == found


def test_last_columns_with_their_defaults_are_not_inserted():
    ready = [OutboxRow(id=id_, queue=2, account=3, received_at=4) for id_ in (1, 5)]

    assert insertion(ready) == (
        ("id", "queue", "account", "received_at"),
        [1, 2, 3, 4, 5, 2, 3, 4],
    )


def test_all_columns_are_inserted_if_a_row_has_another_value():
    held = OutboxRow(id=1, queue=2, account=3, received_at=4, state="held", reason="refused")
    ready = OutboxRow(id=5, queue=2, account=3, received_at=4)

    columns, values = insertion([held, ready])

    assert columns == OutboxRow.__struct_fields__
    assert values[4 :: len(columns)] == ["held", "queued"]


def test_id_that_the_database_assigns_is_not_inserted():
    row = DedupReportRow(at=1, queue=2, path="pixel", conversion_id="order-1")

    assert insertion([row])[0] == DedupReportRow.__struct_fields__[1:]


def test_table_has_the_name_of_its_row_struct():
    assert {kind.table() for kind in (CalledRow, DedupReportRow, DedupKeyRow)} == {
        "called",
        "dedup_report",
        "dedup",
    }
