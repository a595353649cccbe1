"""The input of a run: its triggers and fields, and the values that the template gets."""

import pytest

from builders import NOW
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.domain.submission import NotFiredReason
from twite.tags.container.parts import (
    Condition,
    Container,
    ContainerClient,
    ContainerTag,
    ContainerTrigger,
    Firing,
    Operator,
    ReadFields,
    SequencedTag,
    Variable,
    VariableSource,
)
from twite.tags.container.plan import FiredTag, PendingTriggers
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.payload import TagPayload, cookie_mark
from twite.tags.run.run_input import RunInput
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.template.effects import (
    Body,
    BrowserPixel,
    Header,
    Keep,
    PixelBody,
    Respond,
    RunContainer,
    SetCookie,
    Status,
)
from twite.tags.template.template import Template, TemplateKind, TemplatePart

EVENT = {"event_name": "purchase", "value": 5}
COOKIE = SetCookie(name="a", value="b")
LATE = (
    "was ignored: the call followed a wait for a response. "
    "Twite responded to the browser after the template's first step"
)
SENT = "was ignored: the response was sent before the tag ran"


def template(code=""):
    return Template(
        kind=TemplateKind.TAG, id="", name="t", description="", fields=(), tests=None, notes="",
        code=TemplatePart(text=code, line=1), grants=(),
    )  # fmt: skip


def a_trigger(name, left, right):
    return ContainerTrigger(
        name=name, when=(Condition(left=left, operator=Operator.EQUALS, right=right),)
    )


def a_tag(name="crm", **more):
    return ContainerTag(name=name, template="main", **more)


def an_input(*tags, container=(), headers=(), name="crm", seed=7, first_turn=0, **payload):
    made = {
        "triggers": (
            a_trigger("bought", "{{_event}}", "purchase"),
            a_trigger("saw", "{{_event}}", "view"),
        ),
        "templates": {"main": template()},
        **dict(container),
    }
    rule = TagRule(name=name)
    return RunInput(
        container_config=ContainerConfig(
            container=Container(tags=tags or (a_tag(),), **made),
            rules={name: rule},
            headers=headers,
        ),
        rule=rule,
        payload=TagPayload(
            **{"pixel": "o8z6j", "at": NOW, "event": EVENT, "seed": first_turn, **payload}
        ),
        seed=seed,
    )


def fired(tag, **more):
    return FiredTag(
        **{"tag": tag, "template": template(), "fields": {"a": 1}, "event": EVENT} | more
    )


def call_of(given, tag=None, **more):
    storage = TemplateStorage()
    return given.call(fired(tag or a_tag(), **more), storage=storage, listened=["ping"])


def test_templates_know_their_container():
    about = an_input(container={"public_id": "GTM-X", "version": "7"}).version

    assert (about.container_id, about.version) == ("GTM-X", "7")


def test_error_in_a_field_names_the_template_of_the_tag():
    made = an_input(a_tag(), a_tag("other"))
    gone = an_input(container={"templates": {}})

    assert [each.name for each in made.templates] == ["t"]
    assert made.templates[0] is made.container_config.container.templates["main"]
    assert (gone.templates, an_input(name="bare").templates) == ((), ())


@pytest.mark.parametrize(
    ("triggers", "unless", "unknown"),
    [(("bought",), ("saw",), None), (("bought", "a"), ("b",), "a"), ((), ("saw", "b"), "b")],
)
def test_payload_with_a_removed_trigger_names_it(triggers, unless, unknown):
    pending = PendingTriggers(triggers=triggers, unless=unless)

    assert an_input().unknown_trigger(pending) == unknown


@pytest.mark.parametrize(
    ("triggers", "unless", "reason"),
    [
        (("saw", "bought"), (), None),
        (("saw",), (), NotFiredReason.TRIGGER),
        ((), (), None),
        ((), ("bought",), NotFiredReason.EXCEPTION),
        ((), ("saw",), None),
    ],
)
def test_pending_triggers_of_a_payload_are_decided(triggers, unless, reason):
    skipped = an_input().decide(PendingTriggers(triggers=triggers, unless=unless), None)

    assert (skipped and skipped.reason) == reason


def test_fields_are_evaluated_only_for_the_run():
    loop = Variable(name="loop", type=VariableSource.CONSTANT, value="{{loop}}")
    made = an_input(a_tag(fields={"a": "{{loop}}"}), container={"variables": (loop,)})

    assert made.decide(PendingTriggers(triggers=("bought",)), None) is None
    assert made.plan(None).startswith("the tag does not run: circular dependency")


def test_tag_without_pending_triggers_runs_whatever_its_triggers():
    planned = an_input(a_tag(triggers=("saw",), fields={"a": "{{_event}}"})).plan(None)

    assert (planned.tag.name, planned.fields, planned.event) == ("crm", {"a": "purchase"}, EVENT)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (
            an_input(
                a_tag(paused=True, setup=SequencedTag(tag="first")), a_tag("first", priority=9)
            ),
            "it is paused",
        ),
        (an_input(a_tag("other", paused=True)), "it is no longer configured"),
        (an_input(a_tag(consent=("ad_storage",))), "consent ad_storage"),
    ],
)
def test_reason_says_why_a_tag_may_not_run(made, why):
    assert made.plan(None) == f"the tag does not run: {why}"


