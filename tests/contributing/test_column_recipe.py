"""The recipe "Add a column" in CONTRIBUTING.md, tried with a toy."""

import sqlite3
from contextlib import closing

import asyncpg
import msgspec

from twite.gateway.ports.store_copy import CopiedTable
from twite.stores.postgres import schema as postgres_schema
from twite.stores.postgres.schema import Address
from twite.stores.postgres.statements import at_once
from twite.stores.sql.rows.insertions import insertion
from twite.stores.sql.rows.table_row import TableRow
from twite.stores.sql.rows.tables import ConversionRow as Before
from twite.stores.sql.rows.tables import SubmissionRow
from twite.stores.sqlite.engine import schema as sqlite_schema
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of
from twite.stores.sqlite.recovery.copying import SQLiteCopySource

SQLITE = "ALTER TABLE conversion ADD COLUMN coupon TEXT;"
POSTGRES = 'ALTER TABLE conversion ADD coupon text COLLATE "C"'


# The table's struct with one more field.
ConversionRow = msgspec.defstruct(
    "ConversionRow",
    [
        *(
            (each.name, each.type, each.default)
            if each.default is not msgspec.NODEFAULT
            else (each.name, each.type)
            for each in msgspec.structs.fields(Before)
        ),
        ("coupon", str | None, None),
    ],
    bases=(TableRow,),
)
PLAIN = ConversionRow(
    id=1, submission=1, queue=1, conversion_id="order-1", body=b"{}", checksum=None
)
COUPON = ConversionRow(
    id=2, submission=1, queue=1, conversion_id="order-2", body=b"{}", checksum=None, coupon="TEN"
)
SUBMISSION = SubmissionRow(
    id=1, receipt="r", source="shop", endpoint="native", received_at=1, first=1, entries=2, body=b""
)


def use(monkeypatch, schema, statements):
    present = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: [*present, (present[-1][0] + 1, statements)])


def test_example_of_the_recipe_has_the_columns_of_the_table():
    assert ConversionRow.__struct_fields__ == (*Before.__struct_fields__, "coupon")
    assert ConversionRow.table() == Before.table()


async def test_column_of_the_recipe_is_inserted_and_copied_in_sqlite(tmp_path, monkeypatch):
    path = str(tmp_path / "twite.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        sqlite_schema.migrate(connection, path)
        use(monkeypatch, sqlite_schema, SQLITE)
        sqlite_schema.migrate(connection, path)
        session = OwnerSession(connection, window=1, leases=leases_of(1))
        session.queue("o8z6j", "o8z6k")
        session.add([SUBMISSION])
        session.add([PLAIN])
        session.add([COUPON])
    table = CopiedTable("conversion", ConversionRow.__struct_fields__, 1, 8)

    source = SQLiteCopySource.open(path)
    copied = [row async for rows in source.rows(table) for row in rows]
    await source.close()

    assert [ConversionRow(*row) for row in copied] == [PLAIN, COUPON]


async def test_column_of_the_recipe_is_inserted_in_postgresql(empty_postgres_url, monkeypatch):
    driver = await asyncpg.connect(empty_postgres_url)
    await postgres_schema.migrate(driver, Address(empty_postgres_url))
    use(monkeypatch, postgres_schema, POSTGRES)
    await postgres_schema.migrate(driver, Address(empty_postgres_url))
    for row in (PLAIN, COUPON):
        columns, values = insertion([row])
        text = at_once(((ConversionRow, columns),))
        await driver.execute(text, *([value] for value in values))

    found = await driver.fetch("SELECT * FROM conversion ORDER BY id")
    await driver.close()

    assert [ConversionRow(*row) for row in found] == [PLAIN, COUPON]
