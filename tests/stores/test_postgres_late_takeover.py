"""Busy connections, locks of others and the own lease can delay a takeover. The log says so."""

import asyncio

import asyncpg
import pytest
from postgres_nodes_stage import ACCOUNTS, NOW, a_claim, owned

from builders import a_submission, an_entry
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import nodes, waits
from twite.stores.postgres.session import MOST_SESSIONS
from twite.stores.postgres.store import PostgresStore

LOCK = "SELECT pg_advisory_xact_lock(7)"


class Watching:
    def __init__(self):
        self.seen = []

    def see(self, notice):
        self.seen.append(notice)

    def reasons(self):
        return [
            notice.reason
            for notice in self.seen
            if isinstance(notice, ProblemSeen) and notice.where is ProblemPlace.STORE
        ]


@pytest.fixture
async def other(postgres_url):
    """A session of a gateway that was cut off."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("BEGIN")
    yield connection
    await connection.close()


@pytest.fixture
async def watched(postgres_url):
    monitoring = Watching()
    store = await PostgresStore.open(postgres_url, StoreOptions(observer=monitoring))
    await store.ownership.join(ACCOUNTS, longest_request=0)
    yield store, monitoring
    await store.close()


async def until_waiting(connection, many):
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(20):
        while await connection.fetchval(waiting) < many:  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.01)


async def test_takeover_does_not_wait_for_the_connections_of_other_work(
    open_node, end_lease, other
):
    first, second = [await open_node() for _ in range(2)]
    await owned(first, second)
    await other.execute(LOCK)
    busy = [
        asyncio.create_task(
            second._database.write(lambda session: session.connection.execute(LOCK))  # noqa: SLF001
        )
        for _ in range(2 * MOST_SESSIONS)
    ]
    await until_waiting(other, MOST_SESSIONS - 2)
    end_lease(first)

    async with asyncio.timeout(5):
        taken = await second.ownership.refresh()

    assert taken == frozenset(ACCOUNTS.values())
    await other.execute("COMMIT")
    await asyncio.gather(*busy)


async def test_lock_of_a_gateway_that_was_cut_off_does_not_end_the_lease_of_others(
    open_node, other, monkeypatch
):
    monkeypatch.setattr(nodes, "LOCK_PATIENCE", 50)
    (node,) = [await open_node()]
    before = await node.ownership.refresh()
    await other.execute("SELECT FROM ownership WHERE account = '#leader' FOR UPDATE")

    blocked = await node.ownership.refresh()
    due = node.ownership.next_refresh
    await other.execute("COMMIT")

    assert blocked == before == await node.ownership.refresh()
    assert due == 50
    assert node.ownership.may_send()


async def test_lease_is_renewed_while_the_division_of_accounts_is_late(open_node, monkeypatch):
    node = await open_node()
    await node.ownership.refresh()
    began = nodes.boot_time()

    async def until(seconds, *, renews):
        monkeypatch.setattr(nodes, "boot_time", lambda: began + seconds)
        if renews:
            await node.ownership.renew()
        return node.ownership.may_send()

    assert not await until(9, renews=False)
    assert [await until(seconds, renews=True) for seconds in (6, 12, 18)] == [True] * 3
    assert not await until(27, renews=False)


async def test_lease_of_a_fenced_node_is_not_renewed(open_node, end_lease):
    first, second = [await open_node() for _ in range(2)]
    await owned(first, second)
    end_lease(first)
    await second.ownership.refresh()
    await first.ownership.refresh()

    await first.ownership.renew()

    assert not first.ownership.may_send()


async def test_log_names_the_lock_that_delays_the_division(watched, other, monkeypatch):
    monkeypatch.setattr(waits, "LONG", 0.05)
    monkeypatch.setattr(waits, "AGAIN", 0.05)
    monkeypatch.setattr(nodes, "LOCK_PATIENCE", 9_000)
    store, monitoring = watched
    await store.ownership.refresh()
    await other.execute("SELECT FROM ownership WHERE account = '#leader' FOR UPDATE")
    holder = other.get_server_pid()

    refreshing = asyncio.create_task(store.ownership.refresh())
    async with asyncio.timeout(20):
        while not any("blocked by" in reason for reason in monitoring.reasons()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await other.execute("COMMIT")
    await refreshing

    sessions = monitoring.reasons()
    assert any("dividing the accounts among the gateways" in said for said in sessions)
    assert any(said.startswith(f"session {holder}: idle in transaction for ") for said in sessions)
    assert any(f"blocked by {holder}" in said and "ownership" in said for said in sessions)


async def test_log_names_the_transaction_that_delays_a_takeover(
    watched, open_node, end_lease, other
):
    store, monitoring = watched
    dead = await open_node()
    end_lease(dead)
    await other.execute(f"SELECT FROM node WHERE id = {dead.ownership.node} FOR KEY SHARE")

    locked = await store.ownership.refresh()
    reasons = monitoring.reasons()
    await other.execute("COMMIT")
    taken = await store.ownership.refresh()

    assert "should have been replaced 3" in reasons[0]  # an hour is 3,600 s
    assert "a transaction has locked its row" in reasons[0]
    assert f"session {other.get_server_pid()}: " in reasons[1]
    assert locked is not None
    assert taken == frozenset(ACCOUNTS.values())


async def test_claims_of_a_dead_gateway_are_queued_again_in_slices(
    open_node, end_lease, monkeypatch
):
    first = await open_node()
    await first.ownership.refresh()
    for number in range(45):
        pixel = f"pixel{number % len(ACCOUNTS)}"
        entry = an_entry(f"c{number}", pixel=pixel, event=f"event{number}")
        await first.record(a_submission(entry, receipt=f"r{number}", received_at=NOW))
        assert await first.claim(a_claim(pixel)) is not None
    second = await open_node()
    end_lease(first)
    sizes = []
    expire = nodes.outbox.expire

    def counted(session, **given):
        sizes.append(expire(session, **given))
        return sizes[-1]

    monkeypatch.setattr(nodes.outbox, "expire", counted)
    monkeypatch.setattr(nodes, "REQUEUE_FOR", 0)
    assert await owned(second) == [frozenset(ACCOUNTS.values())]
    due = second.ownership.next_refresh
    monkeypatch.setattr(nodes, "REQUEUE_FOR", 60)
    await owned(second)

    assert (sizes, due) == ([20, 20, 5, 0], 50)
