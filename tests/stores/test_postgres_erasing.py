"""After an erasure on PostgreSQL, VACUUM removes the erased row versions."""

import asyncpg
import pytest

from builders import NOW
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import store as store_module
from twite.stores.postgres.store import PostgresStore

ENDS = EraseStore(ends=True)
# Tables with texts of requests, or names that their senders choose.
HOLD_PERSONS = {
    "submission", "conversion", "dedup_report", "known_identifier", "attempt", "rejection",
    "ignored",
}  # fmt: skip


@pytest.fixture
async def store(postgres_url):
    store = await PostgresStore.open(postgres_url, StoreOptions())
    yield store
    await store.close()


async def vacuumed(url):
    """Return how often each table was vacuumed."""
    driver = await asyncpg.connect(url)
    rows = await driver.fetch("SELECT relname, vacuum_count FROM pg_stat_user_tables")
    await driver.close()
    return dict(map(tuple, rows))


async def test_erasure_vacuums_the_tables_with_personal_data(store, postgres_url):
    before = await vacuumed(postgres_url)

    ended = await store.erase(ENDS, now=NOW)

    after = await vacuumed(postgres_url)
    assert ended == 1
    assert {table for table, count in after.items() if count == before[table] + 1} >= HOLD_PERSONS


async def test_erasure_is_incomplete_if_the_database_cannot_vacuum(store, monkeypatch):
    async def refused(_):
        raise ConnectionRefusedError

    monkeypatch.setattr(store_module.Address, "connect", refused)

    assert await store.erase(ENDS, now=NOW) == 0
