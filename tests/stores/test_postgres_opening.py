"""Open a store on PostgreSQL, for reading or as a gateway."""

import time

import asyncpg
import pytest
from postgres_nodes_stage import ACCOUNTS
from postgres_sessions_stage import sessions_of

from builders import NOW
from store_contract.actions import record
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.domain.times import DAY, MINUTE
from twite.gateway.ports.privacy import EraseSearch
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.postgres import database, schema
from twite.stores.postgres import store as module
from twite.stores.postgres.session import PostgresSession
from twite.stores.postgres.store import PostgresReader, PostgresStore
from twite.stores.sql import erase_search

KEEPING = Retention(bodies=DAY, history=DAY, dead=DAY)
KEY = b"k" * 16


@pytest.fixture
async def open_store(postgres_url):
    opened = []

    async def open_one(**options):
        opened.append(await PostgresStore.open(postgres_url, StoreOptions(**options)))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def reader(postgres_url):
    reader = await PostgresReader.open(postgres_url)
    yield reader
    await reader.close()


async def test_reader_answers_like_the_store(open_store, reader, other):
    store = await open_store()
    await record(store, "order-1")

    assert reader.salt == store.salt == await other.fetchval("SELECT salt FROM deployment")
    assert await reader.balance() == await store.balance() != []
    assert await reader.people.users() == await store.people.users()


async def test_search_for_a_person_may_take_longer_than_other_views(reader, monkeypatch):
    monkeypatch.setattr(database, "_READ", 0.1)
    wanted = EraseSearch(subject=None, pixel=None, opened=None, pursued=frozenset())

    def search(view, given):
        view.execute("SELECT pg_sleep(0.3)").fetchone()
        return given

    monkeypatch.setattr(erase_search, "search", search)

    assert await reader.traces(wanted) is wanted


async def test_closed_reader_has_no_connection(postgres_url, other):
    await sessions_of(other, 0)
    reader = await PostgresReader.open(postgres_url)
    before = await sessions_of(other, 1)

    await reader.close()

    assert (before, await sessions_of(other, 0)) == (1, 0)
    with pytest.raises(LedgerUnavailable, match="the store is closing"):
        await reader.balance()


async def test_reader_needs_a_migrated_store(empty_postgres_url, open_store):
    with pytest.raises(StoreUnusable, match="the database contains no store yet"):
        await PostgresReader.open(empty_postgres_url)


async def test_reader_leaves_the_migration_to_the_gateway(postgres_url, monkeypatch):
    newer = schema.newest_version() + 1
    monkeypatch.setattr(module, "newest_version", lambda: newer)

    with pytest.raises(StoreUnusable, match="only the gateway can migrate it"):
        await PostgresReader.open(postgres_url)


async def test_opening_a_store_leaves_no_other_connections(open_store, other):
    await sessions_of(other, 0)

    await open_store()

    # One for reading, one for writing.
    assert await sessions_of(other, 2) == 2


async def test_failed_opening_leaves_no_connections(open_store, other, monkeypatch):
    await sessions_of(other, 0)

    def refresh(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("twite.stores.postgres.keys.PostgresOptOuts.refresh", refresh)

    with pytest.raises(ZeroDivisionError):
        await open_store()
    assert await sessions_of(other, 0) == 0


async def test_new_gateway_knows_the_opt_outs(open_store):
    await (await open_store()).revoke([KEY], now=NOW)

    assert (await open_store()).lists([KEY])


async def test_database_error_during_the_migration_is_explained(open_store, monkeypatch):
    async def migrate(*_):
        raise asyncpg.DiskFullError("no space left")

    monkeypatch.setattr(module, "migrate", migrate)

    with pytest.raises(StoreUnusable, match=r"cannot be brought up to date \(no space left\)"):
        await open_store()


async def test_store_without_a_retention_prunes_nothing(open_store):
    assert (await open_store())._upkeep is None  # noqa: SLF001


async def test_store_prunes_by_the_clock_of_the_machine_if_it_leads(open_store):
    store = await open_store(retention=KEEPING)

    upkeep = store._upkeep  # noqa: SLF001
    assert abs(upkeep._now() - time.time() * 1_000) < MINUTE  # noqa: SLF001
    assert upkeep.may_prune == store.ownership.may_prune
    assert len(upkeep._tasks) == 2  # noqa: SLF001


async def test_store_prunes_by_the_given_clock(open_store):
    store = await open_store(retention=KEEPING, now=lambda: NOW)

    assert store._upkeep._now() == NOW  # noqa: SLF001


async def test_store_and_checks_know_the_accepted_weak_durability(
    postgres_server, empty_postgres_url
):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(StoreUnusable, match="synchronous_commit is off"):
        await PostgresStore.open(empty_postgres_url, StoreOptions())

    store = await PostgresStore.open(
        empty_postgres_url, StoreOptions(accept_weak_durability=True, retention=KEEPING)
    )
    await store.close()

    said = "synchronous_commit is off: a power failure loses the latest commits"
    assert store.weak == store._upkeep.weak == (said,)  # noqa: SLF001


@pytest.mark.parametrize("is_upgraded", [True, False])
async def test_gateway_that_migrated_waits_for_leases_of_others(
    open_store, monkeypatch, is_upgraded
):
    ran = []
    run = PostgresSession.run

    def noting(session, name, /, **values):
        ran.append(name)
        return run(session, name, **values)

    async def migrate(*_):
        return is_upgraded

    monkeypatch.setattr(PostgresSession, "run", noting)
    monkeypatch.setattr(module, "migrate", migrate)
    store = await open_store()
    await store.ownership.join(ACCOUNTS, longest_request=0)

    await store.ownership.refresh()

    assert ("fence_nodes" in ran) is not is_upgraded
