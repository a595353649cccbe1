"""A PostgreSQL database near and at `store.size_limit`."""

import asyncio
from itertools import count

import pytest

from store_contract.actions import claim, delivered, record, settle
from twite.domain.alert import AlertKind
from twite.domain.errors import LedgerUnavailable
from twite.domain.history import total
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.events import ConditionChanged
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.postgres.database import PostgresReads
from twite.stores.postgres.driver.address import Address
from twite.stores.postgres.store import PostgresStore
from twite.stores.postgres.upkeep import SIZE_REACHED, size_of

KEEPING = Retention(bodies=72 * HOUR, history=30 * DAY, dead=30 * DAY)


class FirstCondition:
    """An observer that records the first change of a condition."""

    def __init__(self):
        self.found = asyncio.get_running_loop().create_future()

    def see(self, notice):
        if isinstance(notice, ConditionChanged) and not self.found.done():
            self.found.set_result(notice)


async def test_database_near_its_size_limit_opens_an_alert_and_accepts_requests(postgres_url):
    await (await PostgresStore.open(postgres_url, StoreOptions())).close()
    reads = PostgresReads(Address(postgres_url))
    size = await reads.read(size_of)
    await reads.close()
    observer = FirstCondition()

    store = await PostgresStore.open(
        postgres_url,
        StoreOptions(size_limit=size * 100 // 95, retention=KEEPING, observer=observer),
    )
    await record(store, "order-1")
    change = await asyncio.wait_for(observer.found, 30)
    await store.close()

    assert (change.kind, change.holds) == (AlertKind.DISK_NEARLY_FULL, True)
    assert "store.size_limit" in change.reason


async def test_database_at_its_size_limit_refuses_requests_and_delivers(postgres_url):
    before = await PostgresStore.open(postgres_url, StoreOptions())
    await record(before, "order-1")
    await before.close()
    store = await PostgresStore.open(postgres_url, StoreOptions(size_limit=1, retention=KEEPING))

    async def repeat():
        for number in count():
            await record(store, "order-1", receipt=f"again-{number}")

    with pytest.raises(LedgerUnavailable, match=SIZE_REACHED):
        await repeat()
    batch = await claim(store)
    await settle(store, batch, "delivered", delivered(batch))
    counts = total(await store.balance())
    await store.close()

    assert (counts.delivered, counts.balance) == (1, 0)
