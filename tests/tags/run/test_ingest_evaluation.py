"""Variables at intake, without an engine: their values, what they log and store, and pauses."""

import pytest
from msgspec import structs

from builders import NOW
from fakes import MovingClock
from twite.domain.alert import AlertKind
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.gateway.ports.events import ConditionChanged, TagSaid
from twite.gateway.ports.request_watch import set_watch
from twite.tags.container.parts import (
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    Operator,
    Variable,
    VariableSource,
)
from twite.tags.container.values import EventContext, LookupNeeded, Unfilled
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.variables import IngestEvaluation, PendingVariable, VariableCache
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.runtime.probation import PROVEN, Probations
from twite.tags.runtime.tag_log import STORAGE_FULL
from twite.tags.template.effects import HttpEffect, Keep, LogEffect
from twite.tags.template.permissions import Grant, policy
from twite.tags.template.sandbox import ContainerVersion, Turn
from twite.tags.template.template import Template, TemplateKind, TemplatePart
from twite.tags.template.texts import UNDEFINED

GRANTS = (
    Grant(permission="logging", parameters={"environments": "all"}),
    Grant(permission="access_template_storage"),
)
EVENT = {"event_name": "x", "note": "for a@mail.example"}
PAUSED = "the variable template 'Basket' is paused: it exceeded a limit"
SLOW = "the variable template 'Basket' is paused: it often took too long for intake"


def template(name="Basket", grants=GRANTS):
    return Template(
        kind=TemplateKind.VARIABLE, id="", name=name, description="", fields=(), tests=None,
        notes="", code=TemplatePart(text="", line=1), grants=grants,
    )  # fmt: skip


def an_occasion(**more):
    return EventContext(**{"event": EVENT, "now": NOW, "client": "ga4", "draw": 5} | more)


class Stage:
    """Intake with tags; plays the engine pool and observer. The tag fires if `basket` is `full`."""

    def __init__(self, *turns, grants=GRANTS):
        self.turns, self.clock = [*turns], MovingClock()
        self.elapsed = self.clock.elapsed
        self.calls, self.ended, self.notices = [], [], []
        self.ingest_worker = self
        self.trials = Probations(elapsed=self.elapsed, observer=self)
        self.storage = TemplateStorage()
        self.templates = {"basket": template(grants=grants), "main": template("main")}
        full = Condition(left="{{basket}}", operator=Operator.EQUALS, right="full")
        self.config = ContainerConfig(
            container=Container(
                tags=(ContainerTag(name="crm", template="main", triggers=("full",)),),
                triggers=(ContainerTrigger(name="full", when=(full,)),),
                variables=(
                    Variable(name="basket", type=VariableSource.TEMPLATE, template="basket"),
                ),
                templates=self.templates,
                public_id="GTM-X",
                version="7",
            ),
            rules={"crm": TagRule(name="crm", secrets=(Secret("key-of-the-vendor"),))},
        )
        self.ingest = IngestEvaluation(self, storage=self.storage, observer=self)

    def see(self, notice):
        self.notices.append(notice)

    def policy(self, of):
        return policy(of.grants)

    async def start(self, whose, of, call, *, gate):
        assert (whose, of.name) == ("variable Basket", "Basket")
        gate()
        self.calls.append(call)
        turn = self.turns.pop(0) if self.turns else Turn(run=1, returned="full")
        if isinstance(turn, Exception):
            raise turn
        return turn

    def end(self, run):
        self.ended.append(run)

    async def planned(self, **occasion):
        """Return the tags that fire, and why the others do not."""
        self.known = self.ingest.cache(self.config)
        plan = await self.ingest.planned(self.config, an_occasion(**occasion), self.known)
        return [each.tag.name for each in plan.fired], [each.why for each in plan.passed]

    @property
    def lines(self):
        return [
            (notice.tag, notice.text, notice.own)
            for notice in self.notices
            if isinstance(notice, TagSaid)
        ]


async def test_tag_fires_by_the_value_of_its_variable():
    stage = Stage()

    assert await stage.planned(request=IncomingRequest(path="/a")) == (["crm"], [])
    [call] = stage.calls
    assert (call.event, call.now, call.client) == (EVENT, NOW, "ga4")
    assert (call.request.path, call.storage, call.fields) == ("/a", {}, {})
    assert (call.container.container_id, call.container.version) == ("GTM-X", "7")
    assert stage.ended == []


