"""The writer of an SQLite store when the disk or a rollback fails."""

import asyncio
import sqlite3
import threading

import pytest

from twite.domain.errors import LedgerUnavailable
from twite.stores.sqlite.engine.writer import Writer


def a_writer(open_session, turn):
    writer = Writer(
        open_session=open_session,
        committed=lambda: None,
        turn=turn,
        most_conversions=10,
        most_bytes=1_000,
    )
    writer.start()
    return writer


class Untidy:
    """A session whose rollback fails, too."""

    def __init__(self):
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def finish(self):
        pass

    def committed(self):
        pass

    def rolled_back(self):
        raise KeyError("undoing went wrong")


async def test_writer_continues_after_a_failed_rollback():
    opened = []

    def open_session():
        opened.append(Untidy())
        return opened[-1]

    writer = a_writer(open_session, threading.Lock())

    with pytest.raises(LedgerUnavailable):
        await writer.submit_act(lambda _session: 1 / 0)
    answer = await writer.submit_act(lambda _session: "written")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        _ = opened[0].connection.total_changes

    await writer.close()
    assert (answer, len(opened)) == ("written", 2)


def disk_error():
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    return error


class WorkingSession(Untidy):
    def rolled_back(self):
        pass


class FailingSession(WorkingSession):
    """A session on a disk on which nothing can be committed."""

    def finish(self):
        raise disk_error()


async def answers_of(open_session, acts):
    """Let a writer carry out acts in at most two groups; return the results."""
    turn = threading.Lock()
    writer = a_writer(open_session, turn)
    with turn:
        tasks = [asyncio.create_task(writer.submit_act(act)) for act in acts]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await writer.close()
    return answers


async def test_failing_disk_is_tried_a_few_times_for_each_group_of_operations():
    opened = []

    def open_session():
        opened.append(FailingSession())
        return opened[-1]

    answers = await answers_of(open_session, [lambda _session: None] * 50)

    assert {type(answer) for answer in answers} == {LedgerUnavailable}
    assert len(opened) <= 1 + 2 * 3


async def test_operation_that_meets_a_disk_error_fails_alone():
    def faulty(_session):
        raise disk_error()

    acts = [lambda _session: "done", faulty] * 5

    answers = await answers_of(WorkingSession, acts)

    assert [type(answer) for answer in answers] == [str, LedgerUnavailable] * 5
