"""A server whose connections, errors and statements the test decides."""

import asyncpg

from twite.domain.errors import LedgerUnavailable
from twite.stores.postgres.driver.connection import ResultRows

LOST = ConnectionResetError("lost")
READ_ONLY = asyncpg.ReadOnlySQLTransactionError("read-only")
NUL = asyncpg.CharacterNotInRepertoireError("NUL")
CLASH = asyncpg.DeadlockDetectedError("deadlock")
REFUSED = asyncpg.CheckViolationError("refused")
DAMAGED = ValueError("damaged")


class Address:
    """The address of a server: `errors` has the error of each attempt to connect, or None."""

    def __init__(self):
        self.opened = []
        self.errors = []
        self.attempts = 0

    async def connect(self):
        self.attempts += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        connection = Connection()
        self.opened.append(connection)
        return connection

    def unavailable(self, error):
        found = LedgerUnavailable(reason=str(error), retry_after=5)
        found.__cause__ = error
        return found


class Connection:
    """A driver and a connection in one: `needed` says how often a snapshot keeps row versions."""

    def __init__(self):
        self.is_open = True
        self.is_closed = False
        self.patience = None
        self.replaces_nul = None
        self.ran = []
        self.marks = []  # the rows of the search for a mark, or its error
        self.needed = [False]
        self.error = None

    def terminate(self):
        self.is_open = False

    async def close(self):
        self.terminate()
        self.is_closed = True

    def run(self, name, /, **values):
        self.ran.append((name, values))
        rows = self.marks if name == "confirm" else []
        if isinstance(rows, Exception):
            raise rows
        return ResultRows(rows, len(rows))

    async def fetchval(self, statement, *values):
        self.ran.append((statement.split()[0], values))
        if self.error is not None:
            raise self.error
        if statement.startswith("SELECT pg_current"):
            return "77"
        return self.needed.pop(0) if len(self.needed) > 1 else self.needed[0]

    async def execute(self, statement):
        self.ran.append((statement.split()[0], ()))


def raising(*errors):
    """Return a view or unit of work that raises each error once, then returns its argument."""
    left = list(errors)

    def run(given):
        if left:
            raise left.pop(0)
        return given

    return run
