"""The dispatcher without an engine: random numbers, pending triggers and first turns."""

import dataclasses
from types import SimpleNamespace

import pytest
from dispatcher_stage import CALL, COOKIE, COOKIES, HOLDS, UNCLEAR, Stage, a_remark, a_tag

from builders import an_entry
from twite.domain.incoming_request import IncomingRequest
from twite.gateway.ports.tags import BrowserWait
from twite.tags.container.parts import (
    ALL_EVENTS,
    Condition,
    ContainerTrigger,
    Operator,
    SequencedTag,
    Variable,
    VariableSource,
)
from twite.tags.container.plan import PendingTriggers
from twite.tags.run.payload import read
from twite.tags.template.sandbox import Turn
from twite.tags.template.tag_response import TagResponse

DRAWING = [
    {"config": {"variables": (Variable(name="v", type=VariableSource.RANDOM, least=1, most=9),)}},
    {
        "config": {
            "variables": (Variable(name="v", type=VariableSource.TEMPLATE, template="value"),)
        }
    },
    {"tags": (a_tag(setup=SequencedTag(tag="other")), a_tag("other", triggers=()))},
    {"tags": (a_tag(teardown=SequencedTag(tag="other")), a_tag("other", triggers=()))},
]


@pytest.mark.parametrize("made", DRAWING)
async def test_repeated_event_has_the_same_random_number(made):
    stage = Stage(*made.get("tags", ()), config=made.get("config", {}))
    draws = [
        (await stage.payload(a_remark(own=own), call=call)).draw
        for own, call in [("A2", None), ("A2", None), ("A3", None), ("A2", CALL)]
    ]

    assert draws[0] == draws[1] > 0
    assert len({*draws}) == 3
    assert max(draws) < 1 << 48


async def test_random_number_of_an_event_depends_on_a_secret_salt():
    draws = {
        (await Stage(config=DRAWING[0]["config"], salt=salt * 80).payload()).draw
        for salt in (b"x", b"y")
    }

    assert len(draws) == 2


GOLD = Condition(left="{{v}}", operator=Operator.EQUALS, right="gold")


@pytest.mark.parametrize(
    ("turn", "pending"),
    [
        (Turn(run=1, returned="gold"), None),
        (Turn(run=1, waiting=(1,)), PendingTriggers(triggers=("gold",))),
    ],
)
async def test_trigger_that_needs_another_server_is_stored_with_the_payload(turn, pending):
    stage = Stage(
        a_tag(triggers=("gold",)),
        turn=turn,
        config={
            **DRAWING[1]["config"], "triggers": (ContainerTrigger(name="gold", when=(GOLD,)),)
        },
    )  # fmt: skip

    assert (await stage.payload()).pending == pending
    assert stage.pool.calls[0].event == {"event_name": "purchase", "value": 5}


async def first_turns(*remarks, pixels=True, waits=True, grants=(COOKIES,), **more):
    stage = Stage(grants=grants)
    stage.answers = {4: TagResponse(tag="tag:crm", cookies=(COOKIE,))}
    waiting = {"waits": BrowserWait(pixels=pixels)} if waits else {}
    entries = await stage.dispatch(*remarks, first=4, **waiting, **more)
    return stage, [read(entry.body, name=entry.pixel) for entry in entries]


@pytest.mark.parametrize("pixels", [True, False])
async def test_delivery_has_the_seed_of_its_first_turn(pixels):
    stage, [payload] = await first_turns(pixels=pixels)

    [given] = stage.given.values()
    assert list(stage.given) == list(stage.result.responses) == [4]
    assert given.payload.pixels is payload.pixels is pixels
    assert payload.seed == given.seed > 1
    assert len(payload.cookies) == 1


async def test_delivery_without_a_first_turn_has_no_seed():
    stage = Stage(grants=(COOKIES,))
    payload = await stage.payload(waits=BrowserWait())

    assert (list(stage.given), stage.result.responses, payload.seed) == ([0], {}, 0)


@pytest.mark.parametrize(
    "more",
    [
        {"waits": False},
        {"grants": ()},
        {"held": {2: an_entry(held="a value guard")}},
        {"consent": HOLDS},
    ],
)
async def test_first_turn_runs_only_for_a_browser_and_an_event_that_is_sent(more):
    consent = UNCLEAR if "consent" in more else None
    stage, [payload] = await first_turns(a_remark(index=2, consent=consent), **more)

    assert (stage.given, payload.seed) == ({}, 0)


async def test_first_turns_have_different_seeds_for_each_tag_and_event():
    stage, seeds = Stage(a_tag("crm"), a_tag("ads"), grants=(COOKIES,), salt=b"x" * 80), []
    for own in ("A2", "A3", "A2"):
        await stage.dispatch(a_remark(own=own), waits=BrowserWait())
        assert list(stage.given) == [0, 1]
        seeds.append(tuple(given.seed for given in stage.given.values()))

    assert seeds[0] == seeds[2]
    assert len({*seeds[0], *seeds[1]}) == 4
    # JavaScript holds such numbers exactly.
    assert max(*seeds[0], *seeds[1]) < 1 << 48


async def test_first_turns_are_skipped_if_they_have_no_time():
    stage, seen = Stage(grants=(COOKIES,)), []
    dispatcher = dataclasses.replace(
        stage.dispatcher, first_turn_within=0, observer=SimpleNamespace(see=seen.append)
    )
    stage.dispatcher = dispatcher
    [entry] = await stage.dispatch(waits=BrowserWait())

    assert [(ended.tag, ended.result) for ended in seen] == [("tag:crm", "skipped")]
    assert read(entry.body, name="tag:crm").seed == 0


async def test_tag_with_a_pending_trigger_has_no_first_turn():
    stage = Stage(
        a_tag(triggers=("gold",)),
        turn=Turn(run=1, waiting=(1,)),
        grants=(COOKIES,),
        config={
            **DRAWING[1]["config"], "triggers": (ContainerTrigger(name="gold", when=(GOLD,)),)
        },
    )  # fmt: skip
    await stage.dispatch(waits=BrowserWait())

    assert (len(stage.result.fired), stage.given) == (1, {})


SHOP = Variable(name="shop", type=VariableSource.REQUEST_HEADER, key="x-shop")


async def test_payload_has_only_the_data_that_its_own_tag_may_read():
    stage = Stage(
        a_tag("crm"), a_tag("ads", fields={"shop": "{{shop}}"}), config={"variables": (SHOP,)}
    )
    entries = await stage.dispatch(request=IncomingRequest(headers=(("x-shop", "1"),)))

    kept = [read(entry.body, name=entry.pixel).request.headers for entry in entries]
    assert kept == [(), (("x-shop", "1"),)]


@pytest.mark.parametrize("triggers", [("gold",), ("gold", ALL_EVENTS)])
async def test_data_of_a_trigger_is_stored_only_while_it_is_pending(triggers):
    in_shop = Condition(left="{{shop}}", operator=Operator.EQUALS, right="1")
    stage = Stage(
        a_tag(triggers=triggers),
        turn=Turn(run=1, waiting=(1,)),
        config={
            "variables": (*DRAWING[1]["config"]["variables"], SHOP),
            "triggers": (ContainerTrigger(name="gold", when=(GOLD, in_shop)),),
        },
    )
    payload = await stage.payload(request=IncomingRequest(headers=(("x-shop", "1"),)))

    assert (payload.pending is not None) == (payload.request.headers != ()) == (len(triggers) == 1)
