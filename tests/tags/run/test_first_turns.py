"""A tag's first turn before the response: what it adds, and when the response does not wait."""

import asyncio

import msgspec
import pytest
from local_engines import LocalEngines, LocalProcess

from fakes import MovingClock
from twite.gateway.ports.events import FirstTurnEnded, ProblemSeen
from twite.gateway.ports.request_watch import set_watch
from twite.machine.system import SystemClock, SystemRandomness
from twite.tags.container.parts import (
    ALL_EVENTS,
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    Operator,
    SequencedTag,
    Variable,
    VariableSource,
)
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.preview.sessions import PreviewSessions
from twite.tags.run.first_turn import FirstTurns, prepare_first_turns
from twite.tags.run.payload import TagPayload
from twite.tags.run.run_input import RunInput
from twite.tags.runtime.engine_pool import PROVEN, EnginePool, TemplateStorage
from twite.tags.template.permissions import Grant
from twite.tags.template.template import Template, TemplateKind, TemplatePart

GRANTS = (
    Grant(permission="send_http", parameters={"allowedUrls": "any"}),
    Grant(permission="read_event_metadata"),
    Grant(permission="access_template_storage"),
    Grant(permission="logging", parameters={"environments": "all"}),
    Grant(permission="access_response", parameters={"writeResponseAccess": "any"}),
    Grant(
        permission="set_cookies",
        parameters={"allowedCookies": [{"name": "*", "secure": "any", "session": "any"}]},
    ),
)
RANDOM = "require('setCookie')('id', require('generateRandom')(1, 1000000000));\n"


def template(code):
    return Template(
        kind=TemplateKind.TAG,
        id="",
        name="ads",
        description="",
        fields=(),
        code=TemplatePart(text=code, line=1),
        grants=GRANTS,
        tests=None,
        notes="",
    )


class Seen:
    def __init__(self):
        self.notices = []

    def see(self, notice):
        self.notices.append(notice)

    @property
    def results(self):
        return [notice.result for notice in self.notices if isinstance(notice, FirstTurnEnded)]


class Stage:
    def __init__(self, *, within=5_000, engines=None):
        self.seen = Seen()
        self.storage = TemplateStorage()
        self.main = None
        engines = engines or LocalEngines(QuickJsEngine)
        self.pool = EnginePool(engines, elapsed=SystemClock().elapsed, observer=self.seen)
        self.pool.start()
        self.turns = FirstTurns(self.pool, storage=self.storage, observer=self.seen, within=within)

    async def run(self, code, *, setup=None, cleanup=None, seed=7):
        self.main = template(code)
        beside = {name: text for name, text in (("first", setup), ("last", cleanup)) if text}
        parts = {"main": self.main} | {name: template(text) for name, text in beside.items()}
        tags = [
            ContainerTag(
                name="ads",
                template="main",
                triggers=(ALL_EVENTS,),
                setup=None if setup is None else SequencedTag(tag="first", needed=True),
                teardown=None if cleanup is None else SequencedTag(tag="last", needed=True),
            ),
            *(ContainerTag(name=name, template=name) for name in beside),
        ]
        rule = TagRule(name="ads")
        given = RunInput(
            container_config=ContainerConfig(
                container=Container(tags=tuple(tags), templates=parts), rules={"ads": rule}
            ),
            rule=rule,
            payload=TagPayload(pixel="o8z6j", at=1_700_000_000_000, event={"event_name": "view"}),
            seed=seed,
        )
        response = (await self.turns.run_all({0: given})).get(0)
        return None if response is None else {each.name: each.value for each in response.cookies}


@pytest.fixture
async def stage():
    stages = []

    def make(**said):
        stages.append(Stage(**said))
        return stages[-1]

    yield make
    for each in stages:
        await each.pool.stop()


async def test_cookie_of_a_first_turn_depends_only_on_the_seed(stage):
    stage = stage()

    cookies = [await stage.run(RANDOM, seed=seed) for seed in (7, 7, 8)]

    assert cookies[0] == cookies[1] != cookies[2]
    assert stage.seen.results == ["in_time"] * 3


