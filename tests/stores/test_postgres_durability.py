"""While the gateway runs, it notices server settings that can lose commits."""

import asyncio

import pytest

from postgres_server import PostgresServer, programs
from twite.domain.alert import AlertKind
from twite.domain.times import DAY
from twite.gateway.ports.events import ConditionChanged
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.postgres import upkeep
from twite.stores.postgres.store import PostgresStore

KEEPING = Retention(bodies=DAY, history=DAY, dead=DAY)


class Watching:
    def __init__(self):
        self.seen = []

    def see(self, notice):
        if isinstance(notice, ConditionChanged):
            self.seen.append(notice)

    async def until(self, many):
        async with asyncio.timeout(20):
            while len(self.seen) < many:  # noqa: ASYNC110 - the store's task reports it
                await asyncio.sleep(0.01)
        return self.seen[-1]


@pytest.fixture
def server():
    server = PostgresServer(programs())
    server.create("ledger")
    yield server
    server.remove()


def set_fsync(server, value):
    server.psql(f"ALTER SYSTEM SET fsync = {value}")
    server.psql("SELECT pg_reload_conf()")


async def test_fsync_turned_off_while_the_gateway_runs_opens_and_resolves_the_alert(
    server, monkeypatch
):
    monkeypatch.setattr(upkeep, "LOOK_AT_DURABILITY", 0.02)
    monitoring = Watching()
    options = StoreOptions(retention=KEEPING, observer=monitoring)
    store = await PostgresStore.open(server.url("ledger"), options)

    set_fsync(server, "off")
    opened = await monitoring.until(1)
    set_fsync(server, "on")
    resolved = await monitoring.until(2)
    await store.close()

    assert [notice.kind for notice in (opened, resolved)] == [AlertKind.WEAK_DURABILITY] * 2
    assert (opened.holds, resolved.holds) == (True, False)
    assert opened.reason == "fsync is off: a power failure can damage the database"


async def test_accepted_weak_durability_is_not_reported_again(server, monkeypatch):
    monkeypatch.setattr(upkeep, "LOOK_AT_DURABILITY", 0.02)
    set_fsync(server, "off")
    monitoring = Watching()
    options = StoreOptions(retention=KEEPING, observer=monitoring, accept_weak_durability=True)
    store = await PostgresStore.open(server.url("ledger"), options)

    weak = store.weak
    set_fsync(server, "on")
    first = await monitoring.until(1)
    await store.close()

    assert len(weak) == 1
    assert (first.kind, first.holds) == (AlertKind.WEAK_DURABILITY, False)
