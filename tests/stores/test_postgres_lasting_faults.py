"""Permanent database errors are reported, and do not delay other work."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest
from background_stage import Seen
from postgres_nodes_stage import ACCOUNTS, NOW, a_claim, owned
from test_postgres_late_settlements import accepted, late_successes

from builders import a_submission, an_entry
from twite.domain.errors import LedgerUnavailable
from twite.domain.submission import Recorded
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.postgres import database, recorder, settlements, upkeep
from twite.stores.postgres.store import PostgresStore

INDEX = "unknown_index"
CLASH = f'duplicate key value violates unique constraint "{INDEX}"'
REFUSE = "ALTER TABLE {} ADD CONSTRAINT refused CHECK (false) NOT VALID"


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(database, "_AFTER_A_CLASH", 0.0)
    monkeypatch.setattr(settlements, "_AGAIN", 0.01)
    monkeypatch.setattr(settlements, "_AFTER_A_FAULT", 0.01)


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
async def store(postgres_url, seen):
    store = await PostgresStore.open(postgres_url, StoreOptions(observer=seen))
    await store.ownership.join(ACCOUNTS, longest_request=0)
    await owned(store)
    yield store
    await store.close()


@pytest.fixture
async def database_session(postgres_url):
    """A session that inspects and changes the database as its administrator."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.execute(f"DROP INDEX IF EXISTS {INDEX}")
    for table in ("submission", "pruning"):
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS refused")
    await connection.close()


async def claimed(store, conversion_id="c1", *, pixel="pixel1"):
    entry = an_entry(conversion_id, pixel=pixel)
    await store.record(a_submission(entry, receipt=conversion_id, received_at=NOW))
    return await store.claim(a_claim(pixel))


async def refuse_attempts(connection):
    """Make the database refuse every record of a successful attempt, as a unique violation."""
    await connection.execute(
        "INSERT INTO attempt (id, at, queue, outcome, answer, ambiguous, size) "
        "VALUES (1, 1, 1, 'delivered', '', false, 1)"
    )
    await connection.execute(
        f"CREATE UNIQUE INDEX {INDEX} ON attempt (outcome) WHERE outcome = 'delivered'"
    )


async def until(is_true):
    async with asyncio.timeout(20):
        while not is_true():  # noqa: ASYNC110 - another task changes it
            await asyncio.sleep(0.01)


def reports(seen):
    return [notice for notice in seen if isinstance(notice, ProblemSeen)]


@pytest.fixture
def failures(monkeypatch):
    """The units of work that failed."""
    failed = []
    write = database.PostgresDatabase.write

    async def noting(self, unit, **options):
        try:
            return await write(self, unit, **options)
        except LedgerUnavailable as error:
            failed.append(error)
            raise

    monkeypatch.setattr(database.PostgresDatabase, "write", noting)
    return failed


async def test_settlement_that_keeps_failing_is_recorded_later(
    store, seen, failures, database_session
):
    batch = await claimed(store)
    await refuse_attempts(database_session)
    task = asyncio.create_task(store.settle(accepted(batch)))
    await until(lambda: len(failures) >= 3)
    (before,) = await store.balance()
    await database_session.execute(f"DROP INDEX {INDEX}")

    late = await task

    (after,) = await store.balance()
    assert reports(seen) == [
        ProblemSeen(where=ProblemPlace.OUTBOX, reason=f"X's response cannot be recorded: {CLASH}")
    ]
    assert (before.delivered, before.pending) == (0, 1)
    assert (late, after.delivered, after.pending, after.balance) == (0, 1, 0, 0)


async def test_settlement_that_keeps_failing_is_reported_again_while_it_fails(
    store, seen, failures, database_session, monkeypatch
):
    """The alert resolves once no failure has been reported for some minutes."""
    monkeypatch.setattr(settlements, "_REPORT_EVERY", 0.0)
    batch = await claimed(store)
    await refuse_attempts(database_session)
    task = asyncio.create_task(store.settle(accepted(batch)))

    await until(lambda: len(failures) >= 3)

    task.cancel()
    assert len(reports(seen)) >= 2


async def test_gateway_joins_again_while_a_settlement_keeps_failing(
    store, failures, open_node, end_lease, database_session
):
    """A gateway that joins ends its batches first: one that hangs would block all accounts."""
    batch = await claimed(store)
    other = await open_node()
    await refuse_attempts(database_session)
    task = asyncio.create_task(store.settle(accepted(batch)))
    await until(lambda: failures)
    end_lease(store)
    await owned(other)
    assert await owned(store) == [None]

    async with asyncio.timeout(20):
        late = await task

    await database_session.execute(f"DROP INDEX {INDEX}")
    await late_successes(store)
    (after,) = await store.balance()
    assert (late, after.delivered, after.pending, after.balance) == (1, 1, 0, 0)


async def test_submission_that_cannot_be_stored_fails_alone(store):
    """Receipts are unique."""
    first = a_submission(an_entry("c1"), receipt="r1")
    await store.record(first)
    done = asyncio.get_running_loop().create_future()
    again = a_submission(an_entry("c2"), receipt="r1")
    others = [a_submission(an_entry(f"c{n}"), receipt=f"r{n}") for n in range(3, 6)]

    store.record_soon([others[0], again, *others[1:]], done.set_result)

    stored, failed, *rest = await done
    assert [stored, *rest] == [Recorded()] * 3
    assert isinstance(failed, LedgerUnavailable)
    (account,) = await store.balance()
    assert (account.received, account.balance) == (4, 0)


async def test_few_submissions_are_tried_alone_if_none_can_be_stored(
    store, failures, database_session
):
    await database_session.execute(REFUSE.format("submission"))
    done = asyncio.get_running_loop().create_future()
    submissions = [a_submission(an_entry(f"c{n}"), receipt=f"r{n}") for n in range(50)]

    store.record_soon(submissions, done.set_result)

    results = await done
    assert {type(result) for result in results} == {LedgerUnavailable}
    assert len(failures) == 1 + recorder.MOST_FAILED


async def test_pruning_that_keeps_failing_is_reported_once(
    postgres_url, seen, failures, database_session, monkeypatch
):
    monkeypatch.setattr(upkeep, "_LOOK_FOR_OLD", 0.01)
    await database_session.execute(REFUSE.format("pruning"))
    keeping = Retention(bodies=1, history=1, dead=1)

    store = await PostgresStore.open(postgres_url, StoreOptions(observer=seen, retention=keeping))
    with suppress(TimeoutError):
        await until(lambda: len(failures) >= 3)

    await store.close()
    reason = 'new row for relation "pruning" violates check constraint "refused"'
    assert reports(seen) == [ProblemSeen(where=ProblemPlace.PRUNING, reason=reason)]
