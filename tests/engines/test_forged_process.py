"""An engine process that was taken over: whatever it answers, it gets nothing that it may not."""

import asyncio
import socket

import msgspec
import pytest
from template_stage import call, template

from twite.engines.process.engine_process import QuickJsProcess
from twite.engines.process.frames import EngineRequest, EngineResponse, FrameReader, framed
from twite.gateway.ports.engines import EngineLost
from twite.gtm.template.sandbox import RunLimits

TURN = '{"run":1,"outcome":"success"}'


class ForgedServer:
    """Starts nothing: the test is at the other end, and answers what it likes."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.killed = []
        self.requests = []
        self._ends = []

    def spawn(self, *, memory):
        del memory
        ours, its = socket.socketpair()
        ours.settimeout(0)
        its.settimeout(0)
        self._ends.append(its)
        loop = asyncio.get_running_loop()
        loop.add_reader(its, self._read, its, FrameReader(most=1 << 20))
        pid = loop.create_future()
        pid.set_result(1_000_000_000 + len(self._ends))
        return ours, pid

    def _read(self, its, frames):
        data = its.recv(1 << 20)
        if not data:
            asyncio.get_running_loop().remove_reader(its)
            return
        for frame in frames.feed(data):
            request = msgspec.msgpack.decode(frame, type=EngineRequest)
            self.requests.append(request)
            if request.act == 2 and self.answers:
                its.sendall(self.answers.pop(0))

    def kill(self, pid):
        self.killed.append(pid)

    def ended(self, _pid):
        ended = asyncio.get_running_loop().create_future()
        ended.set_result(-9)
        return ended

    def forget(self, pid):
        pass

    def stop(self):
        for end in self._ends:
            asyncio.get_running_loop().remove_reader(end)
            end.close()


def forged(**said):
    return framed(EngineResponse(**({"run": 1, "turn": TURN, "took": 0.001} | said)))


@pytest.mark.parametrize(
    "answer",
    [
        forged(run=2),
        forged(turn="{"),
        forged(turn='{"run":1,"effects":[{"effect":"no such"}]}'),
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02\xc1\xc1",
        framed(EngineResponse(1, TURN, 0.0)) + b"\x00\x00\x00\x01\x00",
    ],
    ids=["another run", "no JSON", "no effect", "too long", "no frame", "one more"],
)
async def test_what_is_no_turn_of_the_run_costs_the_process_and_reaches_no_run(answer):
    server = ForgedServer(answer, forged(run=2))
    process = QuickJsProcess(server, limits=RunLimits(), keys={})

    try:
        first = await process.start(template(""), call())
    except EngineLost as lost:
        first = str(lost)
    second = await process.start(template(""), call())

    process.stop()
    server.stop()
    assert 1_000_000_001 in server.killed
    assert second.error is None
    if not isinstance(first, str):
        assert first.outcome == "success"  # it had its answer before
    else:
        assert first == "the engine process answered what is no turn, so Twite ended it"


@pytest.mark.parametrize("took", [-1.0, float("nan"), float("inf"), 1e300])
async def test_cpu_that_cannot_be_is_taken_for_the_most_that_can(took):
    server = ForgedServer(forged(took=took))
    process = QuickJsProcess(server, limits=RunLimits(time=0.25), keys={})

    turn = await process.start(template(""), call())

    process.stop()
    server.stop()
    assert turn.took == 3.0


async def test_it_gets_the_keys_alone_that_its_template_may_use():
    server = ForgedServer(forged())
    process = QuickJsProcess(server, limits=RunLimits(), keys={"one": "secret-of-hmac"})

    await process.start(template("", grants=()), call())

    process.stop()
    server.stop()
    assert "secret-of-hmac" not in repr(server.requests)
