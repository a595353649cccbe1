"""Variables that request their value from a server: the tag waits for them, the HTTP client does
not.
"""

import asyncio
from pathlib import Path

import msgspec
import pytest
from local_engines import LocalEngines

from builders import NOW
from fakes import ScriptedWeb
from twite.domain.delivery import Trigger as Ended
from twite.gateway.ports.transport import NoResponse, Response
from twite.machine.system import SystemClock
from twite.tags.container.parts import (
    ALL_EVENTS,
    Container,
    ContainerTag,
    Transformation,
    Variable,
    VariableSource,
)
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.tags import ContainerConfig, RepeatPolicy, TagRule
from twite.tags.run.outbound import RunContext
from twite.tags.run.outcome import transition_of
from twite.tags.run.payload import TagPayload
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.template.permissions import Grant
from twite.tags.template.template import TemplateKind, TemplatePart, read_template

MAIN = read_template((Path(__file__).parents[1] / "templates/crm_post.tpl").read_bytes())


LOOKUP = """
const send = require('sendHttpRequest');
return send('https://lookup.example/?q=' + data.key).then((answer) => {
  if (answer.statusCode !== 200) return undefined;
  return answer.body;
});
"""


TAG = """
const send = require('sendHttpRequest');
send('https://vendor.example/' + data.segment).then(data.gtmOnSuccess, data.gtmOnFailure);
"""


class NotForX:
    async def take(self, _request, **_source):
        return None


class Seen:
    def __init__(self):
        self.notices = []

    def see(self, notice):
        self.notices.append(notice)


def template(code, kind=TemplateKind.TAG):
    grants = (
        Grant(permission="send_http", parameters={"allowedUrls": "any"}),
        Grant(permission="access_template_storage"),
        Grant(permission="read_container_data"),
        Grant(permission="logging", parameters={"environments": "all"}),
    )
    part = TemplatePart(text=code, line=1)
    return msgspec.structs.replace(MAIN, kind=kind, fields=(), code=part, grants=grants, name="It")


def container(lookup=LOOKUP, tag=TAG, **more):
    key = Variable(name="key", type=VariableSource.EVENT_DATA, key="client_id")
    asks = Variable(
        name="segment", type=VariableSource.TEMPLATE, template="lookup", fields={"key": "{{key}}"}
    )
    return Container(
        templates={"main": template(tag), "lookup": template(lookup, TemplateKind.VARIABLE)},
        variables=(key, asks),
        **{
            "tags": (
                ContainerTag(
                    name="crm",
                    template="main",
                    fields={"segment": "{{segment}}"},
                    triggers=(ALL_EVENTS,),
                ),
            )
        }
        | more,
    )


class Stage:
    def __init__(self, *answers):
        self.web = ScriptedWeb(answers)
        self.seen = Seen()
        self.storage = TemplateStorage()

    async def run(self, made=None, draw=0, pending=None, run=(), **said):
        engine_pool = EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed)
        engine_pool.start()
        clock = SystemClock()
        run_context = RunContext(
            engine_pool=engine_pool,
            web=self.web,
            google=GoogleClient(clock=clock),
            to_x=NotForX(),
            storage=self.storage,
            clock=clock,
            observer=self.seen,
        )
        rule = TagRule(name="crm", **({"timeout": 5_000} | said))
        container_config = ContainerConfig(container=made or container(), rules={"crm": rule})
        letter = TagPayload(
            pixel="o8z6j", at=NOW, event={"event_name": "x", "client_id": "c-1"}, draw=draw,
            pending=pending,
        )  # fmt: skip
        try:
            self.tag_run = TagRun(
                run_context, container_config=container_config, rule=rule, payload=letter, seed=7,
                **dict(run),
            )  # fmt: skip
            return await self.tag_run.run()
        finally:
            await engine_pool.stop()

    @property
    def urls(self):
        return [request.url for request in self.web.asked]

    @property
    def said(self):
        return [notice.text for notice in self.seen.notices]


def body(text, status=200):
    return Response(status=status, headers={}, body=text.encode())


async def test_tag_gets_the_value_that_its_variable_requested():
    stage = Stage(body("gold"))

    ran = await stage.run()

    assert ran.succeeded
    assert stage.urls == ["https://lookup.example/?q=c-1", "https://vendor.example/gold"]


async def test_variables_that_need_each_other_are_looked_up_once_in_order():
    stage = Stage(body("gold"), body("plated"))
    made = container()
    again = Variable(
        name="again", type=VariableSource.TEMPLATE, template="lookup", fields={"key": "{{segment}}"}
    )
    fields = {"segment": "{{segment}}-{{again}}-{{segment}}"}
    tag = ContainerTag(name="crm", template="main", fields=fields, triggers=(ALL_EVENTS,))

    ran = await stage.run(
        msgspec.structs.replace(made, variables=(*made.variables, again), tags=(tag,))
    )

    assert ran.succeeded
    assert stage.urls == [
        "https://lookup.example/?q=c-1",
        "https://lookup.example/?q=gold",
        "https://vendor.example/gold-plated-gold",
    ]


