"""The same on PostgreSQL: typed cursors, exact values, transactions that commit late."""

import asyncio
import threading

import asyncpg
import msgspec
import pytest
from sync_stage import NOW, SyncStage

from twite.app.sync.positions import UnusableCursor
from twite.app.sync.state import load_state
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.readers.database import postgres
from twite.readers.database.connection import DatabaseUnusable

COLUMNS = "id AS conversion_id, at AS time, changed, total AS value, key, day, number"
_SLEEPERS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@pytest.fixture
async def database(empty_postgres_url):
    connection = await asyncpg.connect(empty_postgres_url)
    await connection.execute(
        "CREATE TABLE orders (id text, at timestamptz DEFAULT to_timestamp($1::bigint), "
        "changed timestamptz, total numeric, key uuid DEFAULT gen_random_uuid(), "
        "day date DEFAULT '2026-11-30', number numeric DEFAULT 9007199254740993.5)".replace(
            "$1", str(NOW // 1_000)
        )
    )
    yield connection
    await connection.close()


@pytest.fixture
def shop(tmp_path, empty_postgres_url):
    stage = SyncStage(tmp_path)
    query = f"SELECT {COLUMNS} FROM orders -- all of them"  # noqa: S608
    stage.sync = msgspec.structs.replace(
        stage.sync, secret_url=Secret(empty_postgres_url), query=query
    )
    return stage


def insert(connection, id_, changed=None, total="49.90"):
    at = NOW if changed is None else changed
    return connection.execute(
        "INSERT INTO orders (id, changed, total)"  # noqa: S608  # numbers of the tests
        f" VALUES ($1, to_timestamp({at}::numeric / 1000), {total})",
        id_,
    )


@pytest.mark.parametrize("cursor", ["changed", "day", "number", "conversion_id", "key"])
async def test_cursor_may_have_any_type_with_an_order(shop, database, cursor):
    await shop.run(cursor=cursor)
    await insert(database, "a")

    first = await shop.run(cursor=cursor)
    second = await shop.run(cursor=cursor, look_back=0)
    shop.clock.jump(SECOND)
    third = await shop.run(cursor=cursor, look_back=0)

    assert (first.rows, second.rows, third.rows) == (1, 0, 0)
    # A date lasts a day, and a number of 16 digits may be a time.
    recent = (await load_state(shop.state, "orders")).progress.recent
    assert len(recent) == (cursor in {"day", "number"})


async def test_microseconds_of_a_cursor_are_kept(shop, database):
    await shop.run()
    for number in range(3):
        await database.execute(
            "INSERT INTO orders (id, changed, total) VALUES ($1, "  # noqa: S608  # as above
            f"'2026-11-30 12:00:00.00000{number}+00', 1)",
            f"o-{number}",
        )

    runs = [await shop.run(look_back=0, until=lambda: True) for _ in range(2)]

    assert [run.rows for run in runs] == [3, 0]


async def test_transaction_that_commits_late_is_found(shop, database, empty_postgres_url):
    await shop.run()
    slow = await asyncpg.connect(empty_postgres_url)
    transaction = slow.transaction()
    await transaction.start()
    await insert(slow, "slow", changed=NOW)
    await insert(database, "quick", changed=NOW + SECOND)
    first = await shop.run()
    await transaction.commit()
    await slow.close()
    shop.clock.jump(60 * SECOND)

    second = await shop.run()

    assert (first.rows, second.rows) == (1, 1)
    assert shop.intake.sent == ["quick", "slow"]


async def test_results_are_written_into_a_table_of_a_schema(shop, database):
    await database.execute(
        "CREATE SCHEMA ads; CREATE TABLE ads.sent (sync text, conversion_id text, verdict text,"
        " code text, message text, at text, PRIMARY KEY (sync, conversion_id))"
    )
    await insert(database, "a")
    await insert(database, "b", total="-1")

    await shop.run(write_back="ads.sent")

    rows = await database.fetch("SELECT conversion_id, verdict FROM ads.sent ORDER BY 1")
    assert [tuple(row.values()) for row in rows] == [("a", "accepted"), ("b", "rejected")]


async def test_event_loop_runs_while_the_database_answers(shop, database):
    """A slow query must not stop the gateway's requests."""
    await insert(database, "a")
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    query = shop.sync.query.replace("FROM orders", "FROM orders, pg_sleep(0.3)")
    await shop.run(query=query)
    ticking.cancel()

    assert ticks > 5


async def test_stop_ends_a_query_and_its_thread(shop, database):
    await insert(database, "a")
    sleeping = f"SELECT {COLUMNS}, pg_sleep(600)::text AS z FROM orders"  # noqa: S608
    run = asyncio.create_task(shop.run(query=sleeping))
    while not await database.fetch(_SLEEPERS):  # noqa: ASYNC110  # the server has no event
        await asyncio.sleep(0.01)
    threads = [each for each in threading.enumerate() if "twite-database" in each.name]

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)

    assert threads
    assert not any(thread.is_alive() for thread in threads)


async def test_time_outside_the_years_of_python_is_the_error_of_the_run(shop, database):
    await shop.run()
    await insert(database, "a")
    await database.execute("UPDATE orders SET at = '12000-01-01'")

    with pytest.raises(DatabaseUnusable, match="outside the years 1 to 9999"):
        await shop.run()


async def test_connection_that_does_not_answer_is_the_error_of_the_run(shop, database, monkeypatch):
    await insert(database, "a")
    monkeypatch.setattr(postgres, "_ANSWER_WITHIN", 0.2)

    with pytest.raises(DatabaseUnusable, match="does not answer"):
        await shop.run(query=f"SELECT {COLUMNS}, pg_sleep(600)::text AS z FROM orders")  # noqa: S608


async def test_value_that_cannot_be_cast_is_in_no_error(shop, database):
    await insert(database, "Anna Muster")

    with pytest.raises(DatabaseUnusable) as raised:
        await shop.run(
            query="SELECT id AS conversion_id, at AS time, changed, id::numeric AS value "
            "FROM orders"
        )

    assert "type numeric … (SQLSTATE 22P02)" in str(raised.value)
    assert "Anna" not in str(raised.value)


async def test_cursor_that_is_no_finite_number_is_refused(shop, database):
    await shop.run(cursor="number")
    await insert(database, "a")
    await database.execute("UPDATE orders SET number = 'NaN'")

    with pytest.raises(UnusableCursor, match="no finite number"):
        await shop.run(cursor="number")
