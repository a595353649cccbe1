"""Schema on PostgreSQL: numbered migrations, applied under a lock, all or nothing."""

import asyncio
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

import asyncpg

from twite.domain.errors import StoreUnusable
from twite.stores.postgres.driver.address import Address
from twite.stores.sql.statements import DRAIN, numbered

_LOCK: Final = "SELECT pg_advisory_xact_lock(7458, 0)"
_VERSION: Final = "SELECT max(version) FROM schema_version"
_IS_DEVELOPMENT: Final = """SELECT NOT EXISTS (SELECT FROM pg_attribute
WHERE attrelid = 'schema_version'::regclass AND attname = 'applied_at')"""
# Excludes the transactions of running gateways: see connection.py.
_ALONE: Final = "LOCK TABLE schema_version IN ACCESS EXCLUSIVE MODE"
# A migration that waits for a lock delays all gateways. So it ends after this time, and is tried
# again after a pause, in seconds.
_LOCKED_WITHIN: Final = "SET LOCAL lock_timeout = '2s'"
# The server ends a migration whose process is suspended, which would otherwise lock out all
# gateways.
_ENDED_IF_IDLE: Final = "SET LOCAL idle_in_transaction_session_timeout = '8s'"
_AGAIN: Final = 1.0
_PATIENCE: Final = 60.0
OLDEST: Final = 14
# `twite store copy` holds this lock. Each process that opens the database to write briefly acquires
# it as a shared lock.
COPY_LOCK: Final = "7461, 0"
_SHARED: Final = f"SELECT pg_try_advisory_xact_lock_shared({COPY_LOCK})"


@cache
def migrations() -> list[tuple[int, str]]:
    return numbered(Path(__file__).with_name("migrations"))


def newest_version() -> int:
    return migrations()[-1][0]


async def migrate(
    driver: "asyncpg.Connection[Any]", address: Address, *, is_copy: bool = False
) -> bool:
    """Migrate the database to the newest version; return whether it had an older one.

    Raises StoreUnusable if the database is newer, or if a `twite store copy` uses it and this is
    not that command (`is_copy`).
    """
    major = driver.get_server_version().major
    if major < OLDEST:
        raise StoreUnusable(
            address.shown,
            f"PostgreSQL {major} is too old",
            f"Twite needs PostgreSQL {OLDEST} or newer",
        )
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            async with driver.transaction():
                return await _migrate(driver, address, is_copy=is_copy)
        except (asyncpg.LockNotAvailableError, asyncpg.TransactionRollbackError) as error:
            if time.monotonic() > until:
                raise StoreUnusable(
                    address.shown,
                    f"other sessions use its tables ({address.reason(error)})",
                    "Wait until backups with pg_dump and long queries have ended, then start again",
                ) from error
        await asyncio.sleep(_AGAIN)


async def _migrate(driver: "asyncpg.Connection[Any]", address: Address, *, is_copy: bool) -> bool:
    """Migrate inside the running transaction; return whether there was an older version."""
    await driver.execute(_ENDED_IF_IDLE)
    await driver.execute(_LOCK)
    if not is_copy and not await driver.fetchval(_SHARED):
        raise StoreUnusable(
            address.shown,
            "twite store copy is using this database",
            "Wait until the copy is complete",
        )
    present = await present_version(driver, address)
    missing = [entry for entry in migrations() if entry[0] > present]
    if missing and present:
        await driver.execute(_LOCKED_WITHIN)
        await driver.execute(_ALONE)
    for version, statements in missing:
        try:
            await driver.execute(statements)
        except asyncpg.InsufficientPrivilegeError as error:
            raise StoreUnusable(
                address.shown,
                f"the role may not create tables ({address.reason(error)})",
                "Make the role the owner of the database, or grant CREATE on its schema",
            ) from error
        await driver.execute("INSERT INTO schema_version (version) VALUES ($1)", version)
    return bool(missing and present)


async def present_version(driver: "asyncpg.Connection[Any]", address: Address) -> int:
    """Return the version of the database; 0 if it is new.

    Raises StoreUnusable if the database is newer than this code, of a development version, or an
    incomplete copy.
    """
    present, newest = await version_of(driver), newest_version()
    if present and await driver.fetchval(_IS_DEVELOPMENT):
        raise StoreUnusable(
            address.shown, f"a development version of Twite wrote it (schema {present})", DRAIN
        )
    if present > newest:
        raise StoreUnusable(
            address.shown,
            f"a newer version of Twite uses it (schema {present}; this version supports up "
            f"to {newest})",
            "Start the newer version",
        )
    if await driver.fetchval("SELECT to_regclass('store_copy') IS NOT NULL"):
        raise StoreUnusable(
            address.shown,
            "the database is an incomplete copy of another store",
            "Run the same twite store copy command again: it continues the copy",
        )
    return present


async def version_of(driver: "asyncpg.Connection[Any]") -> int:
    """Return the version of the database; 0 if it is new."""
    if await driver.fetchval("SELECT to_regclass('schema_version') IS NULL"):
        return 0
    return int(await driver.fetchval(_VERSION))
