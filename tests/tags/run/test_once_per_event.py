"""A setup or cleanup tag of several tags runs once per event, by its firing option."""

import asyncio

import pytest
from local_engines import LocalEngines
from msgspec import structs
from test_variable_lookups import NotForX, Seen, body, template

from builders import NOW, a_source
from fakes import ScriptedWeb
from memory_store.store import MemoryStore
from twite.formats.parsed_request import Native
from twite.gateway.ports.tags import EventOrigin, TagRemark
from twite.machine.system import SystemClock
from twite.tags.container.parts import ALL_EVENTS, Container, ContainerTag, Firing, SequencedTag
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.run.first_turn import FirstTurns
from twite.tags.run.once_per_event import OncePerEvent, TagOfEvent
from twite.tags.run.outbound import RunContext
from twite.tags.run.payload import TagPayload, read
from twite.tags.run.run_input import RunInput
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.template.permissions import Grant

SENDS = (
    "require('sendHttpRequest')('https://vendor.example/{name}')"
    ".then((answer) => answer.statusCode === 200 ? data.gtmOnSuccess() : data.gtmOnFailure(),"
    " data.gtmOnFailure);"
)


MORE = (
    Grant(permission="use_message", parameters={"allowedActions": "any"}),
    Grant(
        permission="set_cookies",
        parameters={"allowedCookies": [{"name": "*", "secure": "any", "session": "any"}]},
    ),
)


def shared(step="setup", *, needed=True, code=SENDS, **more):
    """Return a container in which the tag "first" runs with the tags "a" and "b"."""
    beside = {step: SequencedTag(tag="first", needed=needed)}
    tags = [
        ContainerTag(name=name, template=name, triggers=(ALL_EVENTS,), **beside)
        for name in ("a", "b")
    ]
    first = ContainerTag(**{"name": "first", "template": "first"} | more)
    templates = {name: template(SENDS.replace("{name}", name)) for name in ("a", "b")}
    first_template = template(code.replace("{name}", "first"))
    templates["first"] = structs.replace(first_template, grants=(*first_template.grants, *MORE))
    return Container(tags=(*tags, first), templates=templates)


class Stage:
    def __init__(self, made, *answers):
        self.config = ContainerConfig(
            container=made, rules={tag.name: TagRule(name=tag.name) for tag in made.tags}
        )
        self.web = ScriptedWeb(answers)
        self.pool = EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed)
        self.pool.start()
        clock = SystemClock()
        self.context = RunContext(
            engine_pool=self.pool,
            web=self.web,
            google=GoogleClient(clock=clock),
            to_x=NotForX(),
            storage=TemplateStorage(),
            clock=clock,
            observer=Seen(),
        )

    def run_input(self, tag, *, draw, seed):
        return RunInput(
            container_config=self.config,
            rule=self.config.rules[tag],
            payload=TagPayload(pixel="o8z6j", at=NOW, event={"event_name": "x"}, draw=draw),
            seed=seed,
        )

    async def run(self, tag, *, draw=5, at=NOW):
        return await TagRun(
            self.context,
            container_config=self.config,
            rule=self.config.rules[tag],
            payload=TagPayload(pixel="o8z6j", at=at, event={"event_name": "x"}, draw=draw),
            seed=7,
        ).run()

    @property
    def paths(self):
        return [request.url.rpartition("/")[2] for request in self.web.asked]


@pytest.fixture
async def stage():
    stages = []

    def make(*args):
        stages.append(Stage(*args))
        return stages[-1]

    yield make
    for each in stages:
        await each.pool.stop()


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("step", ["setup", "teardown"])
async def test_shared_setup_tag_runs_once_and_other_deliveries_wait(stage, step, at_once):
    stage = stage(shared(step))

    if at_once:
        ran = await asyncio.gather(stage.run("a"), stage.run("b"))
    else:
        ran = [await stage.run("a"), await stage.run("b")]

    assert [each.succeeded for each in ran] == [True, True]
    assert sorted(stage.paths) == ["a", "b", "first"]
    assert (stage.paths[0] == "first") is (step == "setup")


async def test_shared_setup_tag_runs_again_for_another_event_or_a_later_copy(stage):
    stage = stage(shared())

    await stage.run("a", draw=5)
    await stage.run("b", draw=6)
    await stage.run("b", draw=5, at=NOW + 1)

    assert stage.paths.count("first") == 3


