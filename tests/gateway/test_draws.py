"""Random numbers of an event: what decides a trigger is what the tag gets, however often."""

import pytest
from test_at_the_door import NOW, TEMPLATE

from twite.engines.quickjs.engine import QuickJsEngine
from twite.gateway.tags.crew import Crew
from twite.gateway.tags.fire import Fire, Said
from twite.gateway.tags.letter import read
from twite.gateway.tags.rule import Company, Rule
from twite.intake.native_shape import Native
from twite.machine import SystemClock
from twite.sgtm.container.parts import (
    ALL_EVENTS,
    Condition,
    Container,
    Operator,
    Source,
    Tag,
    Trigger,
    Variable,
)
from twite.sgtm.sandbox import Incoming
from twite.testing.builders import a_source
from twite.testing.memory import MemoryStore

LOT = Variable(name="Lot", type=Source.RANDOM, least=1, most=10)


def fire(*variables):
    picked = Condition(left="{{Lot}}", operator=Operator.LESS_OR_EQUAL, right="1")
    container = Container(
        tags=(
            Tag(name="one in ten", template="main", triggers=("picked",)),
            Tag(name="all", template="main", triggers=(ALL_EVENTS,)),
        ),
        triggers=(Trigger(name="picked", when=(picked,)),),
        variables=variables,
        templates={"main": TEMPLATE},
    )
    return Fire(
        [
            Company(
                container=container, rules={one.name: Rule(name=one.name) for one in container.tags}
            )
        ],
        crew=Crew(QuickJsEngine, elapsed=SystemClock().elapsed),
        salt=b"x" * 16,
        opt_outs=MemoryStore(),
    )


async def heard(fires, **said):
    """Return the draw that each tag's letter holds."""
    native = Native(event="purchase", **({"conversion_id": said.pop("id")} if "id" in said else {}))
    heeded = await fires.heard(
        [Said(event={"event_name": "purchase"} | said.pop("event", {}), native=native, **said)],
        source=a_source(),
        request=Incoming(),
        client="native",
        now=NOW,
        first=1,
        held={},
    )
    return {one.pixel: read(one.body, name=one.pixel).draw for one in heeded.fired}


async def test_tags_of_one_event_and_the_event_sent_again_have_one_draw():
    fires = fire(LOT)

    draws = [await heard(fires, id=f"order-{n}") for n in range(100)]
    again = [await heard(fires, id=f"order-{n}") for n in range(100)]

    picked = [one for one in draws if len(one) == 2]
    assert again == draws
    assert 1 <= len(picked) <= 30
    assert all(one["tag:all"] == one["tag:one in ten"] for one in picked)
    assert len({one["tag:all"] for one in draws}) == 100


@pytest.mark.parametrize(
    "said",
    [{"conversion_id": "order-1"}, {"repeated": "a hit"}, {"event": {"value": 5}}],
    ids=["id", "repeated", "content"],
)
async def test_whatever_an_event_is_known_again_by_it_draws_the_same(said):
    fires = fire(LOT)

    first, again = await heard(fires, **said), await heard(fires, **said)

    assert first == again
    assert first["tag:all"] > 0


async def test_where_no_variable_is_random_nothing_is_drawn():
    assert await heard(fire(), id="order-1") == {"tag:all": 0}
