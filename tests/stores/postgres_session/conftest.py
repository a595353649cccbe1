"""A session of a connection that notes its statements."""

from types import SimpleNamespace

import pytest
from session_stage import MARK, NODE, PLACE, Lost

from twite.stores.postgres import session as module
from twite.stores.postgres.driver.connection import ResultRows
from twite.stores.postgres.session import PostgresSession, SharedNames


class Connection:
    """A connection that notes its statements: `rows` has the rows of the next ones by name."""

    def __init__(self):
        self.is_open = True
        self.ran = []
        self.rows = {"read_deployment": [[(b"salt",)]]}
        self.errors = {}
        self.marks = 0

    def begin(self):
        self.note("BEGIN")

    def commit(self):
        self.note("COMMIT")

    def note(self, name, values=None):
        self.ran.append((name, values))
        if name in self.errors:
            raise self.errors.pop(name)

    def run(self, name, /, **values):
        self.note(name, values)
        if values.get("mark", 0) is None:
            # The database chooses the first id of a new block.
            self.marks += 1
            mark = MARK * self.marks
        else:
            mark = values.get("mark")
        if name in {"begin", "claim_usual"}:
            return ResultRows([(mark, "more")], 1)
        rows = self.rows[name].pop(0) if self.rows.get(name) else []
        return ResultRows(rows, len(rows))

    def execute(self, statement, values=()):
        self.note(statement, list(values))

    def names(self):
        return [name for name, _ in self.ran]

    def values_of(self, name):
        (values,) = [values for ran, values in self.ran if ran == name]
        return values


@pytest.fixture
def clock(monkeypatch):
    """The frozen time, in seconds."""
    time = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: time[0])
    return time


@pytest.fixture
def names():
    return SharedNames()


@pytest.fixture
def connection(monkeypatch, clock):
    monkeypatch.setattr(module, "at_once", lambda parts: tuple(kind.table() for kind, _ in parts))
    return Connection()


@pytest.fixture
def session(connection, names):
    session = PostgresSession(connection, names=names, window=9, place=PLACE, node=lambda: NODE)
    connection.ran.clear()
    return session


@pytest.fixture
def transact(session):
    def run(unit=lambda _: None, **how):
        return session.transact(unit, lost=(Lost,), **how)

    return run


@pytest.fixture
def tally(session):
    """Counts nothing, and notes what the session tells it."""
    reported = []
    session.tally = SimpleNamespace(
        write=lambda: reported.append("write"),
        committed=lambda: reported.append("committed"),
        clear=lambda: reported.append("clear"),
        new_counts=lambda whose: whose,
    )
    return reported
