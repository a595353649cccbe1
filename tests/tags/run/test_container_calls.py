"""runContainer in a tag: the created event is stored exactly once, before other steps use it."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from local_engines import LocalEngines

from builders import a_destination
from fakes import MovingClock, ScriptedWeb, SeededRandomness
from memory_store.store import MemoryStore
from twite.domain.destination import Source
from twite.domain.errors import LedgerUnavailable
from twite.domain.incoming_request import IncomingRequest
from twite.domain.outcome import AttemptOutcome
from twite.domain.secret import Secret
from twite.domain.submission import Endpoint
from twite.formats.parsed_request import Native
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.events import ContainerCalled, TagSaid
from twite.gateway.ports.tags import EventOrigin, TagRemark
from twite.machine.system import SystemClock
from twite.tags.container.parts import (
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    Operator,
    Variable,
    VariableSource,
)
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run import run_calls
from twite.tags.run.container_calls import MOST_CREATED, MOST_NESTED, ContainerCalls
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.run.outbound import RunContext
from twite.tags.run.outcome import attempt_of, transition_of
from twite.tags.run.payload import read
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.template.permissions import Grant
from twite.tags.template.template import TemplatePart, read_template

TEMPLATE = read_template((Path(__file__).parents[1] / "templates/crm_post.tpl").read_bytes())
NOW = 1_795_600_000_000
AT = NOW - 60_000
CLICK = "23opevjt88psuo13lu8d020qkn"
SHOP = Source(
    name="shop",
    key=Secret("k"),
    pixel="o8z6j",
    pixels=frozenset({"o8z6j"}),
    browser_value_limit=Decimal(500),
)
RUN = (
    "const run = require('runContainer'), log = require('logToConsole');\n"
    "const after = require('addEventCallback'), get = require('getEventData');\n"
)
UPSELL = RUN + "run({event_name: 'upsell', event_id: 'U-1'});\ndata.gtmOnSuccess();\n"


def with_code(code):
    grants = (
        *TEMPLATE.grants,
        Grant(permission="run_container"),
        Grant(permission="read_event_metadata"),
    )
    return msgspec.structs.replace(TEMPLATE, code=TemplatePart(text=code, line=1), grants=grants)


class NotForX:
    async def take(self, _request, **_source):
        return None


class ContainerStage:
    """Tag `caller` gets `order`; `mail` and `bill` get `upsell`; a pixel gets `purchase`."""

    def __init__(self, code):
        self.notices, self.submissions, self.woken = [], [], []
        self.store, self.clock = MemoryStore(), MovingClock(NOW)
        self.fails, self.said = False, asyncio.Event()
        self.pool = EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed)
        self.pool.start()

        def fired_by(event, *more):
            name = Condition(left="{{_event}}", operator=Operator.EQUALS, right=event)
            return ContainerTrigger(name=event, when=(name, *more))

        page = Condition(left="{{path}}", operator=Operator.EQUALS, right="/data")
        container = Container(
            tags=(
                ContainerTag(name="caller", template="caller", triggers=("order", "again")),
                ContainerTag(name="mail", template="plain", triggers=("upsell",)),
                ContainerTag(name="bill", template="plain", triggers=("upsell",)),
                ContainerTag(name="paged", template="plain", triggers=("paged",)),
            ),
            triggers=(
                fired_by("order"),
                fired_by("again"),
                fired_by("upsell"),
                msgspec.structs.replace(fired_by("paged", page), name="paged"),
            ),
            variables=(Variable(name="path", type=VariableSource.REQUEST_PATH),),
            templates={"caller": with_code(code), "plain": TEMPLATE},
        )
        names = ("caller", "mail", "bill", "paged")
        self.config = ContainerConfig(
            container=container, rules={name: TagRule(name=name, timeout=60_000) for name in names}
        )
        dispatcher = TagDispatcher(
            [self.config], engine_pool=self.pool, salt=b"x" * 16, opt_outs=self.store
        )
        destinations = {"o8z6j": a_destination()}
        self.accept = accept = Accept(
            intake=self,
            clock=self.clock,
            randomness=SeededRandomness(),
            destinations=destinations,
            salt=b"salt",
            wake=self.woken.append,
            tag_dispatcher=dispatcher,
        )
        self.dispatcher = dispatcher
        self.calls = ContainerCalls(accept=accept, sources=[SHOP], destinations=destinations)

    async def record(self, submission):
        if self.fails:
            raise LedgerUnavailable(reason="the disk is full", retry_after=1)
        recorded = await self.store.record(submission)
        self.submissions.append((submission, recorded))
        return recorded

    def see(self, notice):
        self.notices.append(notice)
        if isinstance(notice, TagSaid):
            self.said.set()

    @property
    def lines(self):
        return [notice.text for notice in self.notices if isinstance(notice, TagSaid)]

    @property
    def results(self):
        return [notice.result for notice in self.notices if isinstance(notice, ContainerCalled)]

    async def received(self, event=None, *, consent=None, from_page=False):
        """Return the caller's payload for a received event."""
        event = {"event_name": "order", **(event or {})}
        native = Native(event="order", twclid=CLICK, consent=consent)
        result = await self.dispatcher.dispatch(
            [TagRemark(event=event, native=native, conversion_id="A2")],
            source=SHOP,
            origin=EventOrigin(
                request=IncomingRequest(path="/data"), client="ga4", from_page=from_page
            ),
            now=AT,
            first=0,
            held={},
        )
        [entry] = result.fired
        return read(entry.body, name="tag:caller")

    async def run(self, payload, *, seed=7, calls=True):
        context = RunContext(
            engine_pool=self.pool,
            web=ScriptedWeb(()),
            google=GoogleClient(clock=SystemClock()),
            to_x=NotForX(),
            storage=TemplateStorage(),
            clock=SystemClock(),
            observer=self,
            container_calls=self.calls if calls else None,
        )
        return await TagRun(
            context,
            container_config=self.config,
            rule=self.config.rules["caller"],
            payload=payload,
            seed=seed,
        ).run()

    def entries(self, at=-1):
        submission, recorded = self.submissions[at]
        return {entry.pixel: (entry.index in recorded.duplicates) for entry in submission.entries}