def test_run_reads_the_event_and_request_of_its_payload():
    who = Variable(name="who", type=VariableSource.REQUEST_HEADER, key="x-shop")
    client = Variable(name="client", type=VariableSource.CLIENT_NAME)
    made = an_input(
        a_tag(fields={"who": "{{who}}", "by": "{{client}}"}, consent=("ad_storage",)),
        container={"variables": (who, client)},
        headers=(("x-shop", Secret("own")),),
        client="ga4",
        granted={"ad_storage": True},
    )

    assert made.plan(None).fields == {"who": "own", "by": "ga4"}


@pytest.mark.parametrize("draw", [0, 5])
def test_random_variable_depends_on_the_event_or_else_on_the_delivery(draw):
    lot = Variable(name="lot", type=VariableSource.RANDOM, least=1, most=1 << 40)
    tag, more = a_tag(fields={"lot": "{{lot}}"}), {"container": {"variables": (lot,)}}
    lots = [an_input(tag, draw=draw, seed=seed, **more).plan(None).fields for seed in (7, 8)]

    assert (lots[0] == lots[1]) is (draw > 0)


def test_template_gets_the_event_of_the_payload():
    client = ContainerClient(name="Own GA4", reads=ReadFields.GA4)
    made = an_input(
        container={"clients": (client,), "public_id": "GTM-X"},
        headers=(("x-shop", Secret("own")),),
        client="ga4",
        pixels=True,
    )
    call = call_of(made)

    assert (call.fields, call.event, call.now, call.seed) == ({"a": 1}, EVENT, NOW, 7)
    assert call.request.headers == (("x-shop", "own"),)
    assert (call.container.container_id, call.client) == ("GTM-X", "Own GA4")
    assert (call.storage, call.listened) == ({}, ("ping",))
    assert (call.browser_pixels, call.extracted) == (True, None)


def test_template_gets_its_stored_items():
    storage, tag = TemplateStorage(), fired(a_tag())
    storage.change(tag.template, Keep(key="a", value=1))

    assert an_input().call(tag, storage=storage).storage == {"a": 1}
    assert an_input().call(tag, storage=storage).listened == ()


@pytest.mark.parametrize(
    ("path", "code", "extracted"),
    [
        ("/g/collect", "require('extractEvents')", [EVENT]),
        ("/g/collect", "", None),
        ("/data", "require('extractEvents')", None),
    ],
)
def test_template_can_extract_its_own_event_from_a_hit(path, code, extracted):
    made = an_input(request=IncomingRequest(path=path))

    assert call_of(made, template=template(code)).extracted == extracted


SETUP = a_tag(setup=SequencedTag(tag="first"))
CLEANUP = a_tag(teardown=SequencedTag(tag="first"))
FIRST = a_tag("first")


@pytest.mark.parametrize("main", [SETUP, CLEANUP])
def test_setup_and_cleanup_tags_run_once_per_event(main):
    made = an_input(main, FIRST, draw=5)
    tag = made.once_per_event(fired(FIRST))

    assert (tag.at, tag.draw, tag.tag) == (NOW, 5, "first")
    assert tag == made.once_per_event(fired(FIRST))
    assert tag != an_input(main, FIRST, draw=5).once_per_event(fired(FIRST))  # another container
    assert made.once_per_event(fired(main)) is None
    assert an_input(main, FIRST).once_per_event(fired(FIRST)) is None
    each = a_tag("first", firing=Firing.EACH_TRIGGER)
    assert an_input(main, each, draw=5).once_per_event(fired(each)) is None


def test_tag_that_runs_once_per_event_has_the_same_seed_in_all_deliveries():
    seeds = [
        call_of(an_input(SETUP, FIRST, draw=draw, seed=seed), FIRST).seed
        for draw, seed in [(5, 7), (5, 8), (6, 7)]
    ]

    assert seeds[0] == seeds[1] != seeds[2]
    assert all(8 < seed < 1 << 48 for seed in seeds)
    assert call_of(an_input(SETUP, FIRST, draw=5, seed=8)).seed == 8


@pytest.mark.parametrize(
    ("effect", "payload", "turn", "line"),
    [
        (COOKIE, {}, 1, f"setCookie {SENT}"),
        (COOKIE, {"first_turn": 9, "cookies": (cookie_mark(COOKIE),)}, 2, None),
        (COOKIE, {"first_turn": 9}, 1, f"setCookie {SENT}"),
        (COOKIE, {"first_turn": 9}, 2, f"setCookie {LATE}"),
        (Header(name="a"), {"first_turn": 9}, 1, None),
        (Header(name="a"), {"first_turn": 9}, 2, f"setResponseHeader {LATE}"),
        (Header(name="a"), {}, 1, f"setResponseHeader {SENT}"),
        (BrowserPixel(url="u"), {"first_turn": 9}, 1, None),
        (BrowserPixel(url="u"), {"first_turn": 9}, 2, f"sendPixelFromBrowser {SENT}"),
        (Status(code=1), {"first_turn": 9}, 2, f"setResponseStatus {SENT}"),
        (Body(text="x"), {}, 1, f"setResponseBody {SENT}"),
        (PixelBody(), {}, 1, f"setPixelResponse {SENT}"),
        (Respond(), {}, 1, f"returnResponse {SENT}"),
        (Keep(key="a"), {}, 1, f"Keep {SENT}"),
        (
            RunContainer(id=1, event={}),
            {},
            1,
            "runContainer was ignored: only tags and clients may call it",
        ),
    ],
)
def test_effect_after_the_response_is_logged_with_the_reason(effect, payload, turn, line):
    assert an_input(**payload).ignored(effect, turn=turn) == line
