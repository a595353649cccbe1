"""The dispatcher without an engine: which tags get a delivery, and its payload."""

import pytest
from dispatcher_stage import (
    CALL,
    DENIED,
    HOLDS,
    RUNS,
    UNCLEAR,
    OptOuts,
    Seal,
    Stage,
    a_remark,
    a_tag,
)

from builders import NOW, an_entry
from twite.domain.consent import ConsentPolicy
from twite.domain.conversion import Identifiers
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.formats.parsed_request import Native
from twite.gateway.ports.request_watch import set_watch
from twite.gateway.ports.tags import TagRemark
from twite.tags.container.parts import (
    ALL_EVENTS,
    Condition,
    ContainerTrigger,
    Firing,
    Operator,
    Variable,
    VariableSource,
)
from twite.tags.ports.tags import PersonHandling, TagRule
from twite.tags.run.payload import read


async def test_event_becomes_a_delivery_for_each_tag_that_fires():
    stage = Stage(a_tag("crm"), a_tag("ads"))
    entries = await stage.dispatch(first=3)

    assert [(entry.index, entry.pixel, entry.event) for entry in entries] == [
        (3, "tag:crm", "purchase"),
        (4, "tag:ads", "purchase"),
    ]
    assert entries[0].key != entries[1].key
    payload = read(entries[0].body, name="tag:crm")
    assert (payload.pixel, payload.at, payload.client) == ("o8z6j", NOW, "native")
    assert payload.event == {"event_name": "purchase", "value": 5}
    assert (payload.draw, payload.seed, payload.source, payload.preview) == (0, 0, "", "")
    assert (payload.from_page, payload.call, payload.pending) == (False, None, None)
    assert stage.result.responses == {}


async def test_tags_of_other_sources_and_tags_without_a_rule_get_no_delivery():
    other = TagRule(name="ads", sources=frozenset({"app"}))
    stage = Stage(a_tag("crm"), a_tag("ads"), a_tag("bare"), rules={"ads": other, "bare": None})

    assert [entry.pixel for entry in await stage.dispatch()] == ["tag:crm"]
    assert stage.dispatcher.listens_to("shop")
    assert stage.dispatcher.listens_to("app")
    assert not Stage(a_tag("ads"), rules={"ads": other}).dispatcher.listens_to("shop")


async def test_each_tag_of_the_source_that_does_not_fire_has_a_reason():
    other = TagRule(name="ads", sources=frozenset({"app"}))
    stage = Stage(
        a_tag("crm", paused=True),
        a_tag("ads", paused=True),
        a_tag("bare", paused=True),
        a_tag("fires"),
        rules={"ads": other, "bare": None},
    )
    await stage.dispatch(a_remark(index=7))

    [unfired] = stage.result.unfired
    assert (unfired.tag, unfired.reason, unfired.why, unfired.index) == (
        "tag:crm", "paused", "it is paused", 7,
    )  # fmt: skip
    assert [entry.pixel for entry in stage.result.fired] == ["tag:fires"]


async def test_variables_are_not_evaluated_for_a_source_without_tags():
    other = TagRule(name="crm", sources=frozenset({"app"}))
    value = Variable(name="v", type=VariableSource.TEMPLATE, template="value")
    gold = Condition(left="{{v}}", operator=Operator.EQUALS, right="gold")
    stage = Stage(
        a_tag("crm", triggers=("gold",)),
        rules={"crm": other},
        config={
            "variables": (value,),
            "triggers": (ContainerTrigger(name="gold", when=(gold,)),),
        },
    )
    await stage.dispatch()

    assert (stage.result.fired, stage.result.unfired, stage.pool.calls) == ((), (), [])


async def test_tag_with_invalid_fields_gets_a_delivery_that_says_so():
    loop = Variable(name="loop", type=VariableSource.CONSTANT, value="{{loop}}")
    stage = Stage(a_tag(fields={"a": "{{loop}}"}), config={"variables": (loop,)})

    assert len(await stage.dispatch()) == 1


@pytest.mark.parametrize(
    ("consent", "policy", "suppressed", "held", "keeps"),
    [
        (None, ConsentPolicy(), None, None, True),
        (DENIED, ConsentPolicy(), "consent_denied: ad_storage", None, False),
        (UNCLEAR, HOLDS, None, "consent_unclear: ad_storage", True),
    ],
)
async def test_consent_decides_whether_a_tag_event_is_sent(
    consent, policy, suppressed, held, keeps
):
    [entry] = await Stage().dispatch(a_remark(consent=consent), consent=policy)

    assert (entry.suppressed, entry.held) == (suppressed, held)
    assert (entry.consent is None) is (consent is None)
    payload = read(entry.body, name="tag:crm")
    assert (payload.at, payload.event) == (
        (NOW, {"event_name": "purchase", "value": 5}) if keeps else (0, {"event_name": "purchase"})
    )


@pytest.mark.parametrize(
    ("index", "consent", "held"),
    [
        (2, None, "a value guard"),
        (3, None, None),
        (None, None, None),
        (2, UNCLEAR, "consent_unclear: ad_storage"),
        (2, DENIED, None),
    ],
)
async def test_tags_of_a_held_conversion_are_held(index, consent, held):
    remark = a_remark(index=index, consent=consent)
    [entry] = await Stage().dispatch(
        remark, held={2: an_entry(held="a value guard")}, consent=HOLDS
    )

    assert entry.held == held


