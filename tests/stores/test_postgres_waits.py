"""Claims that wait for a change of ownership, and settlements that end in a deadlock."""

import asyncio

import asyncpg
import pytest

from builders import NOW, a_conversion
from store_contract.actions import (
    PIXEL,
    claim,
    claim_or_none,
    delivered,
    ids,
    record,
    settle,
)
from twite.domain.consent import person_keys
from twite.domain.pause import Cause, Pause
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.session import PostgresSession
from twite.stores.postgres.store import PostgresStore

ACCOUNT = "account"


@pytest.fixture
async def store(postgres_url, monkeypatch):
    # Claims start as they would after a claim of small bodies.
    monkeypatch.setattr(PostgresSession, "largest_body", 1)
    store = await PostgresStore.open(postgres_url, StoreOptions())
    await store.ownership.join({PIXEL: ACCOUNT}, longest_request=0)
    await store.ownership.refresh()
    yield store
    await store.close()


@pytest.fixture
async def other(postgres_url):
    """A connection of another gateway."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def stalled(postgres_url):
    """A connection with a transaction that stands still for a while."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def until_waiting(connection, sessions):
    """Return once this many sessions wait for a lock."""
    async with asyncio.timeout(30):
        waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
        while await connection.fetchval(waiting) < sessions:  # noqa: ASYNC110 - others change it
            await asyncio.sleep(0.01)


@pytest.fixture
async def blocked_claim(store, other):
    """A claim that waits for a transaction on its account's row; a call ends the transaction."""
    await record(store, "order-1")
    await other.execute("BEGIN")
    await other.execute("SELECT FROM ownership WHERE account = $1 FOR UPDATE", ACCOUNT)
    claiming = asyncio.create_task(claim_or_none(store))
    await until_waiting(other, 1)

    async def end():
        await other.execute("COMMIT")
        return await claiming

    return end


@pytest.fixture
async def other_gateway(postgres_url):
    store = await PostgresStore.open(postgres_url, StoreOptions())
    yield store
    await store.close()


async def test_opt_out_while_a_claim_waits_applies(other_gateway, blocked_claim):
    person = a_conversion("order-1").identifiers

    await other_gateway.revoke(person_keys(person, pixel=PIXEL, salt=other_gateway.salt), now=NOW)

    assert await blocked_claim() is None


async def test_pause_while_a_claim_waits_applies(other_gateway, blocked_claim):
    await other_gateway.put(
        [Pause(pixel=PIXEL, since=NOW, cause=Cause.USER, reason="paused by hand")]
    )

    assert await blocked_claim() is None


async def test_claim_that_waited_succeeds_without_a_change(blocked_claim):
    assert ids(await blocked_claim()) == ["order-1"]


async def test_settlement_is_repeated_after_a_deadlock(store, other, stalled, deadlocks):
    """A typical settlement locks deliveries in page order, other statements in id order."""
    # Rows of earlier tests leave free places before the others once the table is vacuumed.
    await other.execute("TRUNCATE outbox")
    for conversion_id in ("order-1", "order-2", "order-3"):
        await record(store, conversion_id, receipt=conversion_id)
    batch = await claim(store)
    first, second, third = (delivery.id for delivery in batch.deliveries)
    await move_to_the_end(other, first)
    # Whatever the statistics of the table are, the settlement locks in page order.
    await store._database.write(  # noqa: SLF001
        lambda book: book.connection.execute("SET enable_indexscan = off")
    )
    # Only the settlement checks for the deadlock.
    await other.execute("SET deadlock_timeout = '60s'")
    locking = "SELECT FROM outbox WHERE id = $1 FOR UPDATE"
    await other.execute("BEGIN")
    await other.execute(locking, first)
    await stalled.execute("BEGIN")
    await stalled.execute(locking, third)
    # It locks the second delivery, and waits for the third one while the other transaction begins
    # to wait for the second. Then it waits for the first one.
    settling = asyncio.create_task(settle(store, batch, "delivered", delivered(batch)))
    await until_waiting(stalled, 1)
    waiting = asyncio.create_task(other.execute(locking, second))
    await until_waiting(stalled, 2)
    await stalled.execute("COMMIT")
    await waiting
    await other.execute("COMMIT")

    late = await settling

    (account,) = await store.balance()
    assert (late, len(deadlocks)) == (0, 1)
    assert (account.delivered, account.pending, account.balance) == (3, 0, 0)


async def move_to_the_end(connection, delivery):
    """Move the row of a delivery after all others."""
    columns = "id, queue, account, received_at, state, lease"
    async with connection.transaction():
        row = await connection.fetchrow(
            f"DELETE FROM outbox WHERE id = $1 RETURNING {columns}",  # noqa: S608
            delivery,
        )
        await connection.execute(
            f"INSERT INTO outbox ({columns}) VALUES ($1, $2, $3, $4, $5, $6)",  # noqa: S608
            *row,
        )
