"""What happens while a claim on PostgreSQL waits for a change of ownership."""

import asyncio

import asyncpg
import pytest

from twite.domain.consent import person_keys
from twite.gateway.ports.state import PAUSED_BY_USER, Pause
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.session import PostgresSession
from twite.stores.postgres.store import PostgresStore
from twite.testing.builders import NOW, a_conversion
from twite.testing.laws.actions import PIXEL, claim_or_none, ids, record

ACCOUNT = "account"


@pytest.fixture
async def store(postgres_url, monkeypatch):
    # Claims begin as after a claim of small bodies.
    monkeypatch.setattr(PostgresSession, "largest_body", 1)
    store = await PostgresStore.open(postgres_url, StoreOptions())
    await store.ownership.join({PIXEL: ACCOUNT}, longest_request=0)
    await store.ownership.refresh()
    yield store
    await store.close()


@pytest.fixture
async def blocked_claim(store, postgres_url):
    """A claim that waits for a transaction with the row of its account, and the end of that one."""
    await record(store, "order-1")
    other = await asyncpg.connect(postgres_url)
    await other.execute("BEGIN")
    await other.execute("SELECT FROM ownership WHERE account = $1 FOR UPDATE", ACCOUNT)
    claiming = asyncio.create_task(claim_or_none(store))
    async with asyncio.timeout(20):
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)

    async def end():
        await other.execute("COMMIT")
        return await claiming

    yield end
    await other.close()


@pytest.fixture
async def other_gateway(postgres_url):
    store = await PostgresStore.open(postgres_url, StoreOptions())
    yield store
    await store.close()


async def test_an_opt_out_during_the_wait_applies(other_gateway, blocked_claim):
    person = a_conversion("order-1").identifiers

    await other_gateway.revoke(person_keys(person, pixel=PIXEL, salt=other_gateway.salt), now=NOW)

    assert await blocked_claim() is None


async def test_a_pause_during_the_wait_applies(other_gateway, blocked_claim):
    await other_gateway.put([Pause(pixel=PIXEL, since=NOW, reason=PAUSED_BY_USER)])

    assert await blocked_claim() is None


async def test_without_a_change_the_claim_succeeds(blocked_claim):
    assert ids(await blocked_claim()) == ["order-1"]
