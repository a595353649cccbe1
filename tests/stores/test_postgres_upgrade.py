"""A migration while gateways and other sessions use the database."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest
from postgres_nodes_stage import ACCOUNTS, owned
from test_postgres_claims import waits_for_a_lock

import second_version
from builders import a_submission, an_entry
from second_version import POSTGRES
from store_contract.actions import claim, delivered, histories, settle
from twite.domain.delivery import State
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import schema, settlements
from twite.stores.postgres.driver import connection
from twite.stores.postgres.store import PostgresStore


@pytest.fixture
async def store(empty_postgres_url):
    store = await PostgresStore.open(empty_postgres_url, StoreOptions())
    yield store
    await store.close()


@pytest.fixture
def newer_version(store, monkeypatch):
    """Make this process a later version with another migration, after the store has opened."""
    del store
    second_version.use_on_postgres(monkeypatch)


@pytest.fixture
async def session(empty_postgres_url):
    """A session of another program, which ends before the database is removed."""
    connection = await asyncpg.connect(empty_postgres_url)
    yield connection
    await connection.close()


async def upgrade(url):
    driver = await asyncpg.connect(url)
    try:
        await schema.migrate(driver, schema.Address(url))
        return await schema.version_of(driver)
    finally:
        await driver.close()


async def schema_of(url):
    """Return the version, columns and indexes of a database."""
    driver = await asyncpg.connect(url)
    try:
        columns = await driver.fetch(
            "SELECT table_name, column_name, data_type, is_nullable, column_default, "
            "generation_expression FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, 2"
        )
        indexes = await driver.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
        )
        return await schema.version_of(driver), columns, indexes
    finally:
        await driver.close()


@pytest.mark.parametrize("first", [0, 1])
async def test_migration_killed_at_any_statement_is_repeated(
    empty_postgres_url, session, monkeypatch, first
):
    second_version.use_on_postgres(monkeypatch)
    migrations = schema.migrations()
    await upgrade(empty_postgres_url)
    whole = await schema_of(empty_postgres_url)
    await session.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    if first:
        with monkeypatch.context() as patch:
            patch.setattr(schema, "migrations", lambda: migrations[:first])
            await upgrade(empty_postgres_url)
    execute, ran, kill_at = asyncpg.Connection.execute, 0, 0

    async def executed(driver, statement, *values, **named):
        nonlocal ran
        ran += 1
        if ran == kill_at:
            driver.terminate()
        return await execute(driver, statement, *values, **named)

    monkeypatch.setattr(asyncpg.Connection, "execute", executed)
    while ran >= kill_at:
        was = await schema_of(empty_postgres_url)
        ran, kill_at = 0, kill_at + 1
        with suppress(asyncpg.InterfaceError):
            await upgrade(empty_postgres_url)
        if ran >= kill_at:
            assert await schema_of(empty_postgres_url) == was, kill_at

    assert kill_at > 2 * (len(schema.migrations()) - first)
    assert await schema_of(empty_postgres_url) == whole


async def test_view_that_waits_for_a_migration_sees_the_rows_of_a_rewritten_table(store, session):
    """PostgreSQL shows a rewritten table as empty to transactions with an earlier snapshot."""
    await store.record(a_submission(an_entry("order-1")))
    await histories(store, "order-1")
    await session.execute("BEGIN; LOCK TABLE schema_version")
    await session.execute(POSTGRES)
    await session.execute("ALTER TABLE conversion ADD newer text")
    task = asyncio.create_task(histories(store, "order-1"))
    await waits_for_a_lock(session)

    await session.execute("COMMIT")

    (history,) = await task
    assert history.state is State.QUEUED


@pytest.mark.usefixtures("newer_version")
async def test_migration_that_waits_for_another_session_lets_gateways_continue(
    store, session, empty_postgres_url, monkeypatch
):
    """A backup with pg_dump locks all tables for as long as it takes."""
    monkeypatch.setattr(schema, "_LOCKED_WITHIN", "SET LOCAL lock_timeout = '100ms'")
    await session.execute("BEGIN; LOCK TABLE outbox IN ACCESS SHARE MODE")
    task = asyncio.create_task(upgrade(empty_postgres_url))
    await waits_for_a_lock(session)

    await store.record(a_submission(an_entry("order-1")))

    is_waiting = not task.done()
    await session.execute("COMMIT")
    assert is_waiting
    assert await task == schema.newest_version()


@pytest.mark.usefixtures("newer_version")
async def test_migration_gives_up_if_another_session_does_not_end(
    session, empty_postgres_url, monkeypatch
):
    monkeypatch.setattr(schema, "_LOCKED_WITHIN", "SET LOCAL lock_timeout = '10ms'")
    monkeypatch.setattr(schema, "_AGAIN", 0.01)
    monkeypatch.setattr(schema, "_PATIENCE", 0.05)
    await session.execute("BEGIN; LOCK TABLE outbox IN ACCESS SHARE MODE")

    with pytest.raises(StoreUnusable, match="other sessions use its tables"):
        await upgrade(empty_postgres_url)


@pytest.mark.usefixtures("newer_version")
async def test_suspended_migration_ends_and_lets_gateways_continue(
    store, empty_postgres_url, monkeypatch
):
    """The connection of a suspended process stays open."""
    idle = "SET LOCAL idle_in_transaction_session_timeout = '300ms'"
    monkeypatch.setattr(schema, "_ENDED_IF_IDLE", idle)
    execute = asyncpg.Connection.execute
    stands_still, continues = asyncio.Event(), asyncio.Event()

    async def executed(driver, statement, *values, **named):
        tag = await execute(driver, statement, *values, **named)
        if statement == POSTGRES:
            stands_still.set()
            await continues.wait()
        return tag

    monkeypatch.setattr(asyncpg.Connection, "execute", executed)
    task = asyncio.create_task(upgrade(empty_postgres_url))
    await stands_still.wait()

    await asyncio.wait_for(store.record(a_submission(an_entry("order-1"))), 30)

    continues.set()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await task


@pytest.mark.usefixtures("newer_version")
async def test_gateway_that_has_migrated_lets_the_others_renew_their_leases_first(
    store, session, empty_postgres_url
):
    """During a long migration, no gateway could renew its lease or record X's responses."""
    await store.ownership.join(ACCOUNTS, longest_request=0)
    await owned(store)
    newer = await PostgresStore.open(empty_postgres_url, StoreOptions())
    await session.execute("UPDATE node SET until = clock_timestamp() - interval '1 minute'")
    await newer.ownership.join(ACCOUNTS, longest_request=0)
    await owned(newer)

    accounts = await store.ownership.refresh()

    await newer.close()
    assert accounts is not None


