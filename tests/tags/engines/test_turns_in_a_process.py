"""Turns in an engine process: hashes, measured time, and memory left behind."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from template_stage import NOW, call, template

from twite.tags.engines.process.child import RequestPipe
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.sandbox import EffectAnswer, RunLimits, RunResult

WAITS = template("require('sendHttpGet')('https://a.example/', () => data.gtmOnSuccess());")
CYCLES = template("const all = {}; all.itself = all; all.long = 'x'.repeat(1e5);")


@pytest.fixture
async def process():
    server = EngineServer()
    yield server.process(RunLimits(time=3))
    await server.stop()


async def test_step_ends_at_its_limit_although_the_gateway_ignores_the_signal():
    before = signal.signal(signal.SIGPROF, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
    server = EngineServer()
    try:
        turn = await server.process(RunLimits(time=0.1)).start(template("for (;;) {}"), call())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
        signal.signal(signal.SIGPROF, before)
        await server.stop()

    assert turn.error is not None
    assert turn.error.startswith("the run took too much time. A step may use 100 ms of CPU time. ")


@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url", None])
@pytest.mark.parametrize(
    "text",
    ["", "a@shop.example", "Köln 漢字 \U0001f600", "a\0b", "half \ud83d", "x" * 70_000],
    ids=["empty", "plain", "wide", "NUL", "lone surrogate", "long"],
)
async def test_hash_in_a_process_matches_the_local_engine(process, text, encoding):
    code = "return require('sha256Sync')(require('JSON').parse(data.text), data.options)"
    hashed = template(code)
    options = {} if encoding is None else {"outputEncoding": encoding}
    said = call(fields={"text": json.dumps(text), "options": options})

    turn = await process.start(hashed, said)

    assert turn.returned == QuickJsEngine(hashed, limits=RunLimits(time=3)).start(said).returned
    assert isinstance(turn.returned, str)


async def test_cpu_time_of_a_turn_is_measured_precisely(process):
    turns = [await process.start(WAITS, call()) for _ in range(20)]

    assert len({turn.took for turn in turns}) > 10


async def test_memory_is_freed_while_a_run_waits(process):
    waiting = await process.start(WAITS, call())
    before = process.pid

    for _ in range(250):
        assert (await process.start(CYCLES, call())).error is None
    after = await process.resume(waiting.run, (EffectAnswer(id=1, status=200),), now=NOW)

    assert (process.pid, after.outcome) == (before, RunResult.SUCCESS)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_process_wakes_up_once_per_turn(process):
    await process.start(CYCLES, call())
    before = wake_ups(process.pid)

    for _ in range(200):
        await process.start(CYCLES, call())

    assert wake_ups(process.pid) - before <= 210


def wake_ups(pid):
    """Return how many times a process has given up the CPU to wait."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("voluntary_ctxt")).split()[1])


class PipeStage:
    """A non-blocking pipe, and a clock that writes a request at one of its calls."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.requests = RequestPipe(self.reader, clock=self.clock, polls=True)
        self.now = 0.0
        self.step = 0.0
        self.readings = 0
        self.writes_at = None

    def clock(self):
        self.readings += 1
        self.now += self.step
        if self.readings == self.writes_at:
            os.write(self.writer, b"late")
        return self.now

    def request(self):
        os.write(self.writer, b"request")
        return self.requests.read()


@pytest.fixture
def stage():
    stage = PipeStage()
    yield stage
    os.close(stage.reader)
    os.close(stage.writer)


def test_process_polls_for_a_request_after_eight_fast_ones(stage):
    assert [stage.request() for _ in range(8)] == [b"request"] * 8
    stage.writes_at = stage.readings + 5

    assert stage.requests.read() == b"late"


def test_process_sleeps_at_once_after_fewer_fast_requests(stage):
    for _ in range(7):
        stage.request()
    before = stage.readings

    with pytest.raises(BlockingIOError):
        stage.requests.read()
    assert stage.readings == before + 1


def test_process_sleeps_if_no_request_follows(stage):
    for _ in range(8):
        stage.request()
    stage.step = 0.0001

    with pytest.raises(BlockingIOError):
        stage.requests.read()
    assert stage.now < 0.0006
    stage.step = 0.001
    stage.request()
    before = stage.readings
    with pytest.raises(BlockingIOError):
        stage.requests.read()
    assert stage.readings == before + 1
