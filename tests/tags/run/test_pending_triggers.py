"""Triggers that need a value from another server are decided when the tag runs."""

import asyncio

import msgspec
import pytest
from local_engines import LocalEngines
from test_variable_lookups import Stage, body, container, template

from builders import NOW, a_source
from fakes import ScriptedWeb
from memory_store.store import MemoryStore
from twite.domain.delivery import Trigger
from twite.domain.incoming_request import IncomingRequest
from twite.formats.parsed_request import Native
from twite.gateway.ports.tags import EventOrigin, TagRemark
from twite.gateway.ports.transport import NoResponse
from twite.machine.system import SystemClock
from twite.tags.container.parts import (
    ALL_EVENTS,
    Condition,
    ContainerTag,
    ContainerTrigger,
    Firing,
    Operator,
    Variable,
    VariableSource,
)
from twite.tags.container.plan import PendingTriggers
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, RepeatPolicy, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.run.outcome import MOST_LOOK_UPS, RequestOutcome, RunOutcome, transition_of
from twite.tags.run.payload import decided, read
from twite.tags.runtime.engine_pool import EnginePool
from twite.tags.template.template import TemplateKind


def when(left, right, **more):
    return Condition(left=left, operator=Operator.EQUALS, right=right, **more)


GOLD = ContainerTrigger(name="gold", when=(when("{{segment}}", "gold"),))
OTHER_GOLD = ContainerTrigger(name="not gold", when=(when("{{segment}}", "gold", negate=True),))
BOUGHT = ContainerTrigger(name="bought", when=(when("{{_event}}", "purchase"),))
SAW = ContainerTrigger(name="saw", when=(when("{{_event}}", "view_item"),))
BOTH = ContainerTrigger(name="both", when=(*GOLD.when, *BOUGHT.when))
NEITHER = ContainerTrigger(name="neither", when=(*GOLD.when, *SAW.when))
GROUP = ContainerTrigger(name="group", all_of=("gold", "bought"))
TRIGGERS = (GOLD, OTHER_GOLD, BOUGHT, SAW, BOTH, NEITHER, GROUP)


def with_tag(**more):
    tag = ContainerTag(**{"name": "crm", "template": "main", "triggers": ("gold",), **more})
    return container(tags=(tag,), triggers=TRIGGERS)


async def fired(made, event="purchase", **given):
    """Dispatch an event; return (payloads of fired tags, reasons of the others)."""
    engine_pool = EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed)
    engine_pool.start()
    dispatcher = TagDispatcher(
        [ContainerConfig(container=made, rules={"crm": TagRule(name="crm")})],
        engine_pool=engine_pool,
        salt=b"x" * 16,
        opt_outs=MemoryStore(),
    )
    remark = TagRemark(
        event={"event_name": event, "client_id": "c-1"},
        native=Native(event=event),
        conversion_id="order-1",
    )
    origin = EventOrigin(client="native", request=given.pop("request", IncomingRequest()))
    try:
        result = await dispatcher.dispatch(
            [remark], source=a_source(), origin=origin, now=NOW, first=1,
            held={}, **given,
        )  # fmt: skip
    finally:
        await engine_pool.stop()
    payloads = [read(entry.body, name="tag:crm") for entry in result.fired]
    return payloads, [(tag.reason, tag.why) for tag in result.unfired]


@pytest.mark.parametrize(
    ("tag", "pending"),
    [
        ({"triggers": ("gold",)}, PendingTriggers(triggers=("gold",))),
        ({"triggers": ("both",)}, PendingTriggers(triggers=("both",))),
        ({"triggers": ("group",)}, PendingTriggers(triggers=("group",))),
        ({"triggers": ("gold", "saw", "both")}, PendingTriggers(triggers=("gold", "both"))),
        ({"triggers": ("gold", "bought")}, None),
        ({"triggers": ("bought",), "unless": ("gold",)}, PendingTriggers(unless=("gold",))),
        (
            {"triggers": ("gold",), "unless": ("gold", "saw")},
            PendingTriggers(triggers=("gold",), unless=("gold",)),
        ),
    ],
)
async def test_trigger_that_needs_a_lookup_is_decided_by_the_run(tag, pending):
    payloads, unfired = await fired(with_tag(**tag))

    assert ([payload.pending for payload in payloads], unfired) == ([pending], [])


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ({"triggers": ("neither",)}, "trigger"),
        ({"triggers": ("gold",), "unless": ("bought",)}, "exception"),
        ({"triggers": ("gold",), "consent": ("ad_storage",)}, "consent"),
        ({"triggers": ("gold",), "paused": True}, "paused"),
    ],
)
async def test_tag_does_not_wait_for_a_lookup_that_cannot_change_the_decision(tag, reason):
    payloads, unfired = await fired(with_tag(**tag))

    assert (payloads, [why for why, _ in unfired]) == ([], [reason])


async def test_every_pending_trigger_has_a_delivery_if_the_tag_fires_for_each():
    made = with_tag(triggers=("gold", "bought", "saw"), firing=Firing.EACH_TRIGGER)

    payloads, _ = await fired(made)

    found = [payload.pending for payload in payloads]
    assert found == [PendingTriggers(triggers=("gold",)), None]


async def test_request_data_of_a_trigger_is_stored_only_while_it_is_pending():
    header = Variable(name="shop", type=VariableSource.REQUEST_HEADER, key="x-shop")
    trigger = ContainerTrigger(name="gold", when=(*GOLD.when, when("{{shop}}", "1")))
    request = IncomingRequest(headers=(("x-shop", "1"), ("x-other", "2")))
    kept = []
    for triggers in (("gold",), ("gold", ALL_EVENTS)):
        made = with_tag(triggers=triggers)
        made = msgspec.structs.replace(
            made, variables=(*made.variables, header), triggers=(trigger,)
        )
        payloads, _ = await fired(made, request=request)
        kept += [payload.request.headers for payload in payloads]

    assert kept == [(("x-shop", "1"),), ()]