async def test_transactions_that_wait_for_a_migration_end(store, session, monkeypatch):
    """While a session waits for a lock, the server does not notice that its client is gone."""
    monkeypatch.setattr(connection, "UNIT", connection.UNIT.replace("'10s'", "'20ms'"))
    await session.execute("BEGIN; LOCK TABLE schema_version")

    for number in range(4):
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            await store.record(a_submission(an_entry(f"order-{number}"), receipt=f"r{number}"))

    waiting = await session.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
    await session.execute("COMMIT")
    await store.record(a_submission(an_entry("order-4"), receipt="r4"))
    assert waiting == 0


async def test_settlement_is_recorded_after_a_long_migration(store, session, monkeypatch):
    monkeypatch.setattr(connection, "UNIT", connection.UNIT.replace("'10s'", "'20ms'"))
    monkeypatch.setattr(settlements, "_AGAIN", 0.01)
    await store.record(a_submission(an_entry("order-1")))
    batch = await claim(store)
    await session.execute("BEGIN; LOCK TABLE schema_version")
    task = asyncio.create_task(settle(store, batch, "delivered", delivered(batch)))
    for _ in range(2):
        await waits_for_a_lock(session)

    await session.execute("COMMIT")

    assert await task == 0
    (account,) = await store.balance()
    assert (account.delivered, account.balance) == (1, 0)
