"""Engine processes: their memory, and that a failure affects only one run."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from template_stage import NOW, call, template

from twite.domain.errors import TemplatesBusy
from twite.tags.engines.process import engine_process
from twite.tags.engines.process.engine_process import BEHIND, HANGS
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.ports.engines import EngineLost
from twite.tags.template.sandbox import EffectAnswer, RunLimits, RunResult
from twite.tags.template.template import TemplateUnusable

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

GOOD = template("require('sendHttpGet')('https://a.example/', () => data.gtmOnSuccess());")
ECHOES = template(
    "require('sendHttpGet')('https://a.example/', (status) => "
    "data.at === status ? data.gtmOnSuccess() : data.gtmOnFailure());"
)
LOOPS = template("for (;;) {}")
BOMB = template("const all = []; for (;;) all.push('x'.repeat(1e5) + all.length);")
IN_ONE_STEP = template(
    """
    const none = {};
    const long = 'x'.repeat(2000000);
    for (let at = 0; ; at++) none[long + at];
    """
)
LEAVES = template(
    "const all = {}; all.itself = all; all.long = []; "
    "for (let at = 0; at < 40; at++) all.long.push('x'.repeat(1e5) + at);"
)
ANSWER = (EffectAnswer(id=1, status=200),)


@pytest.fixture
async def server():
    server = EngineServer(keys={"one": "key-of-hmac"})
    yield server
    await server.stop()


@pytest.fixture
def process(server):
    return server.process(RunLimits(time=0.1))


@pytest.fixture
def patient(server):
    return server.process(RunLimits(time=20))


async def hangs_in(process):
    """Return a turn that hangs, once it has started."""
    asked = asyncio.create_task(process.start(IN_ONE_STEP, call()))
    clock = (~await pid_of(process) << 3) | 2
    await until(lambda: time.clock_gettime(clock) > 0.05)
    return asked


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  the system sets no event
            await asyncio.sleep(0.001)


async def pid_of(process):  # it may arrive after the first answer
    await until(lambda: process.pid is not None)
    return process.pid


async def test_fork_server_is_shared_until_its_last_user_stops(server):
    server.start()
    process, pid = server.process(RunLimits()), server.pid
    server.start()

    await server.stop()
    shared = await succeeds(process)
    still = server.pid
    await server.stop()

    assert (shared, still == pid, server.pid) == (True, True, None)


async def succeeds(process):
    first = await process.start(GOOD, call())
    last = await process.resume(first.run, ANSWER, now=NOW)
    return last.outcome is RunResult.SUCCESS


async def test_run_continues_over_several_turns_and_its_cpu_time_is_measured(process):
    first = await process.start(GOOD, call())
    last = await process.resume(first.run, ANSWER, now=NOW)

    assert (first.outcome, last.outcome) == (RunResult.SILENT, RunResult.SUCCESS)
    assert 0 < first.took < 1


@linux
async def test_engine_process_has_no_environment_and_only_pipes(server, process, monkeypatch):
    monkeypatch.setenv("TWITE_SECRET_KEY", "must-not-be-there")
    await succeeds(process)

    assert proc_file(server.pid, "environ") == ""
    if os.geteuid() == 0:  # others may not look, since the process is not dumpable
        assert proc_file(process.pid, "environ") == ""
        assert descriptors(process.pid) == ["0 pipe", "1 pipe"]


@linux
async def test_engine_process_has_limits_and_cannot_gain_privileges(process):
    await succeeds(process)

    limits = {
        line[:25].strip(): line[25:].split()[:2]
        for line in proc_file(process.pid, "limits").splitlines()
    }
    status = proc_file(process.pid, "status")
    assert limits["Max open files"] == ["2", "2"]
    assert limits["Max file size"] == limits["Max core file size"] == ["0", "0"]
    assert int(limits["Max address space"][1]) < 1 << 30
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert os.getpgid(process.pid) == process.pid


@linux
async def test_engine_processes_and_fork_server_end_with_the_gateway(server, process):
    script = (
        "import asyncio, os, sys; from template_stage import call, template\n"
        "from twite.tags.engines.process.engine_server import EngineServer\n"
        "from twite.tags.template.sandbox import RunLimits\n"
        "async def main():\n"
        "    server = EngineServer(); process = server.process(RunLimits())\n"
        "    await process.start(template(''), call())\n"
        "    print(server.pid, process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )
    died = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=Path(__file__).parent, stdout=asyncio.subprocess.PIPE
    )
    reported, _ = await died.communicate()
    pids = [int(pid) for pid in reported.split()]
    assert len(pids) == 2
    await until(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid):
    with contextlib.suppress(OSError):
        return "State:\tZ" not in proc_file(pid, "status")
    return False


def descriptors(pid):
    return sorted(f"{end.name} {end.readlink()}"[:6] for end in Path(f"/proc/{pid}/fd").iterdir())


def proc_file(pid, name):
    return Path(f"/proc/{pid}/{name}").read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS])
async def test_crash_of_a_process_affects_only_the_current_run(patient, number):
    process = patient
    waiting = [await process.start(ECHOES, call(fields={"at": at})) for at in range(5)]
    hanging = await hangs_in(process)
    behind = asyncio.create_task(
        process.resume(waiting[0].run, (EffectAnswer(id=1, status=0),), now=NOW)
    )
    await asyncio.sleep(0)
    before = await pid_of(process)

    os.kill(process.pid, number)

    with pytest.raises(EngineLost, match=f"its engine process ended by {number.name}"):
        await hanging
    turns = [await behind]
    for at, turn in enumerate(waiting[1:], start=1):
        turns.append(await process.resume(turn.run, (EffectAnswer(id=1, status=at),), now=NOW))
    assert {turn.outcome for turn in turns} == {RunResult.SUCCESS}
    assert process.pid != before


async def test_turn_that_the_kernel_does_not_end_is_ended_by_the_gateway(server, monkeypatch):
    monkeypatch.setattr(engine_process, "_LONGER", 0.3 - 30)
    process = server.process(RunLimits(time=30))
    waiting = await process.start(GOOD, call())

    with pytest.raises(EngineLost) as caught:
        await process.start(IN_ONE_STEP, call())

    assert str(caught.value) == HANGS
    assert 0.3 <= caught.value.took < 10
    assert (await process.resume(waiting.run, ANSWER, now=NOW)).outcome is RunResult.SUCCESS


@pytest.mark.parametrize(
    ("hostile", "error"),
    [
        (LOOPS, "the run took too much time. A step may use 300 ms "),
        (IN_ONE_STEP, "the run took too much time. A step may use 300 ms "),
        (BOMB, "the run used too much memory. A template may use 16 MiB. "),
    ],
    ids=["loop", "long step", "memory bomb"],
)
async def test_run_over_a_limit_affects_no_other_run_of_its_template(server, hostile, error):
    process = server.process(RunLimits(time=3 if hostile is BOMB else 0.3))
    both = template(f"if (data.bad) {{ {hostile.code.text} }} {ECHOES.code.text}")
    waiting = await process.start(both, call(fields={"at": 7}))
    before = await pid_of(process)

    ended = await process.start(both, call(fields={"bad": True}))
    after = await process.resume(waiting.run, (EffectAnswer(id=1, status=7),), now=NOW)

    assert (ended.error or "").startswith(error)
    assert ended.spent
    assert after.outcome is RunResult.SUCCESS
    assert process.pid != before  # memory that the engine leaked is gone with the process


async def test_earlier_turns_are_repeated_in_a_new_process_without_their_effects(process):
    code = """
    const send = require('sendHttpGet');
    const random = require('generateRandom');
    const seen = [random(0, 1e9)];
    const next = (status) => {
      seen.push(status, random(0, 1e9));
      if (status === 3) { require('logToConsole')(seen.join()); data.gtmOnSuccess(); }
      else send('https://a.example/' + status, next);
    };
    send('https://a.example/0', next);
    """
    reported = []
    for dies in (False, True):
        turn = await process.start(template(code), call(seed=7))
        for status in (1, 2, 3):
            if dies:
                gone = await pid_of(process)
                os.kill(gone, signal.SIGKILL)
                await until(lambda gone=gone: process.pid != gone)
            answers = (EffectAnswer(id=turn.waiting[0], status=status),)
            turn = await process.resume(turn.run, answers, now=NOW + status)
        reported.append((turn.outcome, turn.effects))

    assert reported[0] == reported[1]
    assert reported[0][0] is RunResult.SUCCESS
    assert len(reported[0][1]) == 1  # only the message about the connection: no request was made


async def test_memory_left_by_earlier_runs_does_not_end_a_run(server):
    process = server.process(RunLimits(time=2))

    turns = [await process.start(LEAVES, call()) for _ in range(12)]

    assert [turn.error for turn in turns] == [None] * 12


async def test_run_too_large_to_repeat_is_lost_with_its_process(process):
    code = """
    const send = require('sendHttpGet');
    const next = () => send('https://a.example/', next);
    next();
    """
    turn = await process.start(template(code), call())
    for _ in range(5):
        large = (EffectAnswer(id=turn.waiting[0], status=200, body="x" * 1_000_000),)
        turn = await process.resume(turn.run, large, now=NOW)
    gone = await pid_of(process)
    os.kill(gone, signal.SIGKILL)
    await until(lambda: process.pid != gone)

    lost = await process.resume(turn.run, (), now=NOW)

    assert "is too large to repeat" in str(lost.error)
    assert await succeeds(process)


async def test_simultaneous_runs_get_their_own_responses(process):
    calls = [call(fields={"at": at}) for at in range(50)]

    turns = await asyncio.gather(*(process.start(ECHOES, said) for said in calls))
    reported = await asyncio.gather(
        *(
            process.resume(turn.run, (EffectAnswer(id=1, status=at),), now=NOW)
            for at, turn in enumerate(turns)
        )
    )

    assert {turn.outcome for turn in reported} == {RunResult.SUCCESS}


async def test_run_that_has_ended_is_not_resumed(process):
    first = await process.start(GOOD, call())

    process.end(first.run)

    assert (await process.resume(first.run, (), now=NOW)).error is not None


async def test_run_of_a_cancelled_caller_is_forgotten(process):
    asked = asyncio.create_task(process.start(GOOD, call()))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked

    assert (await process.resume(1, ANSWER, now=NOW)).error is not None
    assert await succeeds(process)


async def test_syntax_error_is_refused_with_its_line_and_keeps_the_process(process):
    await succeeds(process)
    before = await pid_of(process)

    with pytest.raises(TemplateUnusable) as caught:
        await process.start(template("const a = 1;\nconst b = ;"), call())

    assert (caught.value.line, await succeeds(process)) == (2, True)
    assert process.pid == before


async def test_idle_process_ends_and_the_next_run_starts_another(server, monkeypatch):
    process = engine_process.QuickJsProcess(server, limits=RunLimits(), keys={}, idle=0.05)
    first = await process.start(GOOD, call())
    pid = await pid_of(process)
    await asyncio.sleep(0.2)
    assert process.pid == pid  # kept, because a run still waits in it
    await process.resume(first.run, ANSWER, now=NOW)
    await until(lambda: process.pid is None)
    assert await succeeds(process)
    assert process.pid != pid
    process.stop()


@linux
async def test_process_with_low_priority_is_replaced_by_one_with_low_priority(process):
    await succeeds(process)
    process.demote()
    ranks = [os.getpriority(os.PRIO_PROCESS, process.pid)]
    await process.start(LOOPS, call())
    await succeeds(process)
    ranks.append(os.getpriority(os.PRIO_PROCESS, process.pid))

    assert ranks == [BEHIND, BEHIND]


async def test_fork_server_that_died_is_restarted(server, process):
    await succeeds(process)
    former = server.pid
    os.kill(former, signal.SIGKILL)
    await until(lambda: server.pid != former and process.pid is None)

    assert await succeeds(process)
    assert server.pid not in {None, former}


async def test_callers_get_busy_if_no_process_can_be_started(server, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(TemplatesBusy, match="no engine process can be started"):
        await server.process(RunLimits()).start(GOOD, call())


async def test_queued_runs_are_cancelled_when_the_process_stops(server, patient):
    hanging = await hangs_in(patient)

    await server.stop()

    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_prepared_process_runs_its_loaded_template(process):
    process.prepare(GOOD)
    await until(lambda: process.pid is not None)
    prepared = process.pid

    assert await succeeds(process)
    assert process.pid == prepared


async def test_process_prepared_with_invalid_code_reports_it_at_the_first_run(process):
    bad = template("const a = ;")
    process.prepare(bad)

    with pytest.raises(TemplateUnusable):
        await process.start(bad, call())
    assert await succeeds(process)
