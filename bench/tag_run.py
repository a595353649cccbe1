"""`python -m bench.tag_run`: the CPU time of a tag's run, in the gateway and in its engine process.

A run begins with the stored payload's event, and ends with the record of its attempt. A vendor in
this process responds at once. `--template` and `--fields` measure another template. The least of
several rounds is shown, because other programs only add to it.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import shutil
import sys
import time
from pathlib import Path
from typing import Final

import uvloop

from bench.tags import CALL, in_node
from bench.tags import template as typical
from twite.domain.secret import Secret
from twite.gateway.ports.transport import NoResponse, Response
from twite.machine.system import SystemClock
from twite.tags.container.parts import Container, ContainerTag
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.ports.web import WebRequest
from twite.tags.run.outbound import RunContext
from twite.tags.run.outcome import attempt_of
from twite.tags.run.payload import TagPayload
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import PROVEN, EnginePool, TemplateStorage
from twite.tags.template.effects import HttpEffect
from twite.tags.template.template import Template, read_template

AT_ONCE: Final = (1, 8)  # runs
WARM: Final = 100
ANSWER: Final = Response(
    status=200,
    headers={"content-type": "application/json", "date": "Tue, 01 Dec 2026 10:00:00 GMT"},
    body=b'{"events_received":1,"messages":[],"trace_id":"AbC4dEf"}',
)


class Vendor:
    async def ask(self, asked: WebRequest) -> Response | NoResponse:  # noqa: ARG002
        return ANSWER


class NotForX:
    async def take(self, request: HttpEffect, *, source: str) -> Response | None:  # noqa: ARG002
        return None


class Silent:
    def see(self, _notice: object) -> None: ...


class Runs:
    """Runs of one tag, one after another or side by side."""

    def __init__(self, template: Template, fields: dict[str, object]) -> None:
        clock = SystemClock()
        self.pool = EnginePool(EngineServer(), elapsed=clock.elapsed)
        self.pool.start()
        self._context = RunContext(
            engine_pool=self.pool,
            web=Vendor(),
            google=GoogleClient(clock=clock),
            to_x=NotForX(),
            storage=TemplateStorage(),
            clock=clock,
            observer=Silent(),
        )
        self.rule = TagRule(name="tag", secrets=(Secret("EAAx7wbmZBtdEk2QeVjLrC0Qb8Xf"),))
        tag = ContainerTag(name="tag", template="tag", fields=fields)  # type: ignore[arg-type]  # JSON
        container = Container(tags=(tag,), templates={"tag": template})
        self._config = ContainerConfig(container=container, rules={"tag": self.rule})
        self._payload = TagPayload(
            pixel="o8z6j", at=CALL.now, event=dict(CALL.event or {}), request=CALL.request
        )

    async def one(self) -> None:
        run = TagRun(
            self._context,
            container_config=self._config,
            rule=self.rule,
            payload=self._payload,
            seed=7,
        )
        ran = await run.run()
        assert ran.succeeded, ran.reason
        attempt_of(ran, 1, pixel=self.rule.pixel, event="purchase", at=CALL.now)

    async def many(self, times: int, *, at_once: int) -> None:
        async def some() -> None:
            for _ in range(times // at_once):
                await self.one()

        await asyncio.gather(*(some() for _ in range(at_once)))

    async def prove(self) -> None:
        """Run the tag until it uses the process of all proven tags, and that is warm."""
        for _ in range(PROVEN):
            await self.one()
            self.pool.record_run(self.rule.pixel, is_spent=False)
        await self.many(WARM, at_once=1)

    def engine_seconds(self) -> float:
        pid = self.pool.worker(self.rule.pixel).process.pid  # type: ignore[attr-defined]  # QuickJsProcess
        return time.clock_gettime((~pid << 3) | 2)


async def measure(runs: Runs, *, rounds: int, each: int) -> None:
    await runs.prove()
    for at_once in AT_ONCE:
        gateway, engine = [], []
        for _ in range(rounds):
            before, there = time.process_time(), runs.engine_seconds()
            await runs.many(each, at_once=at_once)
            gateway.append((time.process_time() - before) / each * 1e6)
            engine.append((runs.engine_seconds() - there) / each * 1e6)
        print(
            f"{at_once} at once: {min(gateway) + min(engine):4.0f} µs of CPU time a run: "
            f"{min(gateway):.0f} in the gateway, {min(engine):.0f} in the engine process"
        )


async def profiled(runs: Runs, *, each: int) -> None:
    await runs.prove()
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    await runs.many(each, at_once=8)
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(50)


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=7)
    asked.add_argument("--each", type=int, default=800)
    asked.add_argument("--template", help="a .tpl file")
    asked.add_argument("--fields", default='{"pixel": "o8z6j"}', help="its fields, as JSON")
    asked.add_argument("--profile", action="store_true", help="the gateway's functions instead")
    return asked


async def compare(chosen: argparse.Namespace, template: Template) -> None:
    runs = Runs(template, json.loads(chosen.fields))
    try:
        if chosen.profile:
            await profiled(runs, each=chosen.each)
        else:
            await measure(runs, rounds=chosen.rounds, each=chosen.each)
    finally:
        await runs.pool.stop()


def main() -> int:
    chosen = parser().parse_args()
    is_typical = chosen.template is None
    template = typical() if is_typical else read_template(Path(chosen.template).read_bytes())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(compare(chosen, template))
    if is_typical and not chosen.profile and shutil.which("node"):
        took = in_node(rounds=chosen.rounds, each=chosen.each)
        print(f"bare Node.js: {took:.0f} µs of CPU time a run, without a gateway or a sandbox")
    return 0


if __name__ == "__main__":
    sys.exit(main())
