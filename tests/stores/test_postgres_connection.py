"""A connection to PostgreSQL: its statements, its results, and the loss of the server."""

import asyncio

import asyncpg
import pytest

from twite.domain.errors import LedgerUnavailable
from twite.stores.postgres.driver import connection as module
from twite.stores.postgres.driver.bridge import run_in_greenlet
from twite.stores.postgres.driver.connection import ResultRows, without_nul
from twite.stores.postgres.driver.errors import is_lock_timeout, is_passing
from twite.stores.postgres.statements import STATEMENTS, PostgresStatement

READS = PostgresStatement("SELECT 1", ("a", "b"))
WRITES = PostgresStatement("DELETE", ("a",), has_rows=False)


class Driver:
    """A driver of asyncpg: `tag` is its answer to each statement that returns no rows."""

    def __init__(self):
        self.ran = []
        self.tag = "BEGIN"
        self.rows = []
        self.error = None
        self.closing = None  # what closing raises or waits for
        self.answers = None  # set when the server answers
        self.ended = []

    async def fetch(self, text, *values):
        await self._note(text, values)
        return self.rows

    async def execute(self, text, *values):
        await self._note(text, values)
        return self.tag

    async def _note(self, text, values):
        self.ran.append((text, values))
        if self.answers is not None:
            await self.answers.wait()
        if self.error is not None:
            raise self.error

    def is_closed(self):
        return bool(self.ended)

    def terminate(self):
        self.ended.append("terminated")
        if self.answers is not None:
            self.answers.set()

    async def close(self):
        if self.closing is not None:
            raise self.closing
        self.ended.append("closed")


@pytest.fixture
def driver():
    return Driver()


@pytest.fixture
def connection(driver, monkeypatch):
    monkeypatch.setitem(STATEMENTS, "reads", READS)
    monkeypatch.setitem(STATEMENTS, "writes", WRITES)
    return module.PostgresConnection(driver)


async def run(action):
    return await run_in_greenlet(action)


async def test_statement_with_rows_gets_its_values_in_order(connection, driver):
    driver.rows = [[1, 2], [3, 4]]

    found = await run(lambda: connection.run("reads", b=2, a=1, c=3))

    assert driver.ran == [("SELECT 1", (1, 2))]
    assert found.rowcount == 2
    assert list(found) == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    ("tag", "count"), [("DELETE 3", 3), ("INSERT 0 12", 12), ("LOCK TABLE", 0)]
)
async def test_statement_returns_the_number_of_changed_rows(connection, driver, tag, count):
    driver.tag = tag

    found = await run(lambda: connection.run("writes", a=7))

    assert driver.ran == [("DELETE", (7,))]
    assert (found.rowcount, found.fetchall()) == (count, [])


async def test_nul_is_replaced_only_on_request(connection, driver):
    await run(lambda: connection.run("writes", a="a\0"))
    connection.replaces_nul = True
    await run(lambda: connection.run("writes", a="a\0"))

    assert [values for _, values in driver.ran] == [("a\0",), ("a\ufffd",)]


def test_nul_is_replaced_in_strings_and_lists():
    assert without_nul(["a\0b", [None, "\0"], 1, b"\0"]) == ["a\ufffdb", [None, "\ufffd"], 1, b"\0"]


async def test_view_begins_with_one_snapshot_that_cannot_write(connection, driver):
    await run(lambda: connection.execute("BEGIN"))
    await run(lambda: connection.execute("COMMIT"))

    (began, _), ended = driver.ran
    assert began.startswith("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    assert ended == ("COMMIT", ())


async def test_shared_statement_is_translated(connection, driver, monkeypatch):
    monkeypatch.setattr(module, "shared", {"shared": WRITES}.get)
    driver.tag = "DELETE 2"

    found = await run(lambda: connection.execute("shared", [5]))

    assert driver.ran == [("DELETE", (5,))]
    assert found.rowcount == 2


async def test_unit_of_work_begins_with_its_time_limits(connection, driver):
    await run(connection.begin)

    assert driver.ran == [(module.UNIT, ())]


async def test_commit_of_a_failed_transaction_is_an_error(connection, driver):
    driver.tag = "COMMIT"
    await run(connection.commit)
    driver.tag = "ROLLBACK"

    with pytest.raises(asyncpg.TransactionRollbackError, match="ROLLBACK"):
        await run(connection.commit)
    assert driver.ran == [("COMMIT", ())] * 2


@pytest.mark.parametrize("name", ["reads", "writes"])
async def test_statement_without_a_response_aborts_the_connection(connection, driver, name):
    connection.patience = 0.01
    driver.answers = asyncio.Event()
    driver.error = AttributeError("'NoneType' object has no attribute 'query'")

    with pytest.raises(asyncpg.InterfaceError, match="the connection was aborted"):
        await run(lambda: connection.run(name, a=1, b=2))
    assert not connection.is_open


async def test_error_of_the_code_is_not_taken_for_a_lost_connection(connection, driver):
    driver.error = AttributeError("a fault")

    with pytest.raises(AttributeError, match="a fault"):
        await run(lambda: connection.run("reads", a=1, b=2))
    assert connection.is_open


async def test_time_limit_of_a_finished_statement_does_not_end_the_connection(connection):
    connection.patience = 0.01
    await run(lambda: connection.run("reads", a=1, b=2))

    await asyncio.sleep(0.03)

    assert connection.is_open


async def test_connection_has_the_time_limit_of_a_unit_of_work(connection):
    assert connection.patience == module.STALLED


async def test_connection_is_closed_with_a_message_to_the_server(connection, driver):
    await connection.close()

    assert driver.ended == ["closed"]


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError(), asyncpg.PostgresError()])
async def test_connection_whose_server_does_not_answer_is_aborted(connection, driver, error):
    driver.closing = error

    await connection.close()

    assert driver.ended == ["terminated"]


def test_rows_are_read_once():
    rows = ResultRows([(1,), (2,), (3,)], 3)

    assert rows.fetchone() == (1,)
    assert rows.fetchall() == [(2,), (3,)]
    assert (rows.fetchone(), rows.fetchall(), list(rows)) == (None, [], [])


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (None, True),
        (ConnectionResetError(), True),
        (asyncpg.ReadOnlySQLTransactionError(), True),
        (asyncpg.TooManyConnectionsError(), True),
        (asyncpg.DiskFullError(), True),
        (asyncpg.LockNotAvailableError(), True),
        (LedgerUnavailable(reason="away", retry_after=1), True),
        (asyncpg.UniqueViolationError(), False),
        (asyncpg.DeadlockDetectedError(), False),
        (ValueError(), False),
    ],
    ids=lambda given: type(given).__name__,
)
def test_unit_of_work_is_repeated_after_a_temporary_error(error, passes):
    assert is_passing(error) is passes


@pytest.mark.parametrize(
    ("error", "is_timeout"), [(asyncpg.LockNotAvailableError(), True), (None, False)]
)
def test_lock_timeout_is_recognized_by_its_cause(error, is_timeout):
    unavailable = LedgerUnavailable(reason="lock timeout", retry_after=1)
    unavailable.__cause__ = error

    assert is_lock_timeout(unavailable) is is_timeout
