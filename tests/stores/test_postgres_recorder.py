"""Groups of the recorder for PostgreSQL: which submissions are committed together, and refused."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from builders import a_submission, an_entry
from fakes import settled
from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.submission import Idempotency, Recorded
from twite.stores.postgres import recorder as module
from twite.stores.postgres.recorder import MOST_FAILED, Recorder

FOREVER = 3_600
BYTES = 1 << 20


class Database:
    """Notes the receipts of each group, fails for some, and waits while `gate` is closed."""

    def __init__(self):
        self.groups = []
        self.begins = []
        self.locked = []
        self.errors = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.version = 1  # of the opt-out list in the database
        self.names = SimpleNamespace(opt_outs=SimpleNamespace(version=1))
        self.opt_outs = SimpleNamespace(refresh=lambda: self.version)

    async def write(self, action, *, begins=False):
        self.begins.append(begins)
        try:
            return action(self)
        finally:
            await self.gate.wait()

    def lock_names(self, names):
        self.locked.append(list(names))

    def record(self, submissions):
        receipts = [submission.receipt for submission in submissions]
        self.groups.append(receipts)
        for receipt in receipts:
            if receipt in self.errors:
                raise self.errors[receipt]
        return [stored(receipt) for receipt in receipts]


@pytest.fixture
async def database(monkeypatch):
    monkeypatch.setattr(module, "COLLECT_FOR", FOREVER)
    monkeypatch.setattr(
        module.intake, "record", lambda session, submissions: session.record(submissions)
    )
    return Database()


@pytest.fixture
async def recorder(database):
    recorder = Recorder(database, most_conversions=10, most_bytes=BYTES)
    recorder.start()
    await settled()
    yield recorder
    database.gate.set()
    async with asyncio.timeout(1):
        await recorder.close()


def stored(receipt):
    return Recorded(held=(int(receipt),))


def submission(receipt, many=1):
    entries = [an_entry(f"c{receipt}-{n}", index=n) for n in range(many)]
    return a_submission(*entries, receipt=str(receipt))


def size_of(submission):
    return len(submission.body) + sum(len(entry.body) for entry in submission.entries)


def lasting():
    error = LedgerUnavailable(reason="broken", retry_after=1)
    error.__cause__ = ValueError("an index")
    return error


def passing():
    return LedgerUnavailable(reason="away", retry_after=1)


async def submitted(recorder, *submissions):
    tasks = [asyncio.create_task(recorder.submit(each)) for each in submissions]
    await settled()
    return tasks


async def results(tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_submissions_that_arrive_together_are_committed_together(recorder, database):
    tasks = await submitted(recorder, *map(submission, range(3)))

    assert await results(tasks) == [stored("0"), stored("1"), stored("2")]
    assert (database.groups, database.begins) == ([["0", "1", "2"]], [True])


async def test_next_group_waits_until_it_is_as_large_as_the_current_one(recorder, database):
    database.gate.clear()
    await submitted(recorder, submission(0, 3))
    await submitted(recorder, submission(1), submission(2, 0))
    before = list(database.groups)
    await submitted(recorder, submission(3))

    assert before == [["0"]]
    assert database.groups == [["0"], ["1", "2", "3"]]


async def test_third_group_waits_for_the_first_two(recorder, database):
    database.gate.clear()
    for n in range(5):
        await submitted(recorder, submission(n))
    before = list(database.groups)
    database.gate.set()
    await settled()

    assert before == [["0"], ["1"]]
    assert database.groups == [["0"], ["1"], ["2", "3", "4"]]


async def test_next_group_waits_for_a_limited_time(recorder, database, monkeypatch):
    monkeypatch.setattr(module, "COLLECT_FOR", 0.01)
    database.gate.clear()
    await submitted(recorder, submission(0, 3))
    await submitted(recorder, submission(1))
    before = list(database.groups)
    await asyncio.sleep(0.01)
    await settled()

    assert (before, database.groups) == ([["0"]], [["0"], ["1"]])


async def test_time_of_an_earlier_group_does_not_end_the_wait(recorder, database, monkeypatch):
    monkeypatch.setattr(module, "COLLECT_FOR", 0.01)
    await results(await submitted(recorder, submission(0)))
    monkeypatch.setattr(module, "COLLECT_FOR", FOREVER)
    database.gate.clear()
    await submitted(recorder, submission(1, 3))
    await submitted(recorder, submission(2))
    await asyncio.sleep(0.01)
    await settled()

    assert database.groups == [["0"], ["1"]]


async def test_groups_have_a_limited_size(recorder, database, monkeypatch):
    monkeypatch.setattr(module, "_MOST_TOGETHER", 4)
    tasks = await submitted(
        recorder, submission(0, 2), submission(1, 1), submission(2, 1), submission(3, 1)
    )
    await results(tasks)

    assert database.groups == [["0", "1", "2"], ["3"]]


async def test_queue_has_a_limited_number_of_conversions(recorder, database):
    database.gate.clear()
    first = await submitted(recorder, submission(0, 8), submission(1, 0), submission(2, 1))
    [empty, small] = await results(await submitted(recorder, submission(3, 0), submission(4, 1)))
    database.gate.set()
    await results(first)
    database.gate.clear()
    again = await submitted(recorder, submission(5, 9), submission(6, 1))
    [full] = await results(await submitted(recorder, submission(7)))
    database.gate.set()

    for error in (empty, small, full):
        assert isinstance(error, QueueFull)
        assert str(error.reason) == "too many writes are queued for the store"
        assert error.retry_after == 1
    assert await results(again) == [stored("5"), stored("6")]


async def test_queue_has_a_limited_number_of_bytes(database):
    first, second = submission(0), submission(1, 2)
    recorder = Recorder(database, most_conversions=10, most_bytes=size_of(first) + size_of(second))
    recorder.start()
    await settled()
    database.gate.clear()
    tasks = await submitted(recorder, first, second)
    [error] = await results(await submitted(recorder, submission(2, 0)))
    database.gate.set()
    await results(tasks)
    database.gate.clear()
    tasks = await submitted(recorder, first, second)
    database.gate.set()

    assert isinstance(error, QueueFull)
    assert await results(tasks) == [stored("0"), stored("1")]
    await recorder.close()


async def test_large_submission_is_accepted_if_the_queue_is_empty(recorder):
    assert await recorder.submit(submission(0, 11)) == stored("0")


async def test_closed_recorder_refuses_submissions(recorder):
    await recorder.close()

    with pytest.raises(LedgerUnavailable, match="the store is closing") as raised:
        await recorder.submit(submission(0))

    assert raised.value.retry_after == 5


async def test_recorder_that_never_started_can_be_closed(database):
    await Recorder(database, most_conversions=1, most_bytes=1).close()

    assert database.groups == []


async def test_closing_the_recorder_commits_the_queue(recorder, database):
    database.gate.clear()
    tasks = await submitted(recorder, submission(0, 3))
    tasks += await submitted(recorder, submission(1))
    closing = asyncio.create_task(recorder.close())
    await settled()
    during = closing.done(), list(database.groups)
    database.gate.set()
    await closing

    assert during == (False, [["0"], ["1"]])
    assert all(task.done() for task in tasks)
    assert await results(tasks) == [stored("0"), stored("1")]


async def test_recorder_refuses_submissions_with_a_reason(recorder, database):
    recorder.refusing = "the database is read-only"

    [error] = await results(await submitted(recorder, submission(0)))

    assert isinstance(error, LedgerUnavailable)
    assert (error.reason, error.retry_after) == ("the database is read-only", 5)
    assert database.groups == []


@pytest.mark.parametrize("error", [None, passing()])
async def test_cancelled_request_does_not_affect_others(recorder, database, error):
    database.gate.clear()
    database.errors = {"0": error} if error else {}
    canceled, other = await submitted(recorder, submission(0), submission(1))
    canceled.cancel()
    await settled()
    database.gate.set()
    await settled()

    assert canceled.cancelled()
    assert other.done()
    assert await results([other]) == [error or stored("1")]


async def test_results_of_several_submissions_are_reported_together_in_order(recorder, database):
    reported = []
    database.gate.clear()
    recorder.submit_soon([submission(0, 3), submission(1, 20), submission(2)], reported.append)
    await settled()
    before = list(reported)
    database.gate.set()
    await settled()

    [(first, full, last)] = reported
    assert (before, first, last) == ([], stored("0"), stored("2"))
    assert isinstance(full, QueueFull)


async def test_failed_callback_does_not_affect_other_callers(recorder):
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: faults.append(said))
    recorder.submit_soon([submission(0)], lambda _: 1 / 0)

    assert await results(await submitted(recorder, submission(1))) == [stored("1")]
    assert [type(fault["exception"]) for fault in faults] == [ZeroDivisionError]


@pytest.mark.parametrize("error", [ValueError("odd"), lasting(), passing()])
async def test_failed_submission_is_tried_once(recorder, database, error):
    database.errors = {"0": error}

    assert await results(await submitted(recorder, submission(0))) == [error]
    assert database.groups == [["0"]]


@pytest.mark.parametrize("error", [ValueError("odd"), lasting()])
async def test_group_with_an_invalid_submission_is_committed_one_by_one(recorder, database, error):
    database.errors = {"1": error}
    await results(await submitted(recorder, submission(1), submission(3)))
    pair, database.groups, database.begins = database.groups, [], []
    tasks = await submitted(recorder, *map(submission, range(3)))

    assert pair == [["1", "3"], ["1"], ["3"]]
    assert await results(tasks) == [stored("0"), error, stored("2")]
    assert database.groups == [["0", "1", "2"], ["0"], ["1"], ["2"]]
    assert database.begins == [True, False, False, False]


async def test_whole_group_fails_while_the_database_is_unavailable(recorder, database):
    database.errors = {"1": (error := passing())}
    tasks = await submitted(recorder, *map(submission, range(3)))

    assert await results(tasks) == [error] * 3
    assert database.groups == [["0", "1", "2"]]


async def test_rest_of_a_group_fails_after_three_permanent_errors(recorder, database):
    errors = {str(n): lasting() for n in range(1, 6)}
    database.errors = dict(errors)
    tasks = await submitted(recorder, *map(submission, range(6)))

    last = errors[str(MOST_FAILED)]
    assert await results(tasks) == [stored("0"), errors["1"], errors["2"], last, last, last]
    assert database.groups[1:] == [["0"], ["1"], ["2"], ["3"]]


async def test_errors_of_single_submissions_do_not_stop_the_rest_of_a_group(recorder, database):
    database.errors = {str(n): ValueError("odd") for n in range(5)}
    tasks = await submitted(recorder, *map(submission, range(6)))

    assert (await results(tasks))[5] == stored("5")
    assert len(database.groups) == 7


async def test_rest_of_a_group_fails_once_the_database_is_unavailable(recorder, database):
    away = passing()
    database.errors = {"0": ValueError("odd"), "1": away}
    tasks = await submitted(recorder, *map(submission, range(4)))

    assert (await results(tasks))[1:] == [away] * 3
    assert database.groups[1:] == [["0"], ["1"]]


async def test_submissions_need_the_newest_opt_outs_after_a_lost_lease(recorder, database):
    recorder.follows_opt_outs = lambda: False
    first = await results(await submitted(recorder, submission(0)))
    database.version = 2
    [error] = await results(await submitted(recorder, submission(1)))

    assert first == [stored("0")]
    assert isinstance(error, LedgerUnavailable)
    assert (error.reason, error.retry_after) == (
        "people have opted out since this gateway lost its lease",
        1,
    )
    assert database.groups == [["0"]]


async def test_opt_outs_of_a_process_with_a_lease_are_known(recorder, database):
    database.version = 2

    assert await recorder.submit(submission(0)) == stored("0")


async def test_idempotency_keys_are_locked(recorder, database):
    key = Idempotency(key=b"k" * 16, said=b"s" * 16)
    named = msgspec.structs.replace(submission(0), idempotency=key)
    await results(await submitted(recorder, named, submission(1)))

    assert database.locked == [[b"k" * 16]]
