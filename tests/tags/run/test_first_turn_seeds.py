"""Random seeds of first turns, which run before their deliveries have an id."""

import pytest
from local_engines import LocalEngines
from test_first_turns import RANDOM, template
from test_variables_at_ingest import NOW

from builders import a_source
from memory_store.store import MemoryStore
from twite.formats.parsed_request import Native
from twite.gateway.ports.tags import BrowserWait, EventOrigin, TagRemark
from twite.machine.system import SystemClock
from twite.tags.container.parts import ALL_EVENTS, Container, ContainerTag, ContainerTrigger, Firing
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.run.first_turn import FirstTurns
from twite.tags.runtime.engine_pool import EnginePool


@pytest.fixture
def seeds_of(monkeypatch):
    """Return a function: the seeds of the first turns of an event, one for each tag and trigger."""
    seeds = []

    async def run_all(_, given):
        seeds[:] = [each.seed for each in given.values()]
        return {}

    monkeypatch.setattr(FirstTurns, "run_all", run_all)
    container = Container(
        tags=(
            ContainerTag(
                name="a", template="main", triggers=("P", ALL_EVENTS), firing=Firing.EACH_TRIGGER
            ),
            ContainerTag(name="b", template="main", triggers=(ALL_EVENTS,)),
        ),
        triggers=(ContainerTrigger(name="P", when=()),),
        templates={"main": template(RANDOM)},
    )

    async def dispatched(conversion_id, *, salt=b"x" * 16):
        dispatcher = TagDispatcher(
            [
                ContainerConfig(
                    container=container, rules={name: TagRule(name=name) for name in ("a", "b")}
                )
            ],
            engine_pool=EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed),
            salt=salt,
            opt_outs=MemoryStore(),
        )
        native = Native(event="purchase", conversion_id=conversion_id)
        await dispatcher.dispatch(
            [TagRemark(event={"event_name": "purchase"}, native=native)],
            source=a_source(),
            origin=EventOrigin(client="native", waits=BrowserWait(pixels=True)),
            now=NOW,
            first=0,
            held={},
        )
        return tuple(seeds)

    return dispatched


async def test_each_tag_trigger_and_event_has_its_own_seed(seeds_of):
    seeds = [seed for number in range(20) for seed in await seeds_of(f"order-{number}")]

    assert len(set(seeds)) == len(seeds) == 60
    assert all(seed > 0 for seed in seeds)


async def test_repeated_event_has_the_same_seeds(seeds_of):
    assert await seeds_of("order-1") == await seeds_of("order-1")


async def test_seeds_depend_on_a_secret_salt_of_the_store(seeds_of):
    first, other = await seeds_of("order-1"), await seeds_of("order-1", salt=b"y" * 16)

    assert set(first) & set(other) == set()
