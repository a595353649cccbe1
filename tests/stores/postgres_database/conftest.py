"""A database whose server is controlled by the test."""

from types import SimpleNamespace

import pytest
from background_stage import pause
from database_stage import Address

from twite.stores.postgres import database as module
from twite.stores.postgres.database import PostgresDatabase, PostgresReads


class Session:
    """A session whose units of work need no transaction."""

    def __init__(self, connection, **given):
        self.connection = connection
        self.given = given
        self.place = given["place"]

    def transact(self, unit, lost, *, begins):
        self.how = lost, begins
        return unit(self)


@pytest.fixture
def clock(monkeypatch):
    clock = pause(monkeypatch, module)
    module.time.perf_counter = clock.monotonic
    return clock


@pytest.fixture
def address(monkeypatch, clock):
    monkeypatch.setattr(module, "PostgresConnection", lambda driver: driver)
    monkeypatch.setattr(module, "PostgresSession", Session)
    return Address()


@pytest.fixture
def notes():
    """The durations of commits, and the sessions that committed."""
    return SimpleNamespace(timed=[], committed=[])


@pytest.fixture
async def reads(address):
    return PostgresReads(address)


@pytest.fixture
async def database(address, notes):
    return PostgresDatabase(
        address, window=9, timed=notes.timed.append, committed=notes.committed.append
    )