async def test_fields_of_a_tag_are_not_evaluated_at_intake():
    stage = Stage()
    loop = Variable(name="loop", type=VariableSource.CONSTANT, value="{{loop}}")
    container = stage.config.container
    [tag] = container.tags
    stage.config = structs.replace(
        stage.config,
        container=structs.replace(
            container,
            tags=(structs.replace(tag, fields={"a": "{{loop}}"}),),
            variables=(*container.variables, loop),
        ),
    )

    assert await stage.planned() == (["crm"], [])


@pytest.mark.parametrize(
    "turn", [Turn(run=1, returned=None), Turn(run=1, returned="full", error="TypeError: no")]
)
async def test_variable_without_a_value_is_undefined(turn):
    fired, why = await Stage(turn).planned()

    assert (fired, why) == ([], ["none of its triggers matches"])


async def test_trigger_with_a_variable_that_needs_a_request_stays_pending():
    stage = Stage(Turn(run=3, waiting=(1,)))
    plan = await stage.ingest.planned(stage.config, an_occasion(), stage.ingest.cache(stage.config))

    assert plan.fired[0].pending.triggers == ("full",)
    assert stage.ended == [3]


async def test_value_returned_at_once_is_used_although_the_template_waits():
    stage = Stage(Turn(run=3, waiting=(1,), returned="full"))

    assert await stage.planned() == (["crm"], [])
    assert stage.ended == [3]


async def test_variable_that_listens_is_ended_at_intake():
    stage = Stage(Turn(run=3, returned="full", listening=("ping",)))
    await stage.planned()

    assert stage.ended == [3]


async def test_log_lines_of_variables_are_masked_and_need_permission():
    effects = (
        LogEffect(text="key-of-the-vendor for a@mail.example"),
        LogEffect(text="b", denied="read_event_data"),
        HttpEffect(id=1, url="https://a.example/", method="GET"),
    )
    stage = Stage(Turn(run=1, returned="full", effects=effects))
    await stage.planned()

    assert stage.lines == [
        ("variable Basket", "*** for ***", False),
        ("variable Basket", "the template lacks the permission read_event_data", True),
    ]


async def test_effect_of_a_variable_without_permission_is_not_performed():
    stage = Stage(
        Turn(run=1, returned="full", effects=(LogEffect(text="a"), Keep(key="a", value=1))),
        grants=(),
    )
    await stage.planned()

    assert (stage.lines, stage.storage.of(stage.templates["basket"])) == ([], {})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (3, "the template failed: TypeError in line 3 of its code"),
        (None, "the template failed: TypeError"),
    ],
)
async def test_error_of_a_variable_is_logged_without_its_text(line, said):
    stage = Stage(Turn(run=1, error="TypeError: of a@mail.example", line=line))
    await stage.planned()

    assert stage.lines == [("variable Basket", said, True)]


async def test_stored_items_of_a_variable_are_available_to_the_next_event():
    keeps = Turn(run=1, returned="full", effects=(Keep(key="a", value=1),))
    stage = Stage(keeps)
    await stage.planned()
    await stage.planned()

    assert [call.storage for call in stage.calls] == [{}, {"a": 1}]
    assert stage.lines == []


async def test_full_storage_of_a_variable_is_reported():
    big = Keep(key="a", value="x" * (2 << 20))
    stage = Stage(Turn(run=1, returned="full", effects=(big,)))
    await stage.planned()

    assert stage.lines == [("variable Basket", STORAGE_FULL, True)]


class Trace:
    def __init__(self, *, sends_nothing):
        self.sends_nothing = sends_nothing

    is_active = True


@pytest.mark.parametrize("sends_nothing", [True, False])
async def test_preview_that_sends_nothing_stores_no_items(sends_nothing):
    keeps = Turn(run=1, returned="full", effects=(Keep(key="a", value="x" * 9),))
    stage = Stage(keeps)
    set_watch(Trace(sends_nothing=sends_nothing))
    try:
        await stage.planned()
    finally:
        set_watch(None)

    stored = stage.storage.of(stage.templates["basket"])
    assert stored == ({} if sends_nothing else {"a": "x" * 9})
    assert stage.lines == []


async def test_variable_is_evaluated_once_for_each_event():
    stage = Stage()
    known = stage.ingest.cache(stage.config)
    for _ in range(2):
        await stage.ingest.planned(stage.config, an_occasion(), known)
    for other in ({"event": {"event_name": "y"}}, {"draw": 6}):
        await stage.ingest.planned(stage.config, an_occasion(**other), known)

    assert len(stage.calls) == 3


