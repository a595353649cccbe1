"""`twite store hold`: a restored database must not send what it may have sent before."""

import asyncio
import time
from contextlib import asynccontextmanager

import asyncpg
import pytest
from background_stage import pause

from fakes import settled
from postgres_server import DATABASE
from store_contract.actions import claim, record
from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import StoreOptions
from twite.stores.factory import ENGINES
from twite.stores.postgres import holding
from twite.stores.postgres.driver import address
from twite.stores.postgres.statements import STATEMENTS
from twite.stores.postgres.store import PostgresStore

ENGINE = ENGINES["postgresql"]
URL = "postgresql://twite@db/ledger"
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'twite' AND datname = current_database()"""

NODE = """
INSERT INTO node (name, version, accounts, longest_request, until)
VALUES ('shop-1', '1', '[]', 0, clock_timestamp() + interval '{seconds} s')
"""


async def test_hold_names_a_running_gateway(postgres_url, postgres_server, monkeypatch):
    monkeypatch.setattr(holding, "_EXPIRED_WITHIN", 0)
    postgres_server.psql(NODE.format(seconds=60), DATABASE)

    with pytest.raises(StoreUnusable, match=r"gateways use the database \(shop-1\)\. Stop them"):
        await ENGINE.hold_pending(postgres_url)


async def test_hold_waits_for_the_lease_of_an_ended_gateway(
    postgres_url, postgres_server, monkeypatch
):
    monkeypatch.setattr(holding, "_LOOK", 0.05)
    postgres_server.psql(NODE.format(seconds=0.3), DATABASE)

    assert await ENGINE.hold_pending(postgres_url) == 0


async def test_database_without_a_store_is_refused(empty_postgres_url):
    with pytest.raises(StoreUnusable, match="contains no store"):
        await ENGINE.hold_pending(empty_postgres_url)


async def test_sqlite_store_is_held_by_its_gateway():
    with pytest.raises(StoreUnusable, match="Run twite restore"):
        await ENGINES["sqlite"].hold_pending("twite.db")


async def test_all_pending_deliveries_are_held_also_those_being_sent(postgres_url):
    store = await PostgresStore.open(postgres_url, StoreOptions())
    for number in range(3):
        await record(store, f"order-{number}", receipt=f"r-{number}")
    await claim(store, limit=1)
    before = time.time_ns() // 1_000_000

    held = await ENGINE.hold_pending(postgres_url)

    (account,) = await store.balance()
    await store.close()
    driver = await asyncpg.connect(postgres_url)
    rested = [at for (at,) in await driver.fetch("SELECT rested_at FROM outbox")]
    leases = await driver.fetchval("SELECT count(*) FROM lease")
    async with asyncio.timeout(20):
        while await driver.fetchval(SESSIONS):  # noqa: ASYNC110 - the server ends them
            await asyncio.sleep(0.01)
    await driver.close()
    assert (held, account.held, account.pending, account.balance) == (3, 3, 0, 0)
    assert before <= min(rested) <= max(rested) <= before + 60_000
    assert leases == 0


class Driver:
    """A driver of asyncpg: `gateways` has what each look finds."""

    def __init__(self):
        self.gateways = []
        self.ran = []
        self.ended = []

    async def fetch(self, text):
        self.ran.append(text)
        return [(name,) for name in self.gateways.pop(0)] if self.gateways else []

    async def execute(self, text, *_):
        self.ran.append(text)
        return "UPDATE 12"

    @asynccontextmanager
    async def transaction(self):
        self.ran.append("BEGIN")
        yield

    async def close(self):
        self.ended.append("closed")


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()

    async def connected(_):
        return driver

    async def present_version(*_):
        return 1

    monkeypatch.setattr(address, "connected", connected)
    monkeypatch.setattr(holding, "present_version", present_version)
    return driver


@pytest.fixture
def clock(monkeypatch):
    clock = pause(monkeypatch, holding)
    holding.time.time_ns = time.time_ns
    return clock


@pytest.mark.usefixtures("clock")
async def test_no_gateway_starts_until_the_deliveries_are_held(driver):
    assert await ENGINE.hold_pending(URL) == 12
    assert driver.ran == [
        holding._GATEWAYS,  # noqa: SLF001
        "BEGIN",
        holding._ALONE,  # noqa: SLF001
        holding._GATEWAYS,  # noqa: SLF001
        STATEMENTS["hold_pending"].text,
        STATEMENTS["drop_leases"].text,
        STATEMENTS["pause_syncs"].text,
    ]
    assert driver.ended == ["closed"]


@pytest.mark.usefixtures("clock")
async def test_gateway_that_has_started_meanwhile_is_named(driver):
    driver.gateways = [[], ["one", "two"]]

    with pytest.raises(StoreUnusable, match=r"gateways use the database \(one, two\)"):
        await ENGINE.hold_pending(URL)
    assert driver.ended == ["closed"]


async def test_gateways_have_twelve_seconds_to_end(driver, clock):
    driver.gateways = [["one"]] * 3
    task = asyncio.create_task(ENGINE.hold_pending(URL))
    await settled()
    clock.time += 12.0
    await clock.end(0.5)
    waits = not task.done()
    clock.time += 0.5
    await clock.end(0.5)

    assert waits
    with pytest.raises(StoreUnusable, match=r"\(one\)"):
        await task
