"""Tables that exist before an export: those of others are refused, and stay as they are."""

import re

import asyncpg
import msgspec
import pytest
from export_stage import rows_of, states_of

from twite.app.export.table_target import open_table
from twite.domain.errors import ClientError
from twite.domain.secret import Secret

OTHERS = [
    ("DROP COLUMN flag", "has no column flag. .* ADD COLUMN flag text"),
    (
        "DROP COLUMN event, DROP COLUMN value",
        "no columns event, value. .* ADD COLUMN value numeric",
    ),
    ("RENAME COLUMN updated_at TO changed_at", "no column updated_at"),
    (
        "DROP COLUMN attempts, ADD COLUMN attempts jsonb",
        "attempts of the type jsonb instead of bigint. .* TYPE bigint USING attempts::text::bigint",
    ),
    ("DROP CONSTRAINT twite_conversions_pkey", r"no unique index of its column key. .* \(key\)"),
    (
        "ADD COLUMN mine integer NOT NULL",
        '"mine", which Twite .* ALTER COLUMN "mine" DROP NOT NULL',
    ),
    ("ALTER COLUMN value SET NOT NULL", '"value", which Twite may leave empty'),
]
FITTING = [
    "ADD COLUMN mine integer",
    "ADD COLUMN mine integer NOT NULL DEFAULT 7",
    "ALTER COLUMN source TYPE varchar(200), ALTER COLUMN attempts TYPE integer",
    "ALTER COLUMN value TYPE numeric(12, 2)",
    "DROP CONSTRAINT twite_conversions_pkey, ADD UNIQUE (key)",
]


@pytest.fixture
async def database(stage):
    connection = await asyncpg.connect(stage.url)
    yield connection
    await connection.close()


@pytest.fixture
async def role(stage, database):
    await database.execute("CREATE ROLE exporter LOGIN")
    yield msgspec.structs.replace(stage.target, secret_url=Secret(_as(stage.url, "exporter")))
    await database.execute("DROP OWNED BY exporter; DROP ROLE exporter")


def _as(url, role):
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{role}@{rest.partition('@')[2]}"


async def examine(target):
    async with open_table(
        target.secret_url, table=target.table, store="", export="x"
    ) as table_target:
        await table_target.examine()


async def test_missing_schema_is_named_with_its_statement(stage, database):
    target = msgspec.structs.replace(stage.target, table="Analytics.twite_conversions")
    complaint = 'there is no schema "Analytics". Run CREATE SCHEMA "Analytics"'
    for attempt in (examine, stage.export):
        with pytest.raises(ClientError, match=complaint):
            await attempt(target)

    await database.execute('CREATE SCHEMA "Analytics"')
    await examine(target)
    await stage.export(target)


@pytest.mark.parametrize("table", ["twite_conversions", "analytics.twite_conversions"])
async def test_role_that_cannot_create_tables_is_named_with_its_grant(stage, database, role, table):
    await database.execute("CREATE SCHEMA analytics; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    await database.execute("GRANT USAGE ON SCHEMA analytics TO exporter")
    target = msgspec.structs.replace(role, table=table)
    schema = table.rpartition(".")[0] or "public"
    for attempt in (examine, stage.export):
        with pytest.raises(ClientError, match="GRANT USAGE, CREATE ON SCHEMA") as refused:
            await attempt(target)
        grant = re.search(r"GRANT .* TO exporter", str(refused.value))[0]
        assert f" {schema} " in grant.replace('"', "")

    await database.execute(grant)
    await examine(target)
    await stage.export(target)


@pytest.mark.parametrize(("change", "complaint"), OTHERS)
async def test_column_that_cannot_be_written_is_named_with_the_change(
    stage, database, change, complaint
):
    await stage.queue("order-1")
    await stage.export()
    await database.execute(f"TRUNCATE twite_conversions; ALTER TABLE twite_conversions {change}")

    with pytest.raises(ClientError, match=complaint):
        await stage.export()
    with pytest.raises(ClientError, match=complaint):
        await examine(stage.target)


@pytest.mark.parametrize("change", FITTING)
async def test_table_with_other_types_and_columns_that_fit_is_written(stage, database, change):
    await stage.queue("order-1")
    await stage.export()
    await database.execute(f"ALTER TABLE twite_conversions {change}")
    await stage.queue("order-2")

    await examine(stage.target)
    await stage.export()

    assert await states_of(stage.url) == {"order-1": "queued", "order-2": "queued"}


async def test_statement_in_the_error_lets_the_export_continue(stage, database):
    await stage.queue("order-1")
    await stage.export()
    await database.execute(
        "ALTER TABLE twite_conversions DROP COLUMN flag, DROP COLUMN attempts, "
        "ADD COLUMN attempts jsonb"
    )
    await stage.queue("order-2")

    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            await stage.export()
        change = str(refused.value).partition("run ")[2].partition(". Otherwise")[0]
        await database.execute(change)
    await stage.export()

    assert (await states_of(stage.url)).keys() == {"order-1", "order-2"}


async def test_table_of_somebody_else_is_refused_and_stays_as_it_is(stage, database):
    await database.execute("CREATE TABLE twite_conversions (id integer, updated_at timestamptz)")
    await stage.queue("order-1")

    with pytest.raises(ClientError, match="Otherwise, name another table"):
        await stage.export()

    tables = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    comment = await database.fetchval("SELECT obj_description('twite_conversions'::regclass)")
    assert [row["tablename"] for row in tables] == ["twite_conversions"]
    assert comment is None


@pytest.mark.parametrize("dropped", ["", "_tracked", "_position"])
async def test_export_begins_again_if_a_table_was_dropped(stage, database, dropped):
    await stage.fill()
    await stage.export()
    stage.pass_look_back()
    await stage.export()
    before = await rows_of(stage.url)
    await database.execute(f"DROP TABLE twite_conversions{dropped}")

    await stage.settle()
    await stage.export()

    after = await rows_of(stage.url)
    assert {row["key"] for row in after} == {row["key"] for row in before}
    assert (await states_of(stage.url))["queued"] == "delivered"
