"""The random numbers of an event are the same in its triggers and in every attempt of its tags."""

from uuid import uuid4

import pytest
from dispatcher_stage import origin_of
from local_engines import LocalEngines
from test_variables_at_ingest import NOW, TEMPLATE

from builders import a_source
from memory_store.store import MemoryStore
from twite.formats.parsed_request import Native
from twite.gateway.ports.tags import TagRemark
from twite.machine.system import SystemClock
from twite.tags.container.parts import (
    ALL_EVENTS,
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    Operator,
    Variable,
    VariableSource,
)
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagCall, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.run.payload import read
from twite.tags.runtime.engine_pool import EnginePool

LOT = Variable(name="Lot", type=VariableSource.RANDOM, least=1, most=10)


def fire(*variables):
    picked = Condition(left="{{Lot}}", operator=Operator.LESS_OR_EQUAL, right="1")
    container = Container(
        tags=(
            ContainerTag(name="one in ten", template="main", triggers=("picked",)),
            ContainerTag(name="all", template="main", triggers=(ALL_EVENTS,)),
        ),
        triggers=(ContainerTrigger(name="picked", when=(picked,)),),
        variables=variables,
        templates={"main": TEMPLATE},
    )
    return TagDispatcher(
        [
            ContainerConfig(
                container=container,
                rules={tag.name: TagRule(name=tag.name) for tag in container.tags},
            )
        ],
        engine_pool=EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed),
        salt=b"x" * 16,
        opt_outs=MemoryStore(),
    )


async def dispatched(fires, *, call=None, **said):
    """Return the random number in each tag's payload."""
    native = Native(event="purchase", **({"conversion_id": said.pop("id")} if "id" in said else {}))
    firing_result = await fires.dispatch(
        [
            TagRemark(
                event={"event_name": "purchase"} | said.pop("event", {}), native=native, **said
            )
        ],
        source=a_source(),
        origin=origin_of(call, request_id=uuid4().hex),
        now=NOW,
        first=1,
        held={},
    )
    return {tag.pixel: read(tag.body, name=tag.pixel).draw for tag in firing_result.fired}


async def test_tags_of_an_event_and_its_repetition_have_the_same_random_number():
    fires = fire(LOT)

    draws = [await dispatched(fires, id=f"order-{n}") for n in range(100)]
    again = [await dispatched(fires, id=f"order-{n}") for n in range(100)]

    picked = [draw for draw in draws if len(draw) == 2]
    assert again == draws
    assert 1 <= len(picked) <= 30
    assert all(draws["tag:all"] == draws["tag:one in ten"] for draws in picked)
    assert len({draw["tag:all"] for draw in draws}) == 100


@pytest.mark.parametrize(
    "said",
    [{"id": "order-1"}, {"repeated": "a hit"}, {"repeated": "a hit", "conversion_id": "derived"}],
    ids=["own id", "request", "request of a conversion"],
)
async def test_repeated_event_has_the_same_random_number_however_it_is_recognized(said):
    fires = fire(LOT)

    first, again = await dispatched(fires, **dict(said)), await dispatched(fires, **dict(said))

    assert first == again
    assert first["tag:all"] > 0


@pytest.mark.parametrize("said", [{}, {"conversion_id": "derived"}], ids=["tag", "conversion"])
async def test_new_event_with_equal_content_has_its_own_random_number(said):
    fires = fire(LOT)

    draws = [(await dispatched(fires, **said))["tag:all"] for _ in range(3)]

    assert len(set(draws)) == 3


async def test_events_have_no_random_number_without_random_variables():
    assert await dispatched(fire(), id="order-1") == {"tag:all": 0}


async def test_created_events_with_one_id_have_their_own_random_numbers():
    fires = fire(LOT)
    calls = [None, *(TagCall(id=id_, root="r", tags=("caller",)) for id_ in ("a", "b"))]

    draws = [await dispatched(fires, id="order-1", call=call) for call in calls]
    again = [await dispatched(fires, id="order-1", call=call) for call in calls]

    assert again == draws
    assert len({draw["tag:all"] for draw in draws}) == 3
