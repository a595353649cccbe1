"""Forked workers answer messages, and end with their parent."""

import asyncio
import os
import subprocess
import sys

import pytest

from twite.domain.errors import OperatorError
from twite.machine import forked_workers
from twite.machine.forked_workers import forked, workers_here

ENDED_WITH_ITS_PARENT = """
import asyncio, os, signal
from twite.machine.forked_workers import forked

def pid(message):
    return str(os.getpid()).encode()

async def main():
    async with forked(pid, 2) as workers:
        print((await workers.call(b"")).decode(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")


def own_pid(message):
    return message[::-1] + str(os.getpid()).encode()


def fail(message):
    raise ValueError(message)


def end_at_once(message):
    os._exit(3)


async def test_workers_answer_at_the_same_time_in_processes_of_their_own():
    messages = [b"%d" % number * 100_000 for number in range(8)]
    async with forked(own_pid, 2) as workers:
        answers = await asyncio.gather(*map(workers.call, messages))

    assert [answer[:100_000] for answer in answers] == [
        message[::-1][:100_000] for message in messages
    ]
    pids = {int(answer[len(message) :]) for answer, message in zip(answers, messages, strict=True)}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("function", [fail, end_at_once])
async def test_worker_that_ends_is_an_error_for_each_call(function):
    async with forked(function, 2) as workers:
        calls = await asyncio.gather(
            *[workers.call(b"x") for _ in range(4)], return_exceptions=True
        )

    assert {type(call) for call in calls} == {OperatorError}


async def test_output_of_a_failed_worker_does_not_repeat_the_message(capfd):
    async with forked(fail, 1) as workers:
        with pytest.raises(OperatorError):
            await workers.call(b"jane@shop.example")

    shown = capfd.readouterr().err
    assert shown.endswith("ValueError\n")
    assert "jane" not in shown


def test_worker_ends_when_its_parent_is_killed():
    ended = subprocess.run(
        [sys.executable, "-c", ENDED_WITH_ITS_PARENT], check=False, capture_output=True, timeout=60
    )

    # The output ends when no process has it open any more.
    assert ended.returncode == -9
    assert int(ended.stdout)
    assert ended.stderr == b""


def test_one_cpu_has_no_workers(monkeypatch):
    monkeypatch.setattr(forked_workers.os, "sched_getaffinity", lambda _pid: {0}, raising=False)
    assert workers_here() == 0
    monkeypatch.setattr(forked_workers.os, "sched_getaffinity", lambda _pid: {0, 1}, raising=False)
    assert workers_here() == 2
