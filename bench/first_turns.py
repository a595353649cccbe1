"""`python -m bench.first_turns`: how many cookies of tags a response gets, and how long it waits.

For 5, 10 and 30 tags, each of which sets a cookie in its first step: requests one after another,
with engine processes as in the gateway. `--busy` adds processes that use the CPU without a pause.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import time
from collections import Counter
from typing import Final

import uvloop

from bench.tags import NOW
from bench.tags import template as typical
from twite.gateway.ports.events import FirstTurnEnded, GatewayEvent
from twite.machine.system import SystemClock
from twite.tags.container.parts import ALL_EVENTS, Container, ContainerTag
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.first_turn import FirstTurns
from twite.tags.run.payload import TagPayload
from twite.tags.run.run_input import RunInput
from twite.tags.runtime.engine_pool import PROVEN, EnginePool, TemplateStorage
from twite.tags.template.permissions import Grant
from twite.tags.template.template import Template, TemplateKind, TemplatePart

TAGS: Final = (5, 10, 30)
WARM: Final = 5  # requests before the measurement
CODE: Final = """
const event = require('getAllEventData')();
const id = require('sha256Sync')(require('makeString')(event.client_id), {outputEncoding: 'hex'});
require('setCookie')('_id', id, {domain: 'auto', path: '/', 'max-age': 31536000, secure: true});
data.gtmOnSuccess();
"""
EVENT: Final = {"event_name": "page_view", "client_id": "1234567890.1234567890"}


class Results(Counter[str]):
    """Counts the results of first turns."""

    def see(self, notice: GatewayEvent) -> None:
        if isinstance(notice, FirstTurnEnded):
            self[notice.result] += 1


def template(name: str) -> Template:
    set_cookies = {"allowedCookies": [{"name": "*", "secure": "any", "session": "any"}]}
    return Template(
        kind=TemplateKind.TAG,
        id="",
        name=name,
        description="",
        fields=(),
        code=TemplatePart(text=CODE, line=1),
        grants=(
            *typical().grants,
            Grant(permission="set_cookies", parameters=set_cookies),  # type: ignore[arg-type]  # JSON
        ),
        tests=None,
        notes="",
    )


async def measure(tags: int, *, requests: int, pause: float) -> tuple[Results, list[float]]:
    names = [f"tag-{number}" for number in range(tags)]
    config = ContainerConfig(
        container=Container(
            tags=tuple(
                ContainerTag(name=name, template=name, triggers=(ALL_EVENTS,)) for name in names
            ),
            templates={name: template(name) for name in names},
        ),
        rules={name: TagRule(name=name) for name in names},
    )
    seen, engines = Results(), EngineServer()
    pool = EnginePool(engines, elapsed=SystemClock().elapsed, observer=seen)
    pool.start()
    turns = FirstTurns(pool, storage=TemplateStorage(), observer=seen)
    payload = TagPayload(pixel="o8z6j", at=NOW, event=dict(EVENT))
    given = {
        at: RunInput(container_config=config, rule=rule, payload=payload, seed=at + 1)
        for at, rule in enumerate(config.rules.values())
    }
    for _ in range(PROVEN):  # durable runs prove the tags, as after a few events
        for rule in config.rules.values():
            pool.record_run(rule.pixel, is_spent=False)
    while seen["in_time"] < WARM * tags:  # the engine processes start before the gateway listens
        await turns.run_all(given)
        await asyncio.sleep(pause)
    seen.clear()
    waits: list[float] = []
    for _ in range(requests):
        await asyncio.sleep(pause)
        began = time.perf_counter()
        await turns.run_all(given)
        waits.append(time.perf_counter() - began)
    await pool.stop()
    return seen, waits


def burn() -> None:
    while True:
        pass


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--requests", type=int, default=200)
    asked.add_argument("--pause", type=float, default=0.05, help="seconds between two requests")
    asked.add_argument("--busy", type=int, default=0)
    return asked


def main() -> int:
    chosen = parser().parse_args()
    others = [multiprocessing.Process(target=burn, daemon=True) for _ in range(chosen.busy)]
    for other in others:
        other.start()
    for tags in TAGS:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seen, waits = runner.run(measure(tags, requests=chosen.requests, pause=chosen.pause))
        cuts = statistics.quantiles(waits, n=100)
        share = seen["in_time"] / seen.total()
        print(
            f"{tags:2} tags  {share:7.2%} of the cookies  p50 {cuts[49] * 1e3:.1f} ms  "
            f"p99 {cuts[98] * 1e3:.1f} ms  {dict(seen)}"
        )
    for other in others:
        other.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
