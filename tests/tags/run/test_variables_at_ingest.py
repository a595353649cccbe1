"""A variable that hangs during trigger evaluation affects only the tags that need it."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from crashing_engines import CrashingEngines

from builders import NOW, a_source
from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.alert import AlertKind
from twite.formats.parsed_request import Native
from twite.gateway.ports.events import ConditionChanged, ProblemSeen
from twite.gateway.ports.tags import EventOrigin, TagRemark
from twite.tags.container.parts import (
    ALL_EVENTS,
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    Operator,
    Variable,
    VariableSource,
)
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.runtime.engine_pool import EnginePool
from twite.tags.template.sandbox import RunLimits
from twite.tags.template.template import TemplatePart, read_template
from worker_bench import Seen

TEMPLATES = Path(__file__).parents[1] / "templates"
TEMPLATE = read_template((TEMPLATES / "crm_post.tpl").read_bytes())
VARIABLE = msgspec.structs.replace(
    read_template((TEMPLATES / "variable_text.tpl").read_bytes()),
    name="Basket",
    code=TemplatePart(
        text="""
        for (let left = 150000; data.hangs === 'slow' && left > 0; left--) {}
        while (data.hangs === true) {}
        return 'full';
        """,
        line=1,
    ),
)
SLOW = "the variable template 'Basket' is paused: it often took too long for intake"
RESTS = "the variable template 'Basket' is paused: it exceeded a limit"


class Stage:
    def __init__(self):
        self.clock = MovingClock(NOW)
        self.seen = Seen()
        self.engine_pool = EnginePool(
            CrashingEngines(lambda call: call.fields.get("hangs") == "crashes"),
            elapsed=self.clock.elapsed,
            limits=RunLimits(time=0.05),
            observer=self.seen,
        )
        basket = Variable(
            name="basket",
            type=VariableSource.TEMPLATE,
            template="basket",
            fields={"hangs": "{{hangs}}"},
        )
        hangs = Variable(name="hangs", type=VariableSource.EVENT_DATA, key="hangs")
        is_full = Condition(left="{{basket}}", operator=Operator.EQUALS, right="full")
        container = Container(
            tags=(
                ContainerTag(name="picky", template="main", triggers=("full",)),
                ContainerTag(name="plain", template="main", triggers=(ALL_EVENTS,)),
                # A field that hangs affects only the tag's own runs, not intake.
                ContainerTag(
                    name="filled",
                    template="main",
                    triggers=(ALL_EVENTS,),
                    fields={"note": "{{basket}}"},
                ),
            ),
            triggers=(ContainerTrigger(name="full", when=(is_full,)),),
            variables=(basket, hangs),
            templates={"main": TEMPLATE, "basket": VARIABLE},
        )
        rules = {name: TagRule(name=name) for name in ("picky", "plain", "filled")}
        self.fire = TagDispatcher(
            [ContainerConfig(container=container, rules=rules)],
            engine_pool=self.engine_pool,
            salt=b"x" * 16,
            opt_outs=MemoryStore(),
        )

    async def ingest(self, *, hangs=False):
        """Return the tags that fire for an event, and the reasons of the others."""
        event = {"event_name": "purchase", "hangs": hangs}
        said = TagRemark(event=event, native=Native(event="purchase"), conversion_id="order-1")
        firing_result = await self.fire.dispatch(
            [said],
            source=a_source(),
            origin=EventOrigin(client="native"),
            now=NOW,
            first=1,
            held={},
        )
        fired = {tag.pixel for tag in firing_result.fired}
        return fired, {tag.tag: (tag.reason, tag.why) for tag in firing_result.unfired}


@pytest.fixture
async def stage():
    stage = Stage()
    stage.engine_pool.start()
    yield stage
    await stage.engine_pool.stop()


async def test_variable_without_errors_decides_whether_a_tag_fires(stage):
    fired, unfired = await stage.ingest()

    assert (fired, unfired) == ({"tag:picky", "tag:plain", "tag:filled"}, {})


async def test_tag_with_a_paused_variable_does_not_fire_and_has_a_reason(stage):
    await stage.ingest(hangs=True)

    fired, unfired = await stage.ingest()

    assert fired == {"tag:plain", "tag:filled"}
    assert unfired == {"tag:picky": ("unfilled", RESTS)}
    reason = "the template exceeded a limit: Twite now pauses it after each run"
    assert stage.seen.notices == [ProblemSeen(where="variable Basket", reason=reason)]


async def test_variable_is_evaluated_again_after_its_pause(stage):
    await stage.ingest(hangs=True)
    await stage.clock.advance(60_000)

    results = [await stage.ingest() for _ in range(3)]

    assert [unfired for _, unfired in results] == [{}, {}, {}]


async def test_variable_that_crashes_is_reported_and_does_not_affect_later_events(stage):
    first = await stage.ingest(hangs="crashes")
    second = await stage.ingest()

    only = {"tag:plain", "tag:filled"}, {"tag:picky": ("unfilled", RESTS)}
    assert (first, second) == (only, only)
    assert [
        (notice.kind, notice.subject)
        for notice in stage.seen.notices
        if type(notice) is ConditionChanged
    ] == [(AlertKind.TEMPLATE_HUNG, "variable Basket")]


async def test_simultaneous_events_cause_one_crash(stage):
    results = await asyncio.gather(*(stage.ingest(hangs="crashes") for _ in range(5)))

    assert results == [({"tag:plain", "tag:filled"}, {"tag:picky": ("unfilled", RESTS)})] * 5
    assert len([notice for notice in stage.seen.notices if type(notice) is ProblemSeen]) == 1


async def test_slow_variable_has_a_share_of_the_intake_time(stage):
    results = [await stage.ingest(hangs="slow") for _ in range(100)]
    await stage.clock.advance(1_000)
    after = await stage.ingest(hangs="slow")

    held = ({"tag:plain", "tag:filled"}, {"tag:picky": ("unfilled", SLOW)})
    assert results[-1] == held
    assert 2 < results.index(held) < 60
    assert after[1] == {}


async def test_fast_variable_is_never_paused(stage):
    results = [await stage.ingest() for _ in range(300)]

    assert all(unfired == {} for _, unfired in results)
