"""Ownership with a database that the test controls."""

from types import SimpleNamespace

import pytest
from background_stage import Seen, pause
from postgres_ownership_stage import ACCOUNTS, ALL, FOREVER, NODE

from builders import NOW
from twite.stores.postgres import nodes as module
from twite.stores.postgres.driver.connection import ResultRows
from twite.stores.postgres.nodes import LEADER, PostgresOwnership


class Database:
    """A database, its sessions and its views: `rows` has the rows of each statement."""

    def __init__(self):
        self.node = 0
        self.names = SimpleNamespace(opt_outs=SimpleNamespace(version=0))
        self.connections_in_use = 3
        self.opt_outs = SimpleNamespace(refresh=lambda: self.ran.append(("refresh", {})))
        self.rows = {
            "join_nodes": [(NODE,)],
            "renew_node": [(1,)],
            "next_fence": [(FOREVER,)],
            "live_nodes": [(NODE, ALL, "mine", "[]")],
            "own_accounts": [("account1",), ("account2",), (LEADER,)],
            "check_owner": [(1,)],
            "check_pause": [(False,)],
        }
        self.ran = []
        self.reserved = []  # whether each transaction used the reserved connections
        self.during = lambda: None  # called in each transaction
        self.errors = {}  # of statements

    async def write(self, unit, *, reserved=False):
        self.reserved.append(reserved)
        self.during()
        return unit(self)

    async def read(self, view):
        self.during()
        return view(self)

    def run(self, name, /, **values):
        self.ran.append((name, values))
        if name in self.errors:
            raise self.errors.pop(name)
        rows = self.rows.get(name, [])
        return ResultRows(rows, len(rows))

    def names_ran(self):
        return [name for name, _ in self.ran]

    def values_of(self, name):
        return [values for ran, values in self.ran if ran == name]


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def clock(monkeypatch):
    clock = pause(monkeypatch, module)
    module.time.perf_counter = clock.monotonic
    module.time.time_ns = lambda: NOW * 1_000_000
    monkeypatch.setattr(module, "boot_time", clock.monotonic)
    return clock


@pytest.fixture
def expired(monkeypatch):
    """What ends leases of dead nodes: the results of its calls, and their arguments."""
    found = SimpleNamespace(results=[], calls=[])

    def expire(session, **given):
        found.calls.append(given)
        return found.results.pop(0) if found.results else 0

    monkeypatch.setattr(module.outbox, "expire", expire)
    return found


@pytest.fixture
def database(expired):
    return Database()


@pytest.fixture
def ownership(database, seen, clock):
    return PostgresOwnership(database, name="mine", version="1.2", observer=seen)


@pytest.fixture
async def joined(ownership, database):
    await ownership.join(ACCOUNTS, longest_request=15_000)
    database.ran.clear()
    database.reserved.clear()
    return ownership