async def test_retry_does_not_repeat_a_successful_setup_tag(stage):
    stage = stage(shared(), body("ok"), body("no", status=500))

    first, second = await stage.run("a"), await stage.run("a")

    assert (first.succeeded, second.succeeded) == (False, True)
    assert stage.paths == ["first", "a", "a"]


async def test_failed_shared_setup_tag_is_repeated_by_the_next_delivery(stage):
    stage = stage(shared(), body("no", status=500))

    ran = [await stage.run("a"), await stage.run("b")]

    assert [each.succeeded for each in ran] == [False, True]
    assert stage.paths == ["first", "first", "b"]


COOKIE = (
    "require('setCookie')('id', require('generateRandom')(1, 1000000000));\ndata.gtmOnSuccess();"
)


async def test_first_turns_set_the_cookie_that_the_shared_setup_tag_sends(stage):
    stage = stage(shared(code=COOKIE))
    turns = FirstTurns(stage.pool, storage=stage.context.storage, observer=Seen(), within=5_000)

    async def first_turn(tag, *, draw=5):
        given = stage.run_input(tag, draw=draw, seed=ord(tag))
        response = (await turns.run_all({0: given})).get(0)
        return [cookie.value for cookie in response.cookies]

    values = [await first_turn(tag) for tag in ("a", "b")]
    other = await first_turn("a", draw=6)

    assert values[0] == values[1] != other
    assert len(values[0]) == 1


async def test_own_delivery_of_a_shared_tag_reports_the_earlier_run(stage):
    stage = stage(shared(triggers=(ALL_EVENTS,)))

    await stage.run("a")
    own = await stage.run("first")

    assert (own.succeeded, own.left) == (True, False)
    assert own.notes == ("the tag 'first' had already run for this event",)
    assert stage.paths == ["first", "a"]


LISTENS = "require('addMessageListener')('it', () => {});\n" + SENDS


@pytest.mark.parametrize(
    "more",
    [{"firing": Firing.EACH_TRIGGER}, {"code": LISTENS}],
    ids=["unlimited", "listening"],
)
async def test_tags_that_fire_unlimited_or_listen_run_for_each_delivery(stage, more):
    stage = stage(shared(**more))

    await stage.run("a")
    await stage.run("b")

    assert stage.paths == ["first", "a", "first", "b"]


class Silent(ScriptedWeb):
    """Answers nothing."""

    def __init__(self):
        super().__init__([])
        self.asking = asyncio.Event()

    async def ask(self, _asked):
        self.asking.set()
        await asyncio.Event().wait()


async def test_cancelled_delivery_leaves_the_shared_setup_tag_to_the_next(stage):
    stage = stage(shared())
    answering, silent = stage.context, Silent()
    stage.context = structs.replace(answering, web=silent)
    first = asyncio.create_task(stage.run("a"))
    await silent.asking.wait()
    stage.context = answering
    second = asyncio.create_task(stage.run("b"))
    first.cancel()

    ran = await second

    assert (ran.succeeded, stage.paths) == (True, ["first", "b"])


async def test_number_of_remembered_tag_runs_is_limited():
    once = OncePerEvent(most=2)
    tags = [TagOfEvent(1, NOW, number, "first") for number in range(3)]
    for tag in tags:
        assert await once.begin(tag)
        once.end(tag, succeeded=True)

    assert [await once.begin(tag) for tag in tags] == [True, False, False]


async def test_deliveries_of_an_event_with_sequenced_tags_share_random_numbers():
    made = shared()
    pool = EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed)
    dispatcher = TagDispatcher(
        [ContainerConfig(container=made, rules={name: TagRule(name=name) for name in "ab"})],
        engine_pool=pool,
        salt=b"x" * 16,
        opt_outs=MemoryStore(),
    )
    remarks = [
        TagRemark(event={"event_name": "x"}, native=Native(event="x"), conversion_id=id_)
        for id_ in ("order-1", "order-2")
    ]

    result = await dispatcher.dispatch(
        remarks, source=a_source(), origin=EventOrigin(), now=NOW, first=1, held={}
    )

    a1, b1, a2, b2 = (read(each.body, name=each.pixel).draw for each in result.fired)
    assert a1 == b1 != 0
    assert a2 == b2 not in {0, a1}
