"""VACUUM after an erasure waits for snapshots that may still read the erased rows."""

import asyncio

import pytest
from database_stage import LOST, READ_ONLY, REFUSED

from fakes import settled
from twite.stores.postgres.database import SNAPSHOTS_END_WITHIN

AGAIN = 0.1


@pytest.fixture
def driver(address, monkeypatch):
    """The connection of VACUUM."""
    connect = address.connect
    opened = asyncio.run(connect())

    async def connected():
        if address.errors:
            raise address.errors.pop()
        return opened

    address.connect = connected
    return opened


def statements(driver):
    return [name for name, _ in driver.ran]


async def test_vacuum_succeeds_if_no_snapshot_is_older(database, driver):
    assert await database.vacuum() is True
    # The second statement asks for snapshots from before the transaction of the first.
    assert driver.ran == [("SELECT", ()), ("SELECT", ("77",)), ("VACUUM", ())]
    assert not driver.is_open


async def test_vacuum_waits_for_older_snapshots(database, driver, clock):
    driver.needed = [True, True, False]
    task = asyncio.create_task(database.vacuum())
    await settled()
    for _ in range(2):
        assert "VACUUM" not in statements(driver)
        await clock.end(AGAIN)

    assert await task is True
    assert statements(driver)[-1] == "VACUUM"


async def test_vacuum_fails_if_an_older_snapshot_does_not_end(database, driver, clock):
    driver.needed = [True]
    task = asyncio.create_task(database.vacuum())
    await settled()
    clock.time += SNAPSHOTS_END_WITHIN - 0.5
    await clock.end(AGAIN)
    waits = not task.done()
    clock.time += 0.5
    await clock.end(AGAIN)

    assert waits
    assert await task is False
    # Other row versions are removed all the same.
    assert statements(driver)[-1] == "VACUUM"


@pytest.mark.parametrize("error", [LOST, READ_ONLY, REFUSED])
async def test_vacuum_fails_if_the_database_refuses_it(database, driver, error):
    driver.error = error

    assert await database.vacuum() is False
    assert not driver.is_open


async def test_vacuum_fails_without_a_connection(database, driver, address):
    address.errors = [LOST]

    assert await database.vacuum() is False
