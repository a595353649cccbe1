"""A lease is on disk as long as it holds deliveries, and no longer."""

import sqlite3
from contextlib import closing

import pytest

from builders import NOW
from store_contract.actions import claim, delivered, ids, record, settle, sweep
from twite.stores.sqlite import SQLiteStore


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    yield store
    await store.close()


def leases(folder):
    with closing(sqlite3.connect(folder / "twite.db")) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM lease ORDER BY id")]


async def test_expired_lease_is_removed_and_others_stay(store, tmp_path):
    for number in range(2):
        await record(store, f"order-{number}", receipt=f"r{number}")
    await claim(store, limit=1, lease_until=NOW + 10)
    held = await claim(store, limit=1, lease_until=NOW + 20)

    swept = await sweep(store, now=NOW + 11)

    assert (swept.expired, leases(tmp_path)) == (1, [held.lease])
    # The first lease is gone, and its deliveries are claimed under another one.
    assert (await sweep(store, now=NOW + 11)).expired == 0
    again = await claim(store, now=NOW + 11)
    assert (ids(again), leases(tmp_path)) == (["order-0"], [held.lease, again.lease])


async def test_completely_settled_lease_is_removed_before_it_expires(store, tmp_path):
    await record(store, "order-1")
    batch = await claim(store, lease_until=NOW + 10)
    before = leases(tmp_path)

    await settle(store, batch, "delivered", delivered(batch))

    assert (before, leases(tmp_path)) == ([batch.lease], [])
    assert (await sweep(store, now=NOW + 11)).expired == 0


async def test_leases_of_a_dead_process_are_removed_at_the_start(tmp_path):
    path = str(tmp_path / "twite.db")
    store = await SQLiteStore.open(path)
    await record(store, "order-1")
    await claim(store)
    await store.close()

    store = await SQLiteStore.open(path)

    assert leases(tmp_path) == []
    assert ids(await claim(store)) == ["order-1"]
    await store.close()


async def test_crash_counts_increase_until_the_process_survives_a_claim(tmp_path):
    path = str(tmp_path / "twite.db")
    store = await SQLiteStore.open(path)
    for number in range(2):
        await record(store, f"order-{number}", receipt=f"r{number}")
    crashes = []
    for _ in range(2):
        batch = await claim(store, lease_until=NOW + 10)
        crashes.append([delivery.crashes for delivery in batch.deliveries])
        await store.close()
        store = await SQLiteStore.open(path)

    alone = await claim(store, lease_until=NOW + 10)
    await sweep(store, now=NOW + 11)
    again = await claim(store, now=NOW + 11)

    assert crashes == [[0, 0], [1, 1]]
    assert [delivery.crashes for delivery in alone.deliveries] == [2]
    # This delivery's lease expired while its process was still running.
    assert {delivery.conversion_id: delivery.crashes for delivery in again.deliveries}[
        alone.deliveries[0].conversion_id
    ] == 0
    await store.close()
