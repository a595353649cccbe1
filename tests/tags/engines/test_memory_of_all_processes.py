"""All engine processes together stay within the memory limit, and every run gets a turn."""

import asyncio
import os
import signal

import pytest
from template_stage import NOW, call, template

from twite.tags.engines.process.engine_process import QuickJsProcess
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.template.sandbox import EffectAnswer, RunLimits, RunResult

SENDS = template("require('sendHttpGet')('https://a.example/', () => data.gtmOnSuccess());")
WORKS = template("let left = 300000; while (left--) {} data.gtmOnSuccess();")
EACH = (256 + 8 * 16) << 20  # bytes
ANSWER = (EffectAnswer(id=1, status=200),)


@pytest.fixture
async def server():
    server = EngineServer(memory=2 * EACH)
    yield server
    await server.stop()


def processes(server, count):
    return [server.process(RunLimits(time=2)) for _ in range(count)]


async def test_process_that_has_been_idle_longest_ends_and_its_runs_continue(server):
    first, second, third = processes(server, 3)
    waiting = await first.start(SENDS, call())
    await second.start(SENDS, call())

    await third.start(SENDS, call())
    pids = [process.pid is not None for process in (first, second, third)]
    turn = await first.resume(waiting.run, ANSWER, now=NOW)

    assert pids == [False, True, True]
    assert turn.outcome is RunResult.SUCCESS
    assert server.memory.held == 2 * EACH


async def test_runs_that_need_more_memory_than_allowed_all_end(server):
    most = 0

    async def runs(process):
        nonlocal most
        for _ in range(3):
            assert (await process.start(WORKS, call())).outcome is RunResult.SUCCESS
            most = max(most, server.memory.held)

    await asyncio.gather(*(runs(process) for process in processes(server, 6)))

    assert most == 2 * EACH


async def test_busy_process_lets_another_one_start(server):
    busy = processes(server, 2)
    done = asyncio.Event()

    async def keeps_busy(process):
        while not done.is_set():
            await process.start(WORKS, call())

    tasks = [asyncio.create_task(keeps_busy(process)) for process in busy for _ in range(3)]
    [other] = processes(server, 1)
    turn = await other.start(WORKS, call())
    done.set()
    await asyncio.gather(*tasks)

    assert turn.outcome is RunResult.SUCCESS


async def test_single_process_runs_whatever_its_memory():
    server = EngineServer(memory=1)
    first, second = processes(server, 2)

    turns = [await process.start(WORKS, call()) for process in (first, second)]

    await server.stop()
    assert {turn.outcome for turn in turns} == {RunResult.SUCCESS}


async def test_cancelled_caller_uses_no_memory(server):
    first, second, third = processes(server, 3)
    running = [asyncio.create_task(process.start(WORKS, call())) for process in (first, second)]
    await asyncio.sleep(0)
    waits = asyncio.create_task(third.start(WORKS, call()))
    await asyncio.sleep(0)

    waits.cancel()
    await asyncio.gather(*running)
    await asyncio.sleep(0)

    assert server.memory.held == 2 * EACH
    assert third.pid is None


async def test_memory_of_stopped_and_crashed_processes_is_freed(server):
    first, second = processes(server, 2)
    for process in (first, second):
        await process.start(SENDS, call())

    first.stop()
    after_a_stop = server.memory.held
    os.kill(second.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        while server.memory.held:  # noqa: ASYNC110  the system sets no event
            await asyncio.sleep(0.001)

    assert after_a_stop == EACH


async def test_preparing_a_process_ends_and_blocks_no_other(server):
    first, second, third = processes(server, 3)
    for process in (first, second, third):
        process.prepare(WORKS)

    assert [server.memory.has(process) for process in (first, second, third)] == [True, True, False]
    assert (await third.start(WORKS, call())).outcome is RunResult.SUCCESS


async def test_prepared_process_stays_idle_until_its_memory_is_needed(server):
    prepared, *others = (
        QuickJsProcess(server, limits=RunLimits(), keys={}, memory=server.memory, idle=0.05)
        for _ in range(3)
    )
    prepared.prepare(SENDS)
    await others[0].start(WORKS, call())
    for _ in range(400):  # until the other process ends, because it is idle
        await asyncio.sleep(0.05 * (others[0].pid is not None))
    still = prepared.pid

    for other in others:
        await other.start(SENDS, call())

    assert still is not None
    assert prepared.pid is None
    assert server.memory.held == 2 * EACH
    for process in (prepared, *others):
        process.stop()
