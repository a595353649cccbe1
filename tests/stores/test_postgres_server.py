"""The database server: its settings, its schema, its failures, and several processes at once."""

import asyncio
import signal
from itertools import count

import asyncpg
import pytest

from builders import NOW, a_submission, an_entry
from postgres_server import PostgresServer, programs
from store_contract.actions import PIXEL, claim, delivered, record, settle
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.domain.history import total
from twite.domain.submission import Recorded
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.queries import ByConversionId
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.postgres import schema
from twite.stores.postgres.driver import connection
from twite.stores.postgres.driver.address import Address
from twite.stores.postgres.driver.connection import PostgresConnection
from twite.stores.postgres.examine import examined
from twite.stores.postgres.store import PostgresReader, PostgresStore

OPTIONS = StoreOptions()
KEEPING = Retention(bodies=HOUR, history=30 * DAY, dead=30 * DAY)


@pytest.fixture
async def store(postgres_url):
    store = await PostgresStore.open(postgres_url, OPTIONS)
    yield store
    await store.close()


async def delivered_all(store):
    batch = await claim(store)
    await settle(store, batch, "delivered", delivered(batch))


async def until_recorded(store, conversion_id):
    """Submit a conversion repeatedly, like a client that gets 503."""
    for number in count():
        try:
            await record(store, conversion_id, receipt=f"r-{number}")
        except LedgerUnavailable:
            await asyncio.sleep(0.02)
        else:
            return


async def execute(url, statement):
    driver = await asyncpg.connect(url)
    try:
        return await driver.fetch(statement)
    finally:
        await driver.close()


async def test_several_processes_migrate_an_empty_database_once(empty_postgres_url):
    stores = await asyncio.gather(
        *(PostgresStore.open(empty_postgres_url, OPTIONS) for _ in range(4))
    )
    versions = await execute(empty_postgres_url, "SELECT version FROM schema_version")
    for store in stores:
        await store.close()

    assert [row["version"] for row in versions] == [version for version, _ in schema.migrations()]


async def test_newer_schema_is_refused(empty_postgres_url):
    store = await PostgresStore.open(empty_postgres_url, OPTIONS)
    await store.close()
    newer = schema.newest_version() + 1
    await execute(empty_postgres_url, f"INSERT INTO schema_version VALUES ({newer})")  # noqa: S608

    for open_ in (lambda: PostgresStore.open(empty_postgres_url, OPTIONS),
                  lambda: PostgresReader.open(empty_postgres_url)):  # fmt: skip
        with pytest.raises(StoreUnusable, match="newer version of Twite uses it"):
            await open_()


async def test_database_of_a_development_version_is_refused(empty_postgres_url):
    await execute(empty_postgres_url, "CREATE TABLE schema_version (version bigint)")
    await execute(empty_postgres_url, "INSERT INTO schema_version VALUES (1), (5)")

    for open_ in (lambda: PostgresStore.open(empty_postgres_url, OPTIONS),
                  lambda: PostgresReader.open(empty_postgres_url)):  # fmt: skip
        with pytest.raises(StoreUnusable, match=r"a development version .*\(schema 5\)\. Send its"):
            await open_()


async def test_command_does_not_change_the_schema(empty_postgres_url):
    with pytest.raises(StoreUnusable, match="the database contains no store yet"):
        await PostgresReader.open(empty_postgres_url)
    store = await PostgresStore.open(empty_postgres_url, OPTIONS)
    await store.close()
    await execute(empty_postgres_url, "UPDATE schema_version SET version = -version")

    with pytest.raises(StoreUnusable, match="only the gateway can migrate it"):
        await PostgresReader.open(empty_postgres_url)