async def test_transformation_changes_the_request_of_a_variable():
    stage = Stage(body("silver"))
    change = Transformation(name="other", set={"client_id": "c-2"})

    await stage.run(container(transformations=(change,)))

    assert stage.urls == ["https://lookup.example/?q=c-2", "https://vendor.example/silver"]


@pytest.mark.parametrize(
    "answer",
    [body("none", status=404), NoResponse(reason="no answer in time", left=True, is_late=True)],
    ids=["refused", "late"],
)
async def test_tag_runs_without_the_value_of_a_failed_lookup(answer):
    stage = Stage(answer)

    ran = await stage.run()

    assert ran.succeeded
    assert stage.urls[-1] == "https://vendor.example/undefined"


async def test_failed_lookup_is_reported_and_the_tag_runs_without_the_value():
    stage = Stage(body("gold"))

    ran = await stage.run(container(LOOKUP.replace("return answer.body", "return answer.no.body")))

    assert ran.succeeded
    [reported] = [line for line in stage.said if "TypeError" in line]
    assert reported.startswith("unhandled promise rejection: ")
    assert stage.urls[-1] == "https://vendor.example/undefined"


async def test_lookup_does_not_hold_a_tag_that_runs_at_most_once():
    stage = Stage(body("gold"))
    rule = TagRule(name="crm", repeat=RepeatPolicy.AT_MOST_ONCE)

    ran = await stage.run(container(tag="data.gtmOnFailure();"), repeat=rule.repeat)

    assert not ran.left
    transition = transition_of(ran, 1, rule=rule, tries=1, now=NOW, randomness=0.5)
    assert transition.trigger is Ended.POSTPONED


async def test_request_after_a_lookup_makes_a_run_ambiguous():
    stage = Stage(body("gold"), NoResponse(reason="cut", left=True))
    rule = TagRule(name="crm", repeat=RepeatPolicy.AT_MOST_ONCE)

    ran = await stage.run(repeat=rule.repeat)

    transition = transition_of(ran, 1, rule=rule, tries=1, now=NOW, randomness=0.5)
    assert ran.left
    assert transition.trigger is Ended.HELD


async def test_timeout_during_a_lookup_is_not_ambiguous():
    class Silent(ScriptedWeb):
        async def ask(self, _asked):
            await asyncio.sleep(60)

    stage = Stage()
    stage.web = Silent()

    ran = await stage.run(timeout=300)

    assert (ran.succeeded, ran.left, ran.passed_a_limit) == (False, False, True)


async def test_stored_result_of_a_lookup_is_used_by_the_next_delivery():
    stage = Stage(body("gold"))
    keeps = """
const kept = require('templateDataStorage');
const send = require('sendHttpRequest');
if (kept.getItemCopy('it')) return kept.getItemCopy('it');
return send('https://lookup.example/').then((answer) => {
  kept.setItemCopy('it', answer.body);
  return answer.body;
});
"""
    made = container(keeps)

    for _ in range(2):
        await stage.run(made)

    assert stage.urls == ["https://lookup.example/", *["https://vendor.example/gold"] * 2]


async def test_log_lines_of_a_variable_are_reported():
    stage = Stage()

    await stage.run(container("require('logToConsole')('seen');\nreturn 'gold';"))

    assert "seen" in stage.said


async def test_error_of_a_variable_is_reported():
    stage = Stage()

    ran = await stage.run(container("return data.no.such;"))

    assert ran.succeeded
    [reported] = [line for line in stage.said if "variable" in line]
    assert reported.startswith("the variable template 'It' failed: TypeError")


async def test_random_number_is_separate_for_each_event_and_variable():
    draws = "return require('generateRandom')(1, 1000000000);"
    again = Variable(name="again", type=VariableSource.TEMPLATE, template="lookup")
    made = container(draws)
    fields = {"segment": "{{segment}}/{{again}}/{{segment}}"}
    tag = ContainerTag(name="crm", template="main", fields=fields, triggers=(ALL_EVENTS,))
    made = msgspec.structs.replace(made, variables=(*made.variables, again), tags=(tag,))
    stage = Stage()

    for draw in (5, 5, 8):
        await stage.run(made, draw=draw)

    first, second, other = (url.split("/")[3:] for url in stage.urls)
    assert first == second
    assert first[0] == first[2] != first[1]
    assert set(first) & set(other) == set()


async def test_variable_template_knows_its_container():
    about = "const it = require('getContainerVersion')(); return it.containerId + it.version;"
    stage = Stage()

    await stage.run(container(about, public_id="GTM-X", version="7"))

    assert stage.urls == ["https://vendor.example/GTM-X7"]
