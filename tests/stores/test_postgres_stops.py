"""A gateway stops while a settlement is not finished."""

import asyncio

import pytest
from postgres_nodes_stage import a_claim, owned, settled
from test_postgres_late_settlements import accepted, claimed

from twite.domain.delivery import Trigger
from twite.domain.errors import LedgerUnavailable
from twite.stores.postgres import database, settlements
from twite.stores.postgres.driver import address, connection


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(settlements, "_AGAIN", 0.01)


async def test_store_closes_while_it_requests_the_result_of_a_commit(open_node, monkeypatch):
    """The database disappears at the commit of a settlement, and does not come back."""
    store = await open_node()
    batch = await claimed(store, "c1")
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    tried = asyncio.Event()

    async def refuse(_):
        tried.set()
        raise ConnectionRefusedError

    def cut(self):
        monkeypatch.setattr(address.Address, "connect", refuse)
        self.terminate()
        raise ConnectionResetError

    monkeypatch.setattr(connection.PostgresConnection, "commit", cut)
    task = asyncio.create_task(store.settle(accepted(batch)))
    await tried.wait()

    async with asyncio.timeout(20):
        await store.close()

    with pytest.raises(LedgerUnavailable, match="did not confirm the commit"):
        await task


async def late(open_node, end_lease):
    """Return a store with a late success, one that sends the same batch again, and the batch."""
    first = await open_node()
    batch = await claimed(first, "c1")
    second = await open_node()
    end_lease(first)
    await owned(second)
    resent = await second.claim(a_claim("pixel1"))
    await first.settle(accepted(batch))
    return first, second, resent


async def test_late_success_is_recorded_before_its_gateway_has_stopped(open_node, end_lease):
    first, second, resent = await late(open_node, end_lease)
    closing = asyncio.create_task(first.close())
    await asyncio.sleep(0)

    await second.settle(settled(resent, Trigger.POSTPONED))

    await closing
    (account,) = await second.balance()
    assert (account.delivered, account.pending, account.balance) == (1, 0, 0)


async def test_gateway_stops_if_the_attempt_of_another_one_does_not_end(
    open_node, end_lease, monkeypatch
):
    monkeypatch.setattr(settlements, "_LATE_WITHIN", 0.1)
    first, second, _ = await late(open_node, end_lease)

    async with asyncio.timeout(20):
        await first.close()

    (account,) = await second.balance()
    assert (account.delivered, account.pending, account.balance) == (0, 1, 0)
