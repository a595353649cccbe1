"""Tag deliveries have a unique id, and the conversion id by which users search for them."""

import pytest
from local_engines import LocalEngines
from test_variables_at_ingest import NOW, TEMPLATE

from builders import a_source, a_submission
from memory_store.store import MemoryStore
from twite.formats.parsed_request import Native
from twite.gateway.ports.queries import ByConversionId
from twite.gateway.ports.tags import EventOrigin, TagRemark
from twite.machine.system import SystemClock
from twite.tags.container.parts import ALL_EVENTS, Container, ContainerTag, ContainerTrigger, Firing
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.runtime.engine_pool import EnginePool


async def dispatched(store, *, event, firing, identity="A2", data=None):
    """Record the payload of a tag for an event with an id; `data` are its other fields."""
    tag = ContainerTag(name="crm", template="main", triggers=("P", ALL_EVENTS), firing=firing)
    container = Container(
        tags=(tag,), triggers=(ContainerTrigger(name="P", when=()),), templates={"main": TEMPLATE}
    )
    fires = TagDispatcher(
        [ContainerConfig(container=container, rules={"crm": TagRule(name="crm")})],
        engine_pool=EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed),
        salt=b"x" * 16,
        opt_outs=store,
    )
    firing_result = await fires.dispatch(
        [
            TagRemark(
                event={"event_name": event, **(data or {})},
                native=Native(event=event, conversion_id=identity),
            )
        ],
        source=a_source(),
        origin=EventOrigin(client="native"),
        now=NOW,
        first=0,
        held={},
    )
    await store.record(a_submission(*firing_result.fired))
    return [tag.conversion_id for tag in firing_result.fired]


async def test_deliveries_of_each_trigger_are_found_by_the_same_conversion_id():
    store = MemoryStore()

    ids = await dispatched(store, event="purchase", firing=Firing.EACH_TRIGGER)

    histories = await store.find(ByConversionId(pixel="tag:crm", events=None, conversion_id="A2"))
    assert sorted(ids) == ["A2/All Events", "A2/P"]
    assert sorted(history.conversion_id for history in histories) == sorted(ids)
    assert {history.called for history in histories} == {"A2"}


async def test_tag_event_of_any_name_is_found_by_its_id():
    store = MemoryStore()

    ids = await dispatched(store, event="some_event", firing=Firing.ONCE)

    histories = await store.find(ByConversionId(pixel="tag:crm", events=None, conversion_id="A2"))
    assert ids == ["some_event/A2"]
    assert [(history.event, history.called) for history in histories] == [("other", "A2")]


async def test_delivery_whose_name_is_its_id_has_no_second_name():
    store = MemoryStore()

    ids = await dispatched(store, event="purchase", firing=Firing.ONCE)

    (history,) = await store.find(ByConversionId(pixel="tag:crm", events=None, conversion_id="A2"))
    assert ids == ["A2"]
    assert (history.conversion_id, history.called) == ("A2", None)


@pytest.mark.parametrize("person", ["+15550100199", "+1 555 010-0199", "a@mail.example"])
async def test_stored_event_name_and_id_contain_no_personal_data(person):
    store = MemoryStore()

    (named,) = await dispatched(store, event=f"call {person}", firing=Firing.ONCE)
    (derived,) = await dispatched(store, event="purchase", firing=Firing.ONCE, identity=person)

    assert named == "call ***/A2"
    assert person not in derived
    assert len(derived) > len(person)
