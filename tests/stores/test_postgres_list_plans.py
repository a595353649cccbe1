"""The statements of lists read rows in the order of an index, and stop at their limit."""

import asyncio
import re

import asyncpg
import pytest

from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.statements import STATEMENTS
from twite.stores.postgres.store import PostgresStore

# The statement, and the index from which it reads the newest rows.
ORDERED = {
    "conversions_before": "conversion_pkey",
    "unsettled_before": "outbox_pkey",
    "resting_before": "resting_by_id",
    "suppressed_before": "suppression_by_delivery",
    "repeated_before": "repeated_pkey",
    "flagged_before": "flagged_pkey",
    "flagged_of_account": "flagged_by_account",
    "flawed_before": "flawed_pkey",
    "deliveries_called": "so_called",
    "rejections_before": "rejection_at",
}


@pytest.fixture(scope="module")
def new_tables(postgres_server):
    """The URL of a database whose tables never had rows.

    PostgreSQL plans by the sizes of files and by statistics, which stay when rows are deleted.
    """
    url = postgres_server.create("plans")

    async def migrate() -> None:
        store = await PostgresStore.open(url, StoreOptions())
        await store.close()

    asyncio.run(migrate())
    yield url
    postgres_server.drop("plans")


@pytest.fixture
async def driver(new_tables):
    driver = await asyncpg.connect(new_tables)
    # Tables are empty here, and reading them as a whole would be cheap.
    await driver.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    yield driver
    await driver.close()


async def plan_of(driver: asyncpg.Connection, name: str) -> str:
    statement = STATEMENTS[name]
    await driver.execute(f"PREPARE {name} AS {statement.text}")
    values = ", ".join(["NULL"] * len(statement.names))
    rows = await driver.fetch(f"EXPLAIN EXECUTE {name}({values})")
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("name", ORDERED)
async def test_statement_reads_the_newest_rows_of_its_index(driver, name):
    plan = await plan_of(driver, name)

    assert re.search(rf"Scan Backward using {ORDERED[name]} ", plan), plan
    assert "Seq Scan" not in plan
    # The two lists of suppressed ones are merged after the limit of each.
    assert ("Sort" in plan) <= (name == "suppressed_before"), plan


async def test_rows_of_a_list_are_read_by_their_ids(driver):
    plan = await plan_of(driver, "summaries")

    assert re.search(r"conversion_pkey.*\n.*id = ANY", plan), plan
    # A subplan of another table would read that table as a whole.
    assert set(re.findall(r"(?:Seq|Bitmap Heap) Scan on (\w+)", plan)) <= {"conversion"}, plan


async def test_time_is_found_among_submissions_by_their_ids(driver):
    plan = await plan_of(driver, "number_at")

    assert "Seq Scan" not in plan
    assert "submission_pkey" in plan


async def test_conversions_of_a_receipt_are_read_by_their_ids(driver):
    plan = await plan_of(driver, "deliveries_of_receipt")

    assert re.search(r"Index Cond: \(\(id >= .*\) AND \(id < .*\)\)", plan), plan
    assert plan.count("submission_receipt_key") == 2, plan