async def test_only_additions_to_the_response_remain_of_a_first_turn(stage):
    stage = stage()
    code = (
        "require('templateDataStorage').setItemCopy('a', 1);\n"
        "require('sendHttpRequest')('https://a.example/').then(() => {\n"
        "  require('setCookie')('late', 'x');\n});\n" + RANDOM
    )

    cookies = await stage.run(code)

    assert set(cookies) == {"id"}
    assert stage.storage.of(stage.main) == {}


WAITS = "require('sendHttpRequest')('https://a.example/').then(data.gtmOnSuccess);\n"


@pytest.mark.parametrize(
    ("setup", "names"),
    [
        ("require('setCookie')('first', 'x'); data.gtmOnSuccess();", {"first", "id"}),
        ("require('setCookie')('first', 'x'); data.gtmOnFailure();", {"first"}),
        ("require('setCookie')('first', 'x');" + WAITS, {"first"}),
    ],
)
async def test_first_turn_ends_at_a_setup_tag_that_waits_or_fails(stage, setup, names):
    assert set(await stage().run(RANDOM, setup=setup)) == names


async def test_event_callback_runs_if_the_tag_reported_its_outcome(stage):
    code = (
        "require('addEventCallback')((id, event) =>\n"
        "  require('setCookie')('status', event.tags[0].status));\n"
    )
    stage = stage()

    reported, silent = await stage.run(code + "data.gtmOnSuccess();"), await stage.run(code + WAITS)

    assert (reported, silent) == ({"status": "success"}, {})


@pytest.mark.parametrize("code", ["throw 'no';", "for (;;) {}", "this is not JavaScript"])
async def test_failing_turn_adds_earlier_effects_or_nothing(stage, code):
    stage = stage()

    found = await stage.run(code)

    assert not found
    assert len(stage.seen.results) == 1


class StuckEngines(LocalEngines):
    """Engines whose turns wait until the test releases them."""

    def __init__(self):
        super().__init__(QuickJsEngine)
        self.go = asyncio.Event()
        self.begun = 0

    def process(self, limits):
        return StuckProcess(self, limits)


class StuckProcess(LocalProcess):
    def __init__(self, engines, limits):
        super().__init__(QuickJsEngine, limits)
        self._stuck = engines

    async def start(self, template, call):
        self._stuck.begun += 1
        await self._stuck.go.wait()
        return await super().start(template, call)


async def test_late_tag_is_skipped_until_its_turn_has_ended(stage):
    engines = StuckEngines()
    stage = stage(within=30, engines=engines)

    first, second = await stage.run(RANDOM), await stage.run(RANDOM)
    engines.go.set()
    await asyncio.gather(*stage.turns.late["tag:ads"])
    stage.turns.within = 5_000
    third = await stage.run(RANDOM)

    assert (first, second, set(third)) == (None, None, {"id"})
    assert stage.seen.results == ["late", "skipped", "in_time"]


async def test_simultaneous_requests_each_have_a_first_turn(stage):
    engines = StuckEngines()
    stage = stage(engines=engines)

    turns = [asyncio.create_task(stage.run(RANDOM, seed=seed)) for seed in range(5)]
    await asyncio.sleep(0)
    engines.go.set()
    cookies = [found["id"] for found in await asyncio.gather(*turns)]

    assert len(set(cookies)) == 5
    assert stage.seen.results == ["in_time"] * 5


async def test_queued_turn_does_not_begin_after_its_time(stage):
    engines = StuckEngines()
    stage = stage(within=30, engines=engines)

    cookies = await asyncio.gather(*(stage.run(RANDOM) for _ in range(3)))
    left = list(stage.turns.late["tag:ads"])
    engines.go.set()
    await asyncio.gather(*left)

    assert cookies == [None] * 3
    assert stage.seen.results == ["late", "skipped", "skipped"]
    assert engines.begun == 1
    assert stage.turns.late == {}


async def test_setting_of_0_skips_first_turns(stage):
    stage = stage(within=0)

    assert await stage.run(RANDOM) is None
    assert stage.seen.results == ["skipped"]


async def test_tag_that_used_much_cpu_time_is_skipped_for_a_while(stage):
    stage = stage()

    stage.pool.trials.charge("tag ads, first turn", 60.0)

    assert await stage.run(RANDOM) is None
    assert stage.seen.results == ["skipped"]


class LostProcess(LocalProcess):
    async def start(self, _template, _call):
        await asyncio.sleep(0)
        raise EngineLost("its engine process ended by SIGSEGV", took=0.1)


