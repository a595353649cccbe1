"""The examination of a PostgreSQL server, and the servers that Twite refuses."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import asyncpg
import pytest

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import ConnectedGateway, ServerExamination
from twite.stores.postgres import examine as module
from twite.stores.postgres.database import CONNECTIONS
from twite.stores.postgres.driver.address import Address, connected, explained
from twite.stores.postgres.examine import (
    examined,
    refuse_weak,
    weak_settings,
    weak_settings_of,
)
from twite.stores.postgres.schema import newest_version

URL = "postgresql://twite:p4ssw0rd@a,b/ledger?target_session_attrs=any"
PRESENT = 12
OFF = [("fsync", "on"), ("full_page_writes", "off"), ("synchronous_commit", "off")]
SAID = (
    "full_page_writes is off: a power failure can damage pages",
    "synchronous_commit is off: a power failure loses the latest commits",
)


class Driver:
    """A driver of asyncpg: `answers` has the answer to each statement by a part of it."""

    def __init__(self):
        self.encoding = "UTF8"
        self.ended = []
        self.in_transaction = False
        self.pid = 42
        self.answers = {
            "extract(epoch": 1_700_000_005_250,
            "SHOW server_version": "17.2",
            "schema_version": True,
            "pg_backend_pid": 42,
            "pg_database_size": 1 << 20,
            "used, allowed": 60,
        }
        self.settings = [("fsync", "on")]
        self.gateways = [("one", "1.2", True), ("two", "1.3", False)]

    def get_settings(self):
        return SimpleNamespace(server_encoding=self.encoding)

    def get_server_pid(self):
        return self.pid

    @asynccontextmanager
    async def transaction(self):
        self.in_transaction = True
        yield
        self.in_transaction = False

    async def fetchval(self, statement):
        assert self.in_transaction  # a pooler may send each transaction to another server
        (found,) = [answer for part, answer in self.answers.items() if part in statement]
        if isinstance(found, Exception):
            raise found
        return found

    async def fetch(self, statement):
        return self.settings if "pg_settings" in statement else self.gateways

    async def close(self):
        self.ended.append("closed")

    def terminate(self):
        self.ended.append("terminated")


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()

    async def connect(_):
        return driver

    async def present_version(*_):
        return driver.version

    driver.version = PRESENT
    monkeypatch.setattr(Address, "connect", connect)
    monkeypatch.setattr(module, "present_version", present_version)
    times = iter([1_700_000_000.0, 1_700_000_001.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: next(times)))
    return driver


def found(**values):
    return ServerExamination(
        **{
            "software": "PostgreSQL 17.2",
            "weak": (),
            # Compared with the middle of the query.
            "clock_ahead": 4_750,
            "schema": PRESENT,
            "newest_schema": newest_version(),
            "may_migrate": True,
            "hosts": 2,
            "attributes": "any",
            "is_pooled": False,
            "size": 1 << 20,
            "connections": 60,
            "connections_each": CONNECTIONS,
            "gateways": (
                ConnectedGateway(name="one", version="1.2", is_leader=True),
                ConnectedGateway(name="two", version="1.3", is_leader=False),
            ),
        }
        | values
    )


async def test_examination_contains_all_relevant_facts_about_a_server(driver):
    assert (await examined(URL)).server == found()
    assert driver.ended == ["closed"]


async def test_new_database_has_no_gateways(driver):
    driver.version = 0

    assert (await examined(URL)).server == found(schema=0, gateways=())


async def test_pooler_is_recognized_by_the_process_id_that_it_reports(driver):
    driver.pid = 7

    assert (await examined(URL)).server == found(is_pooled=True)


async def test_settings_with_weak_durability_are_described(driver):
    driver.settings = OFF

    assert (await examined(URL)).server == found(weak=SAID)


async def test_error_of_an_examination_is_explained_and_ends_the_connection(driver):
    driver.answers["SHOW server_version"] = asyncpg.InsufficientPrivilegeError("denied")

    with pytest.raises(StoreUnusable, match=r"denied. Check the database, and the role's"):
        await examined(URL)
    assert driver.ended == ["closed"]


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
async def test_database_with_a_complete_encoding_is_accepted(driver, encoding):
    driver.encoding = encoding

    assert await connected(Address(URL)) is driver
    assert driver.ended == []


async def test_database_with_another_encoding_is_refused(driver):
    driver.encoding = "LATIN1"

    with pytest.raises(StoreUnusable, match="encoding LATIN1"):
        await connected(Address(URL))
    assert driver.ended == ["terminated"]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.InvalidPasswordError("wrong"),
        ValueError("channel_binding"),
    ],
)
async def test_server_that_cannot_be_used_is_explained(monkeypatch, error):
    async def connect(_):
        raise error

    monkeypatch.setattr(Address, "connect", connect)

    with pytest.raises(StoreUnusable, match=r"Check store.url") as caught:
        await connected(Address(URL))
    assert caught.value.reason == Address(URL).reason(error)
    assert caught.value.path == "postgresql://twite@a,b/ledger"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("failed", "reason"), [("", "a fault"), ("it is not migrated", "it is not migrated (a fault)")]
)
def test_explanation_names_the_failed_action(failed, reason):
    with (
        pytest.raises(StoreUnusable) as caught,
        explained(Address(URL), fix="Try again", failed=failed),
    ):
        raise asyncpg.CheckViolationError("a fault")

    assert (caught.value.reason, caught.value.fix) == (reason, "Try again")


async def test_settings_are_described_for_a_connection_and_for_a_view(driver):
    driver.settings = OFF
    view = SimpleNamespace(execute=lambda _: SimpleNamespace(fetchall=lambda: OFF))

    assert await weak_settings(driver) == weak_settings_of(view) == SAID


@pytest.mark.parametrize(
    ("weak", "is_accepted", "is_refused"),
    [(SAID, False, True), (SAID, True, False), ((), False, False), ((), True, False)],
)
def test_server_with_weak_durability_must_be_accepted(weak, is_accepted, is_refused):
    try:
        refuse_weak(weak, Address(URL), is_accepted=is_accepted)
    except StoreUnusable as error:
        reason = error.reason
    else:
        reason = None

    assert reason == ("; ".join(SAID) if is_refused else None)