async def test_person_who_opted_out_is_sent_to_no_tag():
    opt_outs = OptOuts("o8z6j")
    [entry] = await Stage(opt_outs=opt_outs).dispatch(a_remark(email="a@mail.example"))

    assert entry.suppressed == "consent_revoked"
    assert [len(keys) for keys in opt_outs.asked] == [1]


async def test_opt_out_of_the_person_of_the_first_event_applies():
    opt_outs = OptOuts("o8z6j")
    person = Identifiers(email="0" * 64)
    [entry] = await Stage(opt_outs=opt_outs).dispatch(persons=(person,))

    assert entry.suppressed == "consent_revoked"
    assert [len(keys) for keys in opt_outs.asked] == [0, 1]


async def test_identifiers_are_stored_for_later_opt_outs():
    payload = await Stage().payload(
        a_remark(email="a@mail.example"), persons=(Identifiers(email="0" * 64),)
    )

    assert [len(person.hashed_email) for person in payload.identifiers] == [64, 64]


async def test_only_known_event_names_are_counted_separately():
    stage = Stage(known=["order_paid"])
    entries = [
        entry
        for event in ("purchase", "order_paid", "something")
        for entry in await stage.dispatch(a_remark(event))
    ]

    assert [(entry.event, entry.conversion_id, entry.called) for entry in entries] == [
        ("purchase", "A2", None),
        ("order_paid", "A2", None),
        ("other", "something/A2", "A2"),
    ]


async def test_each_trigger_has_its_own_delivery_if_the_tag_fires_for_each():
    stage = Stage(
        a_tag(triggers=("P", ALL_EVENTS), firing=Firing.EACH_TRIGGER),
        config={"triggers": (ContainerTrigger(name="P"),)},
    )
    entries = await stage.dispatch()

    assert [entry.conversion_id for entry in entries] == ["A2/P", "A2/All Events"]


async def test_event_created_by_a_tag_is_new_although_another_event_has_its_id():
    [entry] = await Stage().dispatch(call=CALL)

    assert (entry.conversion_id, entry.called) == ("A2/call-1", "A2")
    assert read(entry.body, name="tag:crm").call == CALL


@pytest.mark.parametrize("persons", PersonHandling)
async def test_tag_payload_is_sealed_or_hashed_by_its_setting(persons):
    stage = Stage(rules={"crm": TagRule(name="crm", persons=persons)}, seal=Seal())
    event = TagRemark(
        event={"event_name": "purchase", "email": "a@mail.example"},
        native=Native(event="purchase", conversion_id="A2"),
    )
    request = IncomingRequest(body="a@mail.example", path="/a")
    [entry] = await stage.dispatch(event, request=request)
    payload = read(entry.body, name="tag:crm", seal=Seal())

    is_sealed = persons is PersonHandling.SEALED
    assert (b"tag:crm:" in entry.body or b'"sealed"' in entry.body) is is_sealed
    assert (payload.event["email"] == "a@mail.example") is is_sealed
    assert (payload.request.body == "a@mail.example") is is_sealed


async def test_suppressed_tag_event_is_not_sealed():
    rules = {"crm": TagRule(name="crm", persons=PersonHandling.SEALED)}
    [entry] = await Stage(rules=rules, seal=Seal()).dispatch(a_remark(consent=DENIED))

    assert b'"sealed"' not in entry.body


async def test_configured_headers_reach_triggers_but_no_payload():
    header = Variable(name="who", type=VariableSource.REQUEST_HEADER, key="x-gtm-identifier")
    own = Condition(left="{{who}}", operator=Operator.EQUALS, right="own")
    stage = Stage(
        a_tag(triggers=("own",)),
        headers=(("x-gtm-identifier", Secret("own")),),
        config={"variables": (header,), "triggers": (ContainerTrigger(name="own", when=(own,)),)},
    )

    assert (await stage.payload()).request.headers == ()


async def test_payload_of_a_tag_that_creates_events_has_source_and_request():
    reads = Variable(name="ip", type=VariableSource.REQUEST_HEADER, key="x-shop")
    stage = Stage(
        a_tag("crm", template="main"),
        grants=(RUNS,),
        config={"variables": (reads,)},
    )
    request = IncomingRequest(headers=(("x-shop", "1"),))
    payload = await stage.payload(request=request, from_page=True)

    assert (payload.source, payload.from_page) == ("shop", True)
    assert payload.request.headers == (("x-shop", "1"),)


async def test_payload_of_another_tag_has_no_source():
    payload = await Stage().payload(from_page=True)

    assert (payload.source, payload.from_page) == ("", False)


class Trace:
    """Notes what a preview records."""

    id = "trace-1"
    sends_nothing = False
    is_active = True

    def __init__(self):
        self.tags = []

    def event(self, name, *_event):
        return name

    def explain(self, *_explained):
        pass

    def tag(self, event, name, why, *, fires):
        self.tags.append((event, name, why, fires))


async def test_preview_records_why_tags_fire_or_not():
    trace = Trace()
    set_watch(trace)
    try:
        payload = await Stage().payload()
    finally:
        set_watch(None)

    assert payload.preview == "trace-1"
    assert trace.tags == [("purchase", "crm", "trigger All Events", True)]


async def test_equal_events_of_one_request_are_different_for_tags():
    stage = Stage()
    entries = await stage.dispatch(a_remark(own=None), a_remark(own=None))
    again = await stage.dispatch(a_remark(own=None), a_remark(own=None))
    other = await stage.dispatch(a_remark(own=None), request_id="r-2")

    assert [entry.key for entry in entries] == [entry.key for entry in again]
    assert len({entry.key for entry in (*entries, *other)}) == 3