class LostEngines(LocalEngines):
    def process(self, limits):
        return LostProcess(QuickJsEngine, limits)


async def test_turn_that_ends_its_process_adds_nothing_and_starts_probation(stage):
    stage = stage(engines=LostEngines(QuickJsEngine))

    assert [await stage.run(RANDOM), await stage.run(RANDOM)] == [None, None]
    assert stage.seen.results == ["failed", "skipped"]
    assert "tag ads" in [
        notice.where for notice in stage.seen.notices if type(notice) is ProblemSeen
    ]


async def test_preview_shows_effects_on_the_response_without_cookie_values(stage):
    stage = stage()
    previews = PreviewSessions(clock=MovingClock(), randomness=SystemRandomness())
    session = previews.open("ada", sends_nothing=False)
    trace = previews.begin(session.token.reveal(), method="GET", path="/t", query="", headers=[])
    code = (
        "require('setCookie')('id', 'value-of-it');\n"
        "require('setResponseHeader')('x-shop', 'ada@shop.example');\n"
        "require('logToConsole')('not before the run');\n"
    )
    set_watch(trace)
    try:
        await stage.run(code)
        await stage.run("const no = undefined; no();")
    finally:
        set_watch(None)

    first, second = trace.seen.runs
    lines = [(line.kind, line.text) for line in first.lines]
    assert (first.name, first.outcome) == ("ads, before the response", "in time")
    assert lines[0] == ("cookie", "id (domain host, max-age None)")
    assert lines[1][0] == "header"
    assert lines[1][1].startswith("x-shop: ")
    assert len(lines) == 2
    assert "value-of-it" not in str(lines)
    assert "ada@shop.example" not in str(lines)
    assert second.lines == []


def container_of(*grants):
    """Return a container in which one tag has these grants; its trigger has a template's value."""
    main = msgspec.structs.replace(template("data.gtmOnSuccess();"), grants=grants)
    parts = {name: template(name) for name in ("first", "field", "condition", "unused")}
    return Container(
        templates={"main": main, **parts},
        tags=(
            ContainerTag(
                name="ads",
                template="main",
                triggers=("views",),
                fields={"id": "{{id}}"},
                setup=SequencedTag(tag="first"),
            ),
            ContainerTag(name="first", template="first"),
        ),
        triggers=(
            ContainerTrigger(
                name="views",
                when=(Condition(left="{{kind}}", operator=Operator.EQUALS, right="a"),),
            ),
        ),
        variables=(
            Variable(name="id", type=VariableSource.TEMPLATE, template="field"),
            Variable(name="kind", type=VariableSource.TEMPLATE, template="condition"),
        ),
    )


async def test_templates_that_change_responses_are_loaded_before_the_first_request(stage):
    engines = LocalEngines(QuickJsEngine)
    pool = stage(engines=engines).pool
    container = container_of(*GRANTS)
    config = ContainerConfig(container=container, rules={"ads": TagRule(name="ads")})

    await prepare_first_turns(pool, [config])

    own, ingest = pool.worker("tag:ads").process, pool.ingest_worker.process
    named = {id(found): name for name, found in container.templates.items()}
    assert [named[id(found)] for found in own.prepared] == ["main", "first", "field"]
    assert [named[id(found)] for found in ingest.prepared] == ["condition"]

    for _ in range(PROVEN):
        pool.record_run("tag:ads", is_spent=False)

    shared = pool.worker("tag:ads").process
    assert shared is not own
    assert shared.prepared == own.prepared
    assert (own.stays, shared.stays, ingest.stays) == (False, True, True)

    pool.record_run("tag:ads", is_spent=True)

    assert pool.worker("tag:ads").process is own
    assert own.stays


async def test_tags_without_effects_on_responses_start_no_process(stage):
    engines = LocalEngines(QuickJsEngine)
    container = container_of()
    container = msgspec.structs.replace(
        container,
        templates={
            name: msgspec.structs.replace(found, grants=())
            for name, found in container.templates.items()
        },
    )
    config = ContainerConfig(container=container, rules={"ads": TagRule(name="ads")})

    await prepare_first_turns(stage(engines=engines).pool, [config])

    assert [process.prepared for process in engines.made] == [[], []]
