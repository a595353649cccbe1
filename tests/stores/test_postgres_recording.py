"""Recording on PostgreSQL: groups, statements, the ids of a session, and arrays."""

import asyncio
from itertools import pairwise

import asyncpg
import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from store_contract.actions import PIXEL
from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.submission import Recorded, RejectedConversion
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import recorder, session
from twite.stores.postgres.driver import connection
from twite.stores.postgres.recorder import Recorder
from twite.stores.postgres.session import SharedNames
from twite.stores.postgres.store import PostgresStore


@pytest.fixture
async def other(postgres_url):
    """A connection of another gateway."""
    driver = await asyncpg.connect(postgres_url)
    yield driver
    await driver.close()


@pytest.fixture
async def store(postgres_url, clock):
    store = await PostgresStore.open(postgres_url, StoreOptions())
    # After this, the only writing connection knows the account and the event, and has reserved ids.
    await store.record(submission("order-0"))
    yield store
    await store.close()


@pytest.fixture
def clock(monkeypatch):
    """The frozen time of sessions, in seconds."""
    time = [1.0]
    monkeypatch.setattr(session, "monotonic", lambda: time[0])
    return time


@pytest.fixture
def round_trips(monkeypatch):
    """The number of round trips so far."""
    waited = [0]
    wait_for = connection.wait_for

    def counting(awaitable):
        waited[0] += 1
        return wait_for(awaitable)

    monkeypatch.setattr(connection, "wait_for", counting)
    return waited


def submission(*conversion_ids):
    entries = [an_entry(id_, index=index) for index, id_ in enumerate(conversion_ids)]
    return a_submission(*entries, receipt=conversion_ids[0], received_at=NOW)


