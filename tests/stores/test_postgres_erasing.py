"""After an erasure on PostgreSQL, VACUUM removes the erased row versions."""

import asyncio

import asyncpg
import pytest

from builders import NOW
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import store as store_module
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.store import PostgresStore

ENDS = EraseStore(ends=True)
# Tables with texts of requests, or names that their senders choose.
HOLD_PERSONS = {"submission", "conversion", "sighting", "attempt", "rejection", "ignored"}


@pytest.fixture
async def store(postgres_url):
    store = await PostgresStore.open(postgres_url, StoreOptions())
    yield store
    await store.close()


@pytest.fixture
def vacuums(monkeypatch):
    """The calls of VACUUM: each lasts until the test sets its result."""
    begun = asyncio.Queue()

    async def vacuum(_):
        ended = asyncio.get_running_loop().create_future()
        begun.put_nowait(ended)
        return await ended

    monkeypatch.setattr(PostgresDatabase, "vacuum", vacuum)
    return begun


async def vacuumed(url):
    """Return how often each table was vacuumed."""
    driver = await asyncpg.connect(url)
    rows = await driver.fetch("SELECT relname, vacuum_count FROM pg_stat_user_tables")
    await driver.close()
    return dict(map(tuple, rows))


async def test_erasure_vacuums_the_tables_that_hold_persons(store, postgres_url):
    before = await vacuumed(postgres_url)

    ended = await store.erase(ENDS, now=NOW)

    after = await vacuumed(postgres_url)
    assert ended == 1
    assert {table for table, count in after.items() if count == before[table] + 1} >= HOLD_PERSONS


async def test_erasure_has_not_ended_if_the_database_cannot_vacuum(store, monkeypatch):
    async def refused(_):
        raise ConnectionRefusedError

    monkeypatch.setattr(store_module.Address, "connect", refused)

    assert await store.erase(ENDS, now=NOW) == 0


@pytest.mark.parametrize("worked", [True, False])
async def test_erasure_has_ended_only_if_its_vacuum_worked(store, vacuums, worked):
    erasing = asyncio.create_task(store.erase(ENDS, now=NOW))

    (await vacuums.get()).set_result(worked)

    assert await erasing == worked


async def test_erasure_has_not_ended_while_its_vacuum_runs(store, vacuums, monkeypatch):
    monkeypatch.setattr(store_module, "_VACUUM_WITHIN", 0.01)

    ended = [await store.erase(ENDS, now=NOW) for _ in range(2)]

    # The second call waits for the same VACUUM.
    vacuums.get_nowait()
    assert vacuums.empty()
    assert ended == [0, 0]


async def test_each_erasure_vacuums_again(store, vacuums):
    for _ in range(2):
        erasing = asyncio.create_task(store.erase(ENDS, now=NOW))
        (await vacuums.get()).set_result(True)
        assert await erasing == 1