async def test_preview_evaluates_the_remaining_variables_without_storing_or_logging():
    effects = (LogEffect(text="a"), Keep(key="a", value=1))
    stage = Stage(Turn(run=1, returned="full", effects=effects))
    explanation = await stage.ingest.explained(
        stage.config, an_occasion(), stage.ingest.cache(stage.config)
    )

    assert [(value.name, value.value) for value in explanation.values] == [("basket", "full")]
    assert [(trigger.name, trigger.matches) for trigger in explanation.triggers] == [("full", True)]
    assert (stage.lines, stage.storage.of(stage.templates["basket"])) == ([], {})


async def test_preview_uses_the_values_that_decided_about_the_tags():
    stage = Stage()
    await stage.planned()
    await stage.ingest.explained(stage.config, an_occasion(), stage.known)

    assert len(stage.calls) == 1


async def test_template_that_exceeds_a_limit_at_intake_is_paused():
    stage = Stage(Turn(run=1, error="the run took too long", spent=True, took=0.1))
    first, second = await stage.planned(), await stage.planned()

    assert (first, second) == (([], ["none of its triggers matches"]), ([], [PAUSED]))
    assert len(stage.calls) == 1
    # Nineteen times as long as it took.
    await stage.clock.advance(1_899)
    assert await stage.planned() == ([], [PAUSED])
    await stage.clock.advance(1)
    assert await stage.planned() == (["crm"], [])
    # A run within the limits is not followed by a pause.
    stage.turns = [Turn(run=1, returned="full", took=0.004)]
    assert [await stage.planned() for _ in range(2)] == [(["crm"], [])] * 2


async def test_template_that_ends_its_process_is_paused_and_reported():
    stage = Stage(EngineLost("it ended", took=0.1))

    assert [await stage.planned() for _ in range(2)] == [([], [PAUSED])] * 2
    [alert] = [notice for notice in stage.notices if isinstance(notice, ConditionChanged)]
    assert (alert.kind, alert.subject) == (AlertKind.TEMPLATE_HUNG, "variable Basket")
    await stage.clock.advance(1_900)
    assert await stage.planned() == (["crm"], [])


@pytest.mark.parametrize("lost", [True, False])
async def test_only_runs_within_the_limits_end_the_pauses(lost):
    spent = Turn(run=1, error="the run took too long", spent=True, took=0.1)
    stage = Stage(EngineLost("it ended", took=0.1) if lost else spent)
    for _ in range(2 * PROVEN):
        await stage.planned()
    await stage.clock.advance(1_900)
    runs = 0
    while stage.trials.rest("variable Basket") is not None:
        assert await stage.planned() == (["crm"], [])
        runs += 1

    assert runs == PROVEN


async def test_slow_template_runs_only_in_its_share_of_the_time():
    slow = Turn(run=1, returned="full", took=0.3)
    stage = Stage(slow, slow)

    assert await stage.planned() == (["crm"], [])
    assert await stage.planned() == ([], [SLOW])
    await stage.clock.advance(1_000)
    assert await stage.planned() == (["crm"], [])
    assert await stage.planned() == ([], [SLOW])


async def test_internal_error_of_the_engine_ends_the_turn():
    stage = Stage(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await stage.planned()
    assert stage.trials.rest("variable Basket") is None
    stage.trials.lose("variable Basket", EngineLost("it ended", took=0.1))
    await stage.clock.advance(1_900)

    # No turn is in progress.
    assert await stage.planned() == (["crm"], [])


def test_cache_of_an_event_has_the_value_of_each_variable_or_its_error():
    cache = VariableCache(container=ContainerVersion(), storage=TemplateStorage())
    first, other = template(), template()
    awaited = []
    for of, fields in ((first, {}), (first, {"a": 1}), (other, {})):
        with pytest.raises(PendingVariable) as raised:
            cache.value(of, fields, an_occasion())
        awaited.append(raised.value)
    assert str(awaited[0]) == "Basket"
    assert (awaited[1].call.fields, awaited[1].call.seed) == ({"a": 1}, 5)

    cache.put(awaited[0], UNDEFINED)
    cache.put_unfilled(awaited[1], LookupNeeded("later"))

    assert cache.value(first, {}, an_occasion()) is UNDEFINED
    with pytest.raises(Unfilled, match="later"):
        cache.value(first, {"a": 1}, an_occasion())
    with pytest.raises(PendingVariable):
        cache.value(other, {}, an_occasion())
    with pytest.raises(PendingVariable):
        cache.value(first, {}, structs.replace(an_occasion(), event={"event_name": "y"}))