async def test_role_that_may_not_create_tables_gets_an_error(postgres_server, empty_postgres_url):
    await execute(empty_postgres_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    await execute(
        empty_postgres_url,
        "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
    )

    guest = empty_postgres_url.replace("twite@", "guest@")

    checks = [(await examined(url)).server.may_migrate for url in (empty_postgres_url, guest)]
    with pytest.raises(StoreUnusable, match="may not create tables"):
        await PostgresStore.open(guest, OPTIONS)

    assert checks == [True, False]


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_server_that_can_lose_commits_is_refused_unless_it_is_accepted(setting):
    server = PostgresServer(programs(), **{setting: "off"})
    try:
        url = server.create("ledger")
        with pytest.raises(StoreUnusable, match=f"{setting} is off"):
            await PostgresStore.open(url, OPTIONS)
        store = await PostgresStore.open(url, StoreOptions(accept_weak_durability=True))
        await record(store, "order-1")
        await store.close()
    finally:
        server.remove()


def test_address_of_the_database_never_shows_its_password():
    for url in (
        "postgresql://twite:p%40ssw0rd@db.example.com:5433/ledger?sslmode=require",
        "postgresql://twite@db.example.com:5433/ledger?password=p@ssw0rd",
    ):
        address = Address(url)
        reason = address.reason(OSError("cannot reach twite:p@ssw0rd and p%40ssw0rd"))

        assert "ssw0rd" not in f"{address} {address.shown} {reason}"
        assert "db.example.com:5433/ledger" in address.shown


async def test_unreachable_database_is_named_without_its_password():
    with pytest.raises(StoreUnusable) as caught:
        await PostgresStore.open("postgresql://twite:p4ssw0rd@127.0.0.1:1/ledger", OPTIONS)

    assert "127.0.0.1:1/ledger" in str(caught.value)
    assert "p4ssw0rd" not in str(caught.value)


@pytest.mark.parametrize("is_committed", [True, False])
async def test_result_of_a_commit_without_a_response_is_requested(store, monkeypatch, is_committed):
    cuts = []
    commit = PostgresConnection.commit

    def cut_at_commit(self):
        if cuts:
            commit(self)
            return
        cuts.append(self)
        if is_committed:
            commit(self)
        self.terminate()
        raise ConnectionResetError

    monkeypatch.setattr(PostgresConnection, "commit", cut_at_commit)

    recorded = await store.record(a_submission(an_entry("order-1")))
    again = await store.record(a_submission(an_entry("order-1"), receipt="r2"))

    assert len(cuts) == 1
    assert recorded == Recorded()
    assert again == Recorded(duplicates=(0,))
    assert total(await store.balance()).received == 2


async def test_lost_connections_are_replaced(store, postgres_url):
    await record(store, "order-1")
    await store.balance()
    await execute(
        postgres_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )

    await record(store, "order-2", receipt="r2")

    assert total(await store.balance()).pending == 2


async def test_statement_on_an_unresponsive_server_ends(postgres_url, monkeypatch):
    blocking = await asyncpg.connect(postgres_url)
    async with blocking.transaction():
        await blocking.execute("LOCK TABLE dedup")
        with monkeypatch.context() as patch:
            # Earlier than the server's own limit for a lock.
            patch.setattr(connection, "STALLED", 2)
            store = await PostgresStore.open(postgres_url, OPTIONS)
            with pytest.raises(LedgerUnavailable) as caught:
                await record(store, "order-1")
    await blocking.close()

    await record(store, "order-2", receipt="r2")
    counts = total(await store.balance())
    await store.close()

    assert "lock timeout" not in str(caught.value)
    assert (counts.received, counts.pending) == (1, 1)


async def test_success_is_recorded_although_the_connection_is_aborted(postgres_url, monkeypatch):
    """After a suspension, the time limit has passed, and the server has answered."""
    store = await PostgresStore.open(postgres_url, OPTIONS)
    await record(store, "order-1")
    batch = await claim(store)
    prepare = asyncpg.Connection._get_statement  # noqa: SLF001
    aborted = []

    async def prepared(driver, *values, **named):
        statement = await prepare(driver, *values, **named)
        if not aborted:
            aborted.append(driver.terminate())
        return statement

    monkeypatch.setattr(asyncpg.Connection, "_get_statement", prepared)
    await settle(store, batch, "delivered", delivered(batch))
    counts = total(await store.balance())
    await store.close()

    assert aborted
    assert (counts.delivered, counts.pending) == (1, 0)


async def test_server_ends_the_transaction_of_a_disconnected_machine(store):
    def setting(book):
        text = "SELECT current_setting('idle_in_transaction_session_timeout')"
        return book.connection.execute(text).fetchone()[0]

    assert await store._database.write(setting) == "8s"  # noqa: SLF001


async def test_standby_is_recognized_and_used_once_it_is_promoted():
    primary = PostgresServer(programs())
    standby = PostgresServer(programs(), primary=primary)
    both = f"postgresql://twite@/ledger?host={standby.folder},{primary.folder}"
    try:
        primary.create("ledger")
        standby.catch_up(primary)
        store = await PostgresStore.open(both, OPTIONS)
        await record(store, "order-1")
        standby.catch_up(primary)
        with pytest.raises(StoreUnusable, match="accepts no writes"):
            await PostgresStore.open(standby.url("ledger"), OPTIONS)
        primary.stop(signal.SIGQUIT)
        standby.psql("SELECT pg_promote()")
        await until_recorded(store, "order-2")
        counts = total(await store.balance())
        await store.close()
    finally:
        standby.remove()
        primary.remove()

    assert (counts.received, counts.pending) == (2, 2)


async def test_pooler_without_prepared_statements_works(postgres_url):
    store = await PostgresStore.open(f"{postgres_url}&statement_cache_size=0", OPTIONS)
    await record(store, "order-1")
    await delivered_all(store)
    prepared = await store._database.read(  # noqa: SLF001
        lambda view: view.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()[0]
    )
    counts = total(await store.balance())
    await store.close()

    assert (counts.delivered, prepared) == (1, 0)


async def test_store_is_unavailable_without_a_server_and_recovers():
    server = PostgresServer(programs())
    try:
        store = await PostgresStore.open(server.create("ledger"), OPTIONS)
        await record(store, "order-1")
        server.stop(signal.SIGQUIT)
        for _ in range(2):
            with pytest.raises(LedgerUnavailable):
                await record(store, "order-2", receipt="r2")
            with pytest.raises(LedgerUnavailable):
                await store.balance()
        server.start()
        await until_recorded(store, "order-2")
        counts = total(await store.balance())
        await store.close()
    finally:
        server.remove()

    assert (counts.received, counts.pending) == (2, 2)


async def test_settlement_waits_for_the_server():
    server = PostgresServer(programs())
    try:
        store = await PostgresStore.open(server.create("ledger"), OPTIONS)
        await record(store, "order-1")
        batch = await claim(store)
        server.stop(signal.SIGQUIT)
        settling = asyncio.create_task(settle(store, batch, "delivered", delivered(batch)))
        await asyncio.sleep(0)
        server.start()
        late = await settling
        counts = total(await store.balance())
        await store.close()
    finally:
        server.remove()

    assert (late, counts.delivered, counts.balance) == (0, 1, 0)


async def test_several_stores_accept_each_conversion_once(postgres_url, deadlocks):
    stores = [await PostgresStore.open(postgres_url, OPTIONS) for _ in range(3)]
    names = [f"order-{number}" for number in range(20)]

    async def submitted(place, store):
        duplicates = 0
        for number, name in enumerate(names if place % 2 else reversed(names)):
            entries = an_entry(name), an_entry(f"{name}-more", index=1)
            submission = a_submission(*entries, receipt=f"r{place}-{number}")
            duplicates += len((await store.record(submission)).duplicates)
        return duplicates

    duplicates = await asyncio.gather(
        *(submitted(place, store) for place, store in enumerate(stores * 4))
    )
    counts = total(await stores[0].balance())
    for store in stores:
        await store.close()

    assert deadlocks == []
    assert sum(duplicates) == (len(stores) * 4 - 1) * 2 * len(names)
    assert (counts.pending, counts.balance) == (2 * len(names), 0)


async def test_opt_out_of_one_store_applies_to_the_others(postgres_url):
    first = await PostgresStore.open(postgres_url, OPTIONS)
    second = await PostgresStore.open(postgres_url, OPTIONS)

    await first.revoke([b"k" * 16], now=NOW)
    await record(second, "order-1")
    await delivered_all(second)
    listed = second.lists([b"k" * 16])
    await first.restore([b"k" * 16])
    await record(second, "order-2", receipt="r2")
    await delivered_all(second)
    for store in (first, second):
        await store.close()

    assert listed
    assert not second.has_opt_outs()


async def test_text_with_nul_is_stored_without_it(store):
    entries = an_entry("order\0one"), an_entry("order-2", index=1)

    recorded = await store.record(a_submission(*entries))
    found = await store.find(ByConversionId(pixel=PIXEL, events=None, conversion_id="order\0one"))
    batch = await claim(store)
    await settle(store, batch, "delivered", delivered(batch), answer="a\0b")

    assert recorded == Recorded()
    assert [history.conversion_id for history in found] == ["order\ufffdone"]
    assert total(await store.balance()).balance == 0


async def test_old_rows_are_pruned_and_the_accounts_stay(postgres_url):
    before = await PostgresStore.open(postgres_url, OPTIONS)
    await record(before, "order-1")
    await delivered_all(before)
    await record(before, "order-2", receipt="r2", at=NOW + 90 * DAY)
    await before.close()

    options = StoreOptions(retention=KEEPING, now=lambda: NOW + 91 * DAY)
    store = await PostgresStore.open(postgres_url, options)
    while await execute(postgres_url, "SELECT FROM dedup OFFSET 1"):
        pass
    (left,) = await execute(
        postgres_url,
        "SELECT (SELECT count(*) FROM submission), (SELECT count(*) FROM conversion), "
        "(SELECT count(*) FROM attempted)",
    )
    delivered_before = total(await store.balance()).delivered
    again = await store.record(a_submission(an_entry("order-1"), receipt="r3"))
    await store.close()

    assert tuple(left) == (1, 1, 0)
    assert delivered_before == 1
    assert again == Recorded()
