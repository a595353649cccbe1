"""A PostgreSQL database as the source of a copy: its rows, its snapshot, and its locks."""

import asyncio

import asyncpg
import pytest
from postgres_sessions_stage import SESSIONS, sessions_of
from store_copy_stage import joined, table

import second_version
from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store_copy import CopiedDeployment
from twite.stores.postgres import copying as module
from twite.stores.postgres.copying import PostgresCopySource
from twite.stores.postgres.schema import COPY_LOCK


@pytest.fixture
async def open_source(postgres_url):
    opened = []

    async def open_one():
        opened.append(await PostgresCopySource.open(postgres_url))
        return opened[-1]

    yield open_one
    for source in opened:
        await source.close()


async def pieces(source, name, after=None):
    return [piece async for piece in source.rows(table(name), after)]


async def test_rows_are_read_in_the_order_of_their_key(open_source, other, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 2)
    await other.execute("INSERT INTO straggler VALUES (3), (1), (5), (4), (2)")
    source = await open_source()

    assert await pieces(source, "straggler") == [[(1,), (2,)], [(3,), (4,)], [(5,)]]
    assert await pieces(source, "straggler", (3,)) == [[(4,), (5,)]]
    assert await pieces(source, "straggler", (5,)) == []
    assert await source.count(table("straggler")) == 5


async def test_rows_continue_after_a_key_of_several_columns(open_source, other):
    await other.execute(
        "INSERT INTO attempted VALUES (1, 8), (1, 9), (2, 1); "
        "INSERT INTO attempt (id, at, queue, outcome, answer, ambiguous, size) "
        "VALUES (1, 2, 3, 'errored', 'said', true, 4)"
    )
    source = await open_source()

    assert await pieces(source, "attempted", (1, 8)) == [[(1, 9), (2, 1)]]
    # As in other engines, a truth value is a number.
    assert await pieces(source, "attempt") == [[(1, 2, 3, "errored", None, "said", 1, 4)]]


async def test_rows_of_several_connections_are_added_up(open_source, other):
    await other.execute("""
        INSERT INTO account (id, source, pixel, since)
        OVERRIDING SYSTEM VALUE VALUES (7, 'a', 'b', 9);
        INSERT INTO tally (account, slot, received, delivered, duplicate, suppressed, rejected)
        VALUES (7, 0, 1, 2, 3, 4, 5), (7, 1, 10, 0, 0, 0, 0)""")
    source = await open_source()

    assert await pieces(source, "account") == [[(7, "a", "b", 11, 2, 3, 4, 5, 9)]]
    assert await source.count(table("account")) == 1


async def test_copy_reads_one_snapshot(open_source, other):
    source = await open_source()
    await other.execute("INSERT INTO straggler VALUES (1)")

    assert await pieces(source, "straggler") == []


async def test_source_of_a_copy_has_its_deployment_and_is_readable(open_source, other):
    await other.execute(
        "UPDATE deployment SET ahead = -5; UPDATE pruning SET bodies = 3, histories = 2"
    )
    salt, epoch = await other.fetchrow("SELECT salt, epoch FROM deployment")
    source = await open_source()
    reader = await source.open_reader()

    assert await source.deployment() == CopiedDeployment(
        salt=salt, epoch=epoch, ahead=-5, bodies=3, histories=2
    )
    assert reader.salt == salt
    await reader.close()
    assert source.shown.startswith("postgresql://twite@/")


async def test_state_of_a_source_changes_with_each_transaction_that_writes(open_source, other):
    source = await open_source()
    before = await source.state()
    unchanged = await source.state()
    await other.fetchval("SELECT nextval('id_group')")

    after = await source.state()

    salt = (await other.fetchval("SELECT salt FROM deployment")).hex()
    assert before == unchanged != after
    assert [state.split()[0] for state in (before, after)] == [salt, salt]
    assert int(after.split()[1]) == int(before.split()[1]) + 1


async def test_closed_source_leaves_no_connection(open_source, other):
    await sessions_of(other, 0)
    source = await open_source()
    during = await other.fetchval(SESSIONS)

    await source.close()

    assert during == 1
    await sessions_of(other, 0)


async def test_database_error_of_a_source_is_explained(open_source):
    source = await open_source()
    await source.close()

    with pytest.raises(StoreUnusable, match="run the same command again: the copy continues"):
        await source.state()


@pytest.mark.parametrize(
    ("version", "said"),
    [(0, "the database has no tables of Twite"), (1, "only the gateway can migrate it")],
    ids=["empty", "older"],
)
async def test_source_of_another_version_is_refused_and_unchanged(
    open_source, other, monkeypatch, version, said
):  # fmt: skip
    await sessions_of(other, 0)

    async def present_version(*_):
        return version

    monkeypatch.setattr(module, "present_version", present_version)
    second_version.use_on_postgres(monkeypatch)

    with pytest.raises(StoreUnusable, match=said):
        await open_source()
    await sessions_of(other, 0)


async def test_database_with_a_running_gateway_is_refused_as_a_source(open_source, postgres_url):
    gateway = await joined(postgres_url)

    with pytest.raises(
        StoreUnusable, match=rf"is using this database \({gateway.ownership.name}\)"
    ):
        await open_source()
    await gateway.ownership.leave()
    await gateway.close()
    assert await open_source()


async def test_database_that_is_being_copied_is_refused_as_a_source(open_source, other):
    await other.execute(f"SELECT pg_advisory_lock({COPY_LOCK})")

    with pytest.raises(StoreUnusable, match="another twite store copy is using this database"):
        await open_source()


async def test_suspended_gateway_cannot_renew_its_lease_during_a_copy(open_source, other):
    source = await open_source()
    await other.execute("SET lock_timeout = '20ms'")

    with pytest.raises(asyncpg.LockNotAvailableError):
        await other.execute("UPDATE node SET until = until")
    await source.close()
    await other.execute("SET lock_timeout = '20s'")
    await other.execute("UPDATE node SET until = until")


async def test_copy_waits_ten_seconds_for_a_lock_and_is_never_ended_as_idle(
    open_source, monkeypatch
):
    source = await open_source()
    shown = [
        await source._driver.fetchval(f"SHOW {name}")  # noqa: SLF001
        for name in ("lock_timeout", "idle_in_transaction_session_timeout")
    ]

    assert shown == ["10s", "0"]


async def test_reading_in_pieces_can_be_ended_early(open_source, other, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 1)
    await other.execute("INSERT INTO straggler VALUES (1), (2)")
    source = await open_source()
    rows = source.rows(table("straggler"))

    assert await anext(rows) == [(1,)]
    await rows.aclose()
    async with asyncio.timeout(20):
        assert await source.count(table("straggler")) == 2