@pytest.fixture
async def stage():
    stages = []

    def make(code=UPSELL):
        stages.append(ContainerStage(code))
        return stages[-1]

    yield make
    for each in stages:
        await each.pool.stop()


async def test_created_event_fires_tags_of_the_same_source(stage):
    stage = stage()

    ran = await stage.run(await stage.received())

    [(submission, _)] = stage.submissions
    assert ran.succeeded
    assert (submission.source, submission.endpoint) == ("shop", Endpoint.TAG)
    assert stage.entries() == {"tag:mail": False, "tag:bill": False}
    assert [entry.called for entry in submission.entries] == ["U-1", "U-1"]
    assert sorted(stage.woken) == ["tag:bill", "tag:mail"]
    assert stage.results == ["accepted"]
    attempt = attempt_of(ran, 1, pixel="tag:caller", event="order", at=NOW)
    assert attempt.outcome is AttemptOutcome.DELIVERED
    assert f"runContainer created upsell, receipt {submission.receipt}" in attempt.answer


async def test_repeated_run_creates_the_event_once(stage):
    stage = stage()
    payload = await stage.received()

    await stage.run(payload)
    await stage.run(payload)
    repeated = stage.entries()
    await stage.run(payload, seed=8)

    assert repeated == {"tag:mail": True, "tag:bill": True}
    assert stage.entries() == {"tag:mail": False, "tag:bill": False}


async def test_two_equal_runcontainer_calls_create_two_events(stage):
    stage = stage(RUN + "run({event_name: 'upsell'}); run({event_name: 'upsell'});")

    await stage.run(await stage.received())

    assert [stage.entries(at) for at in (0, 1)] == [{"tag:mail": False, "tag:bill": False}] * 2


async def test_created_event_for_the_pixel_becomes_a_conversion_with_click_id_and_time(stage):
    stage = stage(RUN + "run({event_name: 'purchase', transaction_id: 'T-1', value: 5});")

    await stage.run(await stage.received())

    [entry] = stage.submissions[0][0].entries
    conversion = json.loads(entry.body)
    assert (entry.pixel, entry.conversion_id) == ("o8z6j", "T-1")
    assert CLICK in str(conversion["identifiers"])
    assert conversion["conversion_time"].startswith("2026-11-25T")


async def test_triggers_of_the_created_event_can_read_the_request(stage):
    stage = stage(RUN + "run({event_name: 'paged'});")

    await stage.run(await stage.received())

    assert stage.entries() == {"tag:paged": False}


async def test_on_start_is_called_before_and_on_complete_after_the_tags(stage):
    stage = stage(
        RUN + "run({event_name: 'upsell', n: 1}, (bind) => {\n"
        "  log('complete ' + bind(get)('n') + ' ' + get('event_name'));\n"
        "  bind(after)((id, all) => {\n"
        "    log(all.tags.map((tag) => tag.id + ' ' + tag.status).join());\n"
        "    data.gtmOnSuccess();\n"
        "  });\n"
        "}, (bind) => log('start ' + bind(get)('n')));"
    )
    running = asyncio.create_task(stage.run(await stage.received()))
    await stage.said.wait()
    before = list(stage.lines)

    for entry in stage.submissions[0][0].entries:
        payload = read(entry.body, name=entry.pixel)
        tag = entry.pixel.removeprefix("tag:")
        stage.calls.end(payload.call, tag, succeeded=tag == "mail")
    ran = await running

    assert before == ["start 1"]
    assert stage.lines[1:] == ["complete 1 order", "mail success,bill failure"]
    assert ran.succeeded