async def ids_of(driver, table):
    return [id_ for (id_,) in await driver.fetch(f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608


async def test_group_of_new_conversions_needs_four_round_trips(store, round_trips):
    await store.record(submission("order-1", "order-2"))

    # BEGIN, the dedup keys together with the mark, all other rows, COMMIT
    assert round_trips == [4]


async def test_groups_within_a_second_have_ids_of_one_block(store, other):
    await store.record(submission("order-1", "order-2"))
    await store.record(submission("order-3"))

    first = (await ids_of(other, "conversion"))[0]
    assert await ids_of(other, "conversion") == [first, first + 1, first + 2, first + 3]
    assert await ids_of(other, "submission") == [first, first + 1, first + 3]


async def test_each_group_has_its_mark(store, other):
    await store.record(submission("order-1", "order-2"))
    await store.record(submission("order-3"))

    marks = await ids_of(other, "transaction_mark")
    assert marks[-3:] == await ids_of(other, "submission")


async def test_block_of_ids_is_used_for_a_second(store, other, clock):
    clock[0] += session.BLOCK_FOR

    await store.record(submission("order-1"))

    first, last = await ids_of(other, "conversion")
    assert last - first > 2


async def test_group_larger_than_the_rest_of_the_block_gets_a_new_block(store, other):
    many = [f"order-{number}" for number in range(1, 1 << 11)]
    await store.record(submission(*many))
    await store.record(submission("order-a", "order-b"))

    ids = await ids_of(other, "conversion")
    gaps = [later - earlier for earlier, later in pairwise(ids)]
    assert gaps == [gaps[0]] + [1] * (len(many) - 1) + [gaps[-2], 1]
    assert min(gaps[0], gaps[-2]) > 1


async def test_block_used_by_another_session_is_given_up(store, other):
    (last,) = await ids_of(other, "conversion")
    await other.execute("INSERT INTO transaction_mark VALUES ($1)", last + 1)

    assert await store.record(submission("order-1")) == Recorded()

    first, second = await ids_of(other, "conversion")
    assert second - first > 2


async def test_group_without_conversions_uses_the_mark_of_its_transaction(store, other):
    rejected = RejectedConversion(index=0, pixel=PIXEL, errors=())
    for receipt in ("r1", "r2"):
        empty = a_submission(receipt=receipt, received_at=NOW)
        await store.record(msgspec.structs.replace(empty, refusals=(rejected,)))
    await store.record(submission("order-1"))

    first, second, third = (await ids_of(other, "transaction_mark"))[-3:]
    assert (second - first, third - second) == (1, 1)


class SlowDatabase:
    """A database in which writing a group takes until the test ends it."""

    def __init__(self):
        self.names = SharedNames()
        self.begun = asyncio.Queue()

    async def write(self, unit, **_):
        group = unit.args[0]
        end = asyncio.get_running_loop().create_future()
        self.begun.put_nowait((len(group), end))
        await end
        return [Recorded()] * len(group)


@pytest.fixture
async def database():
    return SlowDatabase()


@pytest.fixture
async def slow_recorder(database):
    made = Recorder(database, most_conversions=1_000, most_bytes=1 << 20)
    made.start()
    yield made
    await made.close()


async def turns():
    """Let all tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_next_group_is_as_large_as_the_group_being_written(
    slow_recorder, database, monkeypatch
):
    monkeypatch.setattr(recorder, "COLLECT_FOR", 3_600)
    recording = [asyncio.create_task(slow_recorder.submit(submission(f"a{n}"))) for n in range(3)]
    size, end = await database.begun.get()

    recording += [asyncio.create_task(slow_recorder.submit(submission(f"b{n}"))) for n in range(2)]
    await turns()
    assert (size, database.begun.empty()) == (3, True)

    recording.append(asyncio.create_task(slow_recorder.submit(submission("b2"))))
    size, second = await database.begun.get()
    assert size == 3

    end.set_result(None)
    second.set_result(None)
    assert await asyncio.gather(*recording) == [Recorded()] * 6


async def test_smaller_group_begins_when_the_previous_group_is_written(
    slow_recorder, database, monkeypatch
):
    monkeypatch.setattr(recorder, "COLLECT_FOR", 3_600)
    first = [asyncio.create_task(slow_recorder.submit(submission(f"a{n}"))) for n in range(3)]
    _, end = await database.begun.get()
    second = asyncio.create_task(slow_recorder.submit(submission("b")))
    await turns()

    end.set_result(None)
    size, end = await database.begun.get()
    end.set_result(None)

    assert size == 1
    assert await asyncio.gather(*first, second) == [Recorded()] * 4


async def test_smaller_group_does_not_wait_for_a_slow_group(slow_recorder, database, monkeypatch):
    monkeypatch.setattr(recorder, "COLLECT_FOR", 0)
    first = [asyncio.create_task(slow_recorder.submit(submission(f"a{n}"))) for n in range(3)]
    _, slow = await database.begun.get()

    second = asyncio.create_task(slow_recorder.submit(submission("b")))
    size, end = await database.begun.get()
    end.set_result(None)

    assert (size, await second) == (1, Recorded())
    slow.set_result(None)
    assert await asyncio.gather(*first) == [Recorded()] * 3


async def test_closing_the_recorder_writes_a_small_group(slow_recorder, database, monkeypatch):
    monkeypatch.setattr(recorder, "COLLECT_FOR", 3_600)
    first = [asyncio.create_task(slow_recorder.submit(submission(f"a{n}"))) for n in range(3)]
    _, slow = await database.begun.get()
    second = asyncio.create_task(slow_recorder.submit(submission("b")))
    await turns()

    closing = asyncio.create_task(slow_recorder.close())
    size, end = await database.begun.get()
    end.set_result(None)
    slow.set_result(None)
    await closing

    assert size == 1
    assert await asyncio.gather(*first, second) == [Recorded()] * 4


def kilobytes(conversion_id, size):
    """Return a submission with a body of this size."""
    entry = msgspec.structs.replace(an_entry(conversion_id), body=b"x" * size * 1_000)
    return a_submission(entry, receipt=conversion_id)


@pytest.mark.parametrize(
    ("queued", "fits", "exceeds"),
    [
        (submission("a", "b", "c"), submission("d"), submission("d", "e")),
        (
            msgspec.structs.replace(submission("a"), entries=()),
            submission("b", "c", "d"),
            submission("b", "c", "d", "e"),
        ),
        (kilobytes("a", 5), kilobytes("b", 4), kilobytes("b", 5)),
    ],
)
async def test_submission_that_exceeds_the_queue_is_refused(database, queued, fits, exceeds):
    recorder = Recorder(database, most_conversions=4, most_bytes=10_000)  # it does not begin
    waiting = [asyncio.create_task(recorder.submit(queued))]
    await turns()

    with pytest.raises(QueueFull, match="too many writes are queued"):
        await asyncio.wait_for(recorder.submit(exceeds), 20)
    waiting.append(asyncio.create_task(recorder.submit(fits)))
    await turns()

    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()


async def test_submission_larger_than_the_limit_is_accepted_by_an_empty_queue(database):
    recorder = Recorder(database, most_conversions=1, most_bytes=1_000)

    waiting = asyncio.create_task(recorder.submit(kilobytes("a", 2)))
    await turns()

    assert not waiting.done()
    waiting.cancel()


async def test_queue_has_room_again_when_its_submissions_are_written(slow_recorder, database):
    slow_recorder._most_conversions = 1  # noqa: SLF001
    first = asyncio.create_task(slow_recorder.submit(submission("a")))
    _, end = await database.begun.get()
    refused = asyncio.create_task(slow_recorder.submit(submission("b")))
    await turns()
    is_refused = refused.done()

    end.set_result(None)
    await first
    second = asyncio.create_task(slow_recorder.submit(submission("b")))
    _, end = await database.begun.get()
    end.set_result(None)

    assert is_refused
    assert isinstance(refused.exception(), QueueFull)
    assert await second == Recorded()


async def test_submission_is_refused_with_the_reason_while_the_recorder_refuses(database):
    recorder = Recorder(database, most_conversions=1_000, most_bytes=1 << 20)
    recorder.refusing = "the database is full"

    with pytest.raises(LedgerUnavailable, match="the database is full"):
        await asyncio.wait_for(recorder.submit(submission("a")), 20)


async def test_submission_is_refused_after_the_recorder_closed(database):
    recorder = Recorder(database, most_conversions=1_000, most_bytes=1 << 20)
    recorder.start()
    await recorder.close()

    with pytest.raises(LedgerUnavailable, match="the store is closing"):
        await asyncio.wait_for(recorder.submit(submission("a")), 20)
