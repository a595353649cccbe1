"""The first turns of a request's tags run at the same time: a slow tag delays only itself."""

import asyncio

import msgspec
import pytest
from local_engines import LocalEngines, LocalProcess
from test_first_turns import Seen, template

from builders import a_source
from memory_store.store import MemoryStore
from twite.formats.parsed_request import Native
from twite.gateway.ports.tags import BrowserWait, EventOrigin, TagRemark
from twite.machine.system import SystemClock
from twite.tags.container.parts import ALL_EVENTS, Container, ContainerTag
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.runtime.engine_pool import EnginePool

NAMES = ("a", "b", "c", "d")


class PartlyStuckEngines(LocalEngines):
    """Engines in which turns of one template wait until the test releases them."""

    def __init__(self, stuck):
        super().__init__(QuickJsEngine)
        self.go = asyncio.Event()
        self.stuck = stuck
        self.most_at_once = self.at_once = 0

    def process(self, limits):
        return PartlyStuckProcess(self, limits)


class PartlyStuckProcess(LocalProcess):
    def __init__(self, engines, limits):
        super().__init__(QuickJsEngine, limits)
        self._engines_of_all = engines

    async def start(self, template, call):
        engines = self._engines_of_all
        engines.at_once += 1
        engines.most_at_once = max(engines.most_at_once, engines.at_once)
        if template.name == engines.stuck:
            await engines.go.wait()
        await asyncio.sleep(0)
        engines.at_once -= 1
        return await super().start(template, call)


def dispatcher(engines, seen, *, within):
    templates = {name: named(name) for name in NAMES}
    tags = tuple(ContainerTag(name=name, template=name, triggers=(ALL_EVENTS,)) for name in NAMES)
    pool = EnginePool(engines, elapsed=SystemClock().elapsed, observer=seen)
    pool.start()
    return TagDispatcher(
        [
            ContainerConfig(
                container=Container(tags=tags, templates=templates),
                rules={name: TagRule(name=name) for name in NAMES},
            )
        ],
        engine_pool=pool,
        salt=b"x" * 16,
        opt_outs=MemoryStore(),
        observer=seen,
        first_turn_within=within,
    )


def named(name):
    return msgspec.structs.replace(template(f"require('setCookie')('{name}', 'v');"), name=name)


async def dispatched(fires):
    return await fires.dispatch(
        [TagRemark(event={"event_name": "view"}, native=Native(event="view", conversion_id="A2"))],
        source=a_source(),
        origin=EventOrigin(client="native", waits=BrowserWait()),
        now=1_764_000_000_000,
        first=5,
        held={},
    )


@pytest.mark.parametrize("stuck", NAMES)
async def test_cookies_of_other_tags_are_set_although_one_is_late(stuck):
    seen, engines = Seen(), PartlyStuckEngines(stuck)
    fires = dispatcher(engines, seen, within=50)

    result = await dispatched(fires)
    engines.go.set()

    set_by = {index: response.cookies[0].name for index, response in result.responses.items()}
    assert set_by == {index: name for index, name in enumerate(NAMES, 5) if name != stuck}
    assert sorted(seen.results) == ["in_time", "in_time", "in_time", "late"]
    assert [tag.pixel for tag in result.fired] == [f"tag:{name}" for name in NAMES]


async def test_first_turns_of_tags_run_at_the_same_time():
    seen, engines = Seen(), PartlyStuckEngines("")
    fires = dispatcher(engines, seen, within=5_000)

    await dispatched(fires)

    assert engines.most_at_once == len(NAMES)
    assert seen.results == ["in_time"] * len(NAMES)