async def test_tags_of_the_created_event_are_awaited_for_half_the_time(stage):
    stage = stage(
        RUN + "run({event_name: 'upsell'}, (bind) => bind(after)((id, all) => {\n"
        "  log(all.tags.map((tag) => tag.status).join());\n"
        "  data.gtmOnSuccess();\n"
        "}));"
    )
    stage.config.rules["caller"] = TagRule(name="caller", timeout=2_000)

    ran = await stage.run(await stage.received())

    assert (ran.succeeded, stage.lines) == (True, ["queued,queued"])


async def test_on_start_without_on_complete_does_not_keep_the_run_open(stage, monkeypatch):
    monkeypatch.setattr(run_calls, "WAITS", 3_600_000)
    stage = stage(RUN + "run({event_name: 'upsell'}, undefined, () => data.gtmOnSuccess());")
    stage.config.rules["caller"] = TagRule(name="caller", timeout=7_200_000)

    ran = await asyncio.wait_for(stage.run(await stage.received()), 30)

    assert ran.succeeded


async def test_tag_that_creates_its_own_event_ends_with_a_log_line_and_a_count(stage):
    stage = stage(RUN + "run({event_name: 'again', n: 1}); data.gtmOnSuccess();")
    payload, depth = await stage.received(), 0

    while True:
        before = len(stage.submissions)
        assert (await stage.run(payload)).succeeded
        if len(stage.submissions) == before:
            break
        depth += 1
        [entry] = stage.submissions[-1][0].entries
        payload = read(entry.body, name="tag:caller")

    assert depth == MOST_NESTED
    assert stage.results == ["accepted"] * MOST_NESTED + ["limit"]
    assert stage.lines == [
        "runContainer was ignored: the event was created by 5 nested calls, which is the limit"
    ]


async def test_number_of_events_that_one_event_creates_is_limited(stage):
    stage = stage(RUN + "for (let n = 0; n < 130; n++) run({event_name: 'upsell', n: n});")
    payload = await stage.received()

    await stage.run(payload)
    await stage.run(payload)

    assert stage.results.count("accepted") == 2 * MOST_CREATED
    assert (
        stage.lines
        == [
            "runContainer was ignored: the event's tags have created 100 events, which is the limit"
        ]
        * 2
    )


async def test_ignored_runcontainer_call_completes_so_that_the_tag_can_end(stage):
    stage = stage(RUN + "run({event_name: 'upsell'}, data.gtmOnSuccess);")

    ran = await stage.run(await stage.received(), calls=False)

    assert ran.succeeded
    assert stage.lines == ["runContainer was ignored: this command does not run the container"]


async def test_run_whose_event_cannot_be_stored_fails_and_is_retried(stage):
    stage = stage()
    payload = await stage.received()
    stage.fails = True

    ran = await stage.run(payload)
    stage.fails = False
    again = await stage.run(payload)

    transition = transition_of(
        ran, 1, rule=stage.config.rules["caller"], tries=50, now=NOW, randomness=0.5
    )
    assert (ran.succeeded, ran.left, transition.due_at is not None) == (False, False, True)
    assert ran.error == "the event of runContainer could not be stored"
    assert again.succeeded
    assert stage.entries() == {"tag:mail": False, "tag:bill": False}


@pytest.mark.parametrize(
    ("event", "granted", "created"),
    [
        ({}, {"ad_storage": True}, {"ad_storage": "denied"}),
        ({"ad_storage": "granted"}, {}, {"ad_storage": "denied"}),
        ({"ad_storage": "granted"}, {"ad_storage": True}, {"consent_state": {"ad_storage": False}}),
        ({"x-ga-gcs": "G111"}, {}, {"x-ga-gcs": "G100"}),
        ({"us_privacy": "1YNN"}, {}, {"us_privacy": "1YYN"}),
        ({"gpc": "0"}, {}, {"gpc": "1"}),
        ({"ad_storage": "granted"}, {"ad_storage": False}, {}),
        ({}, {"ad_storage": False, "ad_user_data": True}, {"consent_state": {"ad_storage": True}}),
    ],
)
async def test_stricter_consent_of_original_and_created_event_applies(
    stage, event, granted, created
):
    call = json.dumps({"event_name": "purchase", "transaction_id": "T-1", **created})
    stage = stage(RUN + f"run({call});")
    payload = msgspec.structs.replace(await stage.received(event), granted=granted)

    await stage.run(payload)

    [entry] = stage.submissions[0][0].entries
    assert entry.suppressed is not None
