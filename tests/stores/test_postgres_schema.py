"""Migrations of a PostgreSQL database: their order, their locks, and their time limits."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import asyncpg
import pytest
from background_stage import pause

from fakes import settled
from twite.domain.errors import StoreUnusable
from twite.stores.postgres import schema as module
from twite.stores.postgres.driver.address import Address
from twite.stores.postgres.schema import migrate, present_version, version_of

ADDRESS = Address("postgresql://twite@db/ledger")
AGAIN, PATIENCE = 1.0, 60.0
MIGRATIONS = [(14, "CREATE a"), (15, "CREATE b"), (17, "CREATE c")]
BUSY = asyncpg.LockNotAvailableError("lock timeout")


class Driver:
    """A driver of asyncpg: `errors` has the error of each transaction, or None."""

    def __init__(self):
        self.major = 14
        self.version = None  # of the database, if it has tables
        self.is_development = False
        self.is_copied = False
        self.is_copying = False
        self.ran = []
        self.errors = []
        self.denied = ""

    def get_server_version(self):
        return SimpleNamespace(major=self.major)

    @asynccontextmanager
    async def transaction(self):
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        yield

    async def execute(self, statement, *values):
        if statement == self.denied:
            raise asyncpg.InsufficientPrivilegeError("denied")
        self.ran.append((statement, *values))

    async def fetchval(self, statement):
        if "advisory" in statement:
            self.ran.append((statement,))
            return not self.is_copying
        if "applied_at" in statement:
            return self.is_development
        if "'schema_version'" in statement:
            return self.version is None
        if "store_copy" in statement:
            return self.is_copied
        return self.version


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.setattr(module, "migrations", lambda: MIGRATIONS)
    return Driver()


@pytest.fixture
def clock(monkeypatch):
    return pause(monkeypatch, module)


INSERT = "INSERT INTO schema_version (version) VALUES ($1)"
FIRST = [(module._ENDED_IF_IDLE,), (module._LOCK,), (module._SHARED,)]  # noqa: SLF001
LOCKS = [(module._LOCKED_WITHIN,), (module._ALONE,)]  # noqa: SLF001


async def test_new_database_gets_all_migrations_in_order(driver):
    assert await migrate(driver, ADDRESS) is False
    assert driver.ran == [
        *FIRST,
        *(part for version, text in MIGRATIONS for part in ((text,), (INSERT, version))),
    ]


async def test_older_database_gets_the_missing_migrations_without_gateways(driver):
    driver.version = 14

    assert await migrate(driver, ADDRESS) is True
    assert driver.ran == [
        *FIRST,
        *LOCKS,
        *(part for version, text in MIGRATIONS[1:] for part in ((text,), (INSERT, version))),
    ]


async def test_database_with_the_newest_schema_is_not_locked(driver):
    driver.version = 17

    assert await migrate(driver, ADDRESS) is False
    assert driver.ran == FIRST


async def test_postgresql_server_that_is_too_old_is_refused(driver):
    driver.major = 13

    with pytest.raises(StoreUnusable, match=r"PostgreSQL 13 is too old.* 14 or newer"):
        await migrate(driver, ADDRESS)
    assert driver.ran == []


async def test_database_with_a_newer_schema_is_refused(driver):
    driver.version = 18

    with pytest.raises(StoreUnusable, match=r"\(schema 18; this version supports up to 17\)"):
        await migrate(driver, ADDRESS)


async def test_database_of_a_development_version_is_refused(driver):
    driver.version, driver.is_development = 14, True

    with pytest.raises(StoreUnusable, match=r"development version of Twite .*\(schema 14\)\. Send"):
        await migrate(driver, ADDRESS)
    assert driver.ran == FIRST


async def test_database_that_is_being_copied_is_refused_except_by_the_copy(driver):
    driver.is_copying = True

    with pytest.raises(StoreUnusable, match="twite store copy is using this database"):
        await migrate(driver, ADDRESS)
    assert driver.ran == FIRST
    assert await migrate(driver, ADDRESS, is_copy=True) is False
    assert driver.ran[3:5] == FIRST[:2]
    assert len(driver.ran) == 5 + 2 * len(MIGRATIONS)


async def test_role_without_the_privilege_to_migrate_is_explained(driver):
    driver.denied = "CREATE b"

    with pytest.raises(StoreUnusable, match=r"may not create tables \(denied\)"):
        await migrate(driver, ADDRESS)


@pytest.mark.parametrize("error", [BUSY, asyncpg.DeadlockDetectedError("deadlock")])
async def test_busy_database_is_migrated_later(driver, clock, error):
    driver.errors = [error, error]
    task = asyncio.create_task(migrate(driver, ADDRESS))
    await settled()
    clock.time += PATIENCE
    for _ in range(2):
        assert driver.ran == []
        await clock.end(AGAIN)

    assert await task is False
    assert driver.ran[:3] == FIRST


async def test_migration_ends_without_success_after_a_minute(driver, clock):
    driver.errors = [BUSY] * 9
    task = asyncio.create_task(migrate(driver, ADDRESS))
    await settled()
    clock.time += PATIENCE
    await clock.end(AGAIN)
    is_trying = not task.done()
    clock.time += 0.5
    await clock.end(AGAIN)

    assert is_trying
    with pytest.raises(StoreUnusable, match=r"other sessions use its tables \(lock timeout\)"):
        await task


async def test_database_without_tables_has_the_version_zero(driver):
    assert await version_of(driver) == 0
    driver.version = 15
    assert await version_of(driver) == 15


@pytest.mark.parametrize("version", [None, 14, 17])
async def test_version_of_a_database_is_known_before_its_migration(driver, version):
    driver.version = version

    assert await present_version(driver, ADDRESS) == (version or 0)


async def test_incomplete_copy_is_not_a_store(driver):
    driver.version, driver.is_copied = 17, True

    with pytest.raises(StoreUnusable, match="an incomplete copy of another store"):
        await present_version(driver, ADDRESS)


def test_versions_of_migrations_increase():
    found = module.migrations()

    assert [version for version, _ in found] == sorted({version for version, _ in found})
    assert module.newest_version() == found[-1][0]