class Decided:
    """Records which URLs had been requested each time a decision was stored."""

    def __init__(self, stage):
        self.stage = stage
        self.sent = []

    async def __call__(self):
        self.sent.append(list(self.stage.urls))


async def run(stage, *, triggers=("gold",), unless=(), made=None, **more):
    stored = Decided(stage)
    pending = PendingTriggers(triggers=triggers, unless=unless)
    ran = await stage.run(
        made or with_tag(), pending=pending, run={"on_fired": stored, "last_try": False, **more}
    )
    return ran, stored.sent


async def test_matching_pending_trigger_runs_its_tag_after_the_decision_is_stored():
    stage = Stage(body("gold"))

    ran, stored = await run(stage)

    lookup = "https://lookup.example/?q=c-1"
    assert (ran.succeeded, stored) == (True, [[lookup]])
    assert stage.urls == [lookup, "https://vendor.example/undefined"]


@pytest.mark.parametrize(
    ("pending", "why"),
    [
        ({"triggers": ("gold",)}, "none of its triggers matches"),
        ({"triggers": (), "unless": ("not gold",)}, "the exception 'not gold' matches"),
    ],
)
async def test_pending_trigger_that_does_not_match_ends_as_not_fired(pending, why):
    stage = Stage(body("silver"))

    ran, stored = await run(stage, **pending)

    assert (ran.not_fired, stored, len(stage.urls)) == (why, [], 1)
    ended = transition_of(ran, 1, rule=TagRule(name="crm"), tries=1, now=NOW, randomness=0.5)
    assert (ended.trigger, ended.reason) == (Trigger.NOT_FIRED, f"the tag did not fire: {why}")


LATE = NoResponse(reason="no answer in time", left=True, is_late=True)


@pytest.mark.parametrize("repeat", RepeatPolicy)
@pytest.mark.parametrize("triggers", [("gold",), ("not gold",)])
@pytest.mark.parametrize("answer", [body("", status=503), LATE], ids=["refused", "late"])
async def test_failed_lookup_of_a_trigger_neither_fires_nor_drops_the_tag(answer, triggers, repeat):
    stage = Stage(answer)

    ran, stored = await run(stage, triggers=triggers)

    assert (ran.undecided, ran.left, stored, len(stage.urls)) == (True, False, [], 1)
    rule = TagRule(name="crm", repeat=repeat)
    again = transition_of(ran, 1, rule=rule, tries=MOST_LOOK_UPS - 1, now=NOW, randomness=0.5)
    assert again.trigger is Trigger.POSTPONED
    assert again.reason.startswith("a lookup that decides whether the tag fires failed (")


@pytest.mark.parametrize(("triggers", "fires"), [(("gold",), False), (("not gold",), True)])
async def test_failed_lookup_is_undefined_at_the_last_attempt(triggers, fires):
    stage = Stage(body("", status=503))

    ran, stored = await run(stage, triggers=triggers, last_try=True)

    assert (ran.succeeded, ran.not_fired is None, len(stored)) == (fires, fires, int(fires))


async def test_refused_lookup_decides_at_once():
    stage = Stage(body("", status=404))

    ran, _ = await run(stage)

    assert ran.not_fired == "none of its triggers matches"


class Silent(ScriptedWeb):
    async def ask(self, _asked):
        await asyncio.sleep(60)


async def test_lookup_that_times_out_is_repeated_and_then_does_not_fire():
    stage = Stage()
    stage.web = Silent()
    pending = PendingTriggers(triggers=("gold",))

    ran = await stage.run(with_tag(), pending=pending, timeout=300)

    rule = TagRule(name="crm")
    ends = [
        transition_of(ran, 1, rule=rule, tries=tries, now=NOW, randomness=0.5)
        for tries in (MOST_LOOK_UPS - 1, MOST_LOOK_UPS)
    ]
    assert [end.trigger for end in ends] == [Trigger.POSTPONED, Trigger.NOT_FIRED]
    assert "it took longer than 0.3 s" in ends[1].reason


async def test_pending_trigger_that_was_removed_holds_the_tag():
    ran, _ = await run(Stage(), triggers=("platinum",))

    assert ran.not_run == "the container no longer has its trigger 'platinum'"


async def test_fields_of_a_tag_use_the_lookup_of_the_trigger():
    stage = Stage(body("gold"))

    ran, _ = await run(stage, made=with_tag(fields={"segment": "{{segment}}"}))

    assert ran.succeeded
    assert stage.urls == ["https://lookup.example/?q=c-1", "https://vendor.example/gold"]


async def test_payload_after_the_decision_has_no_pending_triggers():
    (payload,), _ = await fired(with_tag())
    whole = msgspec.json.encode(payload)

    after = read(decided(whole), name="tag:crm")

    assert after == msgspec.structs.replace(payload, pending=None)
    assert decided(msgspec.json.encode(after)) is None


def test_reason_contains_the_status_of_the_failed_lookup():
    failed = RequestOutcome(status=503, words="", left=False)

    ran = RunOutcome(tried=(failed,), undecided=True)

    assert ran.reason == "a lookup that decides whether the tag fires failed (503)"


async def test_trigger_without_lookups_is_decided_at_intake():
    made = with_tag(triggers=("gold", "saw"))
    plain = template("return 'gold';", TemplateKind.VARIABLE)
    made = msgspec.structs.replace(made, templates={**made.templates, "lookup": plain})

    payloads, unfired = await fired(made)

    assert ([payload.pending for payload in payloads], unfired) == ([None], [])
