"""A PostgreSQL database as the target of a copy: what it accepts, and how the copy continues."""

import asyncpg
import pytest
from postgres_sessions_stage import SESSIONS, sessions_of
from store_copy_stage import joined, table

import second_version
from builders import NOW
from store_contract.actions import claim, record
from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import StoreOptions
from twite.gateway.ports.store_copy import CopiedDeployment
from twite.stores.postgres import copying as module
from twite.stores.postgres import schema
from twite.stores.postgres.copying import PostgresCopyTarget
from twite.stores.postgres.schema import COPY_LOCK
from twite.stores.postgres.store import PostgresStore

DEPLOYMENT = CopiedDeployment(salt=b"s" * 32, epoch=5, ahead=-7, bodies=4, histories=3)


@pytest.fixture
async def open_target(postgres_url):
    opened = []

    async def open_one(*, url=postgres_url, state="state", accept=False):
        opened.append(
            await PostgresCopyTarget.open_for(url, state=state, accept_weak_durability=accept)
        )
        return opened[-1]

    yield open_one
    for target in opened:
        await target.close()


async def marked(connection):
    return [tuple(row) for row in await connection.fetch("SELECT * FROM store_copy")]


async def test_empty_database_gets_the_newest_tables_and_a_mark(open_target, empty_postgres_url):
    target = await open_target(url=empty_postgres_url)
    await target.close()

    driver = await asyncpg.connect(empty_postgres_url)
    assert await schema.version_of(driver) == schema.newest_version()
    assert await marked(driver) == [(f"state {schema.newest_version()}",)]
    await driver.close()


async def test_interrupted_copy_continues_in_the_same_database(open_target, other):
    first = await open_target()
    await first.add(table("straggler"), [(1,), (2,)])
    await first.close()

    second = await open_target()

    assert await second.last_key(table("straggler")) == (2,)
    assert len(await marked(other)) == 1


async def test_copy_of_another_state_is_not_continued(open_target, other):
    await (await open_target()).close()
    await sessions_of(other, 0)

    with pytest.raises(StoreUnusable, match="an incomplete copy of another store, of an earlier"):
        await open_target(state="another")
    await sessions_of(other, 0)


async def test_database_with_rows_is_refused_as_a_target(open_target, other):
    await other.execute("INSERT INTO straggler VALUES (1)")

    with pytest.raises(StoreUnusable, match="is not empty: the table straggler has rows"):
        await open_target()
    assert await other.fetchval("SELECT to_regclass('store_copy')") is None


async def test_database_of_an_older_version_is_refused_as_a_target(open_target, monkeypatch):
    second_version.use_on_postgres(monkeypatch)

    with pytest.raises(StoreUnusable, match=r"version 1, and only the gateway .* on it once"):
        await open_target()


async def test_database_of_a_running_gateway_is_refused_as_a_target(open_target, postgres_url):
    gateway = await joined(postgres_url)

    with pytest.raises(StoreUnusable, match="a gateway is using this database"):
        await open_target()
    await gateway.close()


async def test_target_of_another_copy_is_refused(open_target, other, empty_postgres_url):
    target = await open_target()
    with pytest.raises(StoreUnusable, match="another twite store copy is using this database"):
        await open_target()
    await target.close()

    new = await asyncpg.connect(empty_postgres_url)
    await new.execute(f"SELECT pg_advisory_lock({COPY_LOCK})")
    with pytest.raises(StoreUnusable, match="another twite store copy is using this database"):
        await open_target(url=empty_postgres_url)
    await new.close()


async def test_server_with_weak_durability_must_be_accepted(
    open_target, postgres_server, empty_postgres_url
):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} SET synchronous_commit = off")

    with pytest.raises(StoreUnusable, match="synchronous_commit is off"):
        await open_target(url=empty_postgres_url)
    target = await open_target(url=empty_postgres_url, accept=True)
    assert await target.last_key(table("straggler")) is None
    await target.close()


async def test_last_key_of_a_table_is_the_greatest(open_target):
    target = await open_target()
    before = await target.last_key(table("attempted"))
    await target.add(table("attempted"), [(2, 1), (1, 9)])

    assert (before, await target.last_key(table("attempted"))) == (None, (2, 1))
    assert await target.count(table("attempted")) == 2


async def test_rows_are_stored_in_the_form_of_this_engine(open_target, other):
    target = await open_target()
    rows = {
        "account": (7, "a", "b", 1, 2, 3, 4, 5, 6),
        "attempt": (1, 2, 3, "errored", 500, "said", 1, 4),
        "flow": (60, 2, 7, 1, 2, 3, 4, 5, 6),
        "straggler": (3,),
        "lease": (8, 1, 2, 3, 1, "[1]"),
    }
    for name, row in rows.items():
        await target.add(table(name), [row])

    found = [
        tuple(await other.fetchrow(statement))
        for statement in (
            "SELECT id, source, pixel, since FROM account",
            "SELECT account, slot, received, delivered, duplicate, suppressed, rejected FROM tally",
            "SELECT * FROM attempt",
            "SELECT slot, span, at, account, received, duplicate FROM flow",
            "SELECT id, node, deliveries FROM lease",
        )
    ]
    assert found == [
        (7, "a", "b", 6),
        (7, 0, 1, 2, 3, 4, 5),
        (1, 2, 3, "errored", 500, "said", True, 4),
        (0, 60, 2, 7, 1, 2),
        (8, 0, "[1]"),
    ]
    for name, row in rows.items():
        assert [row async for piece in target.rows(table(name)) for row in piece] == [row], name


async def test_nul_is_replaced_like_in_new_rows(open_target, other):
    target = await open_target()
    row = (1, 2, 3, "errored", None, "a\0b", 0, 4)

    await target.add(table("attempt"), [row])

    assert await other.fetchval("SELECT answer FROM attempt") == "a\ufffdb"
    assert target.stored(row) == (1, 2, 3, "errored", None, "a\ufffdb", 0, 4)


async def test_copied_rows_are_durable_at_once(open_target, postgres_server, empty_postgres_url):
    """A copy that continues after a power failure must have no gap."""
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    target = await open_target(url=empty_postgres_url, accept=True)
    driver = target._driver  # noqa: SLF001
    commits = []

    class Noting:
        """A driver that records how each of its transactions commits."""

        def __getattr__(self, name):
            return getattr(driver, name)

        async def copy_records_to_table(self, *given, **named):
            commits.append(await driver.fetchval("SHOW synchronous_commit"))
            await driver.copy_records_to_table(*given, **named)

        async def execute(self, statement, *values):
            if statement.startswith("DROP"):
                commits.append(await driver.fetchval("SHOW synchronous_commit"))
            await driver.execute(statement, *values)

    target._driver = Noting()  # noqa: SLF001
    await target.add(table("straggler"), [(1,)])
    await target.publish()
    await target.close()

    assert commits == ["on", "on"]


async def test_published_copy_is_a_store_with_new_ids_and_numbers(open_target, postgres_url, other):
    await other.execute("SELECT setval('lease_number', 77)")
    target = await open_target()
    await target.add(table("queue"), [(5, "o8z6j", "o8z6k")])
    await target.add(table("account"), [(6, "another", "o8z6j", 0, 0, 0, 0, 0, 1)])
    await target.add(table("lease"), [(9, 5, 1, 2, 1, "[]")])
    await target.complete(DEPLOYMENT)
    await target.publish()
    await target.close()

    records = "SELECT salt, epoch, ahead, bodies, histories FROM deployment, pruning"
    found = await other.fetchrow(records)
    assert CopiedDeployment(**dict(found)) == DEPLOYMENT
    store = await PostgresStore.open(postgres_url, StoreOptions())
    await record(store, "order-1", at=NOW)
    batch = await claim(store)
    await store.close()
    assert batch.lease == 10
    assert sorted(await other.fetch("SELECT id FROM account")) == [(6,), (7,)]
    for name in ("idempotency_key", "dedup_report"):
        number = f"SELECT nextval(pg_get_serial_sequence('{name}', 'id'))"
        assert await other.fetchval(number) == 1


async def test_published_copy_has_planner_statistics(open_target, other):
    target = await open_target()
    await other.execute("SELECT pg_stat_reset()")
    await target.add(table("straggler"), [(number,) for number in range(50)])

    await target.complete(DEPLOYMENT)

    counted = "SELECT reltuples FROM pg_class WHERE relname = 'straggler'"
    assert await other.fetchval(counted) == 50


@pytest.mark.parametrize(("ahead", "is_refused"), [(-1, False), (0, True), (1, True)])
async def test_ids_of_a_copy_must_precede_the_servers_clock(
    open_target, monkeypatch, ahead, is_refused
):
    """New ids come from this clock."""
    target = await open_target()
    monkeypatch.setattr(module, "_HIGHEST_ID", f"SELECT 1000 + {ahead}")
    monkeypatch.setattr(module, "_NEXT_ID", "SELECT 1000")

    try:
        await target.complete(DEPLOYMENT)
    except StoreUnusable as error:
        reason = error.reason
    else:
        reason = None

    assert (reason == "the server's clock is behind the ids in the copied store") is is_refused


async def test_copy_whose_guard_was_lost_is_not_published(open_target, other):
    """A gateway may then have started."""
    target = await open_target()
    target._guard.terminate()  # noqa: SLF001

    with pytest.raises(StoreUnusable, match="the copy continues"):
        await target.publish()
    assert await marked(other)


async def test_closed_target_leaves_no_connection(open_target, other):
    await sessions_of(other, 0)
    target = await open_target()
    during = await other.fetchval(SESSIONS)

    await target.close()

    assert during == 2
    await sessions_of(other, 0)
