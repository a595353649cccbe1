"""An event without an id is new for tags, unless its request is repeated."""

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
from twite.tags.container.parts import ALL_EVENTS, Container, ContainerTag
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagCall, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.runtime.engine_pool import EnginePool

TAGS = ("ads", "crm")


def dispatcher():
    """Return a dispatcher of a gateway that has just started."""
    tags = tuple(ContainerTag(name=name, template="t", triggers=(ALL_EVENTS,)) for name in TAGS)
    rules = {name: TagRule(name=name) for name in TAGS}
    return TagDispatcher(
        [ContainerConfig(container=Container(tags=tags, templates={"t": TEMPLATE}), rules=rules)],
        engine_pool=EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed),
        salt=b"x" * 16,
        opt_outs=MemoryStore(),
    )


def seen(*, own=None, event="page_view", **said):
    """An event whose content is always the same."""
    return TagRemark(
        event={"event_name": event, "client_id": "1.2"},
        native=Native(event=event, conversion_id=own),
        **said,
    )


async def dispatch(tags, *remarks, call=None, request_id=None):
    """Return the entries of the tags for a request, which is new without a request id."""
    result = await tags.dispatch(
        remarks,
        source=a_source(),
        origin=origin_of(call, request_id=request_id or uuid4().hex),
        now=NOW,
        first=0,
        held={},
    )
    return result.fired


async def keys_of(tags, *requests):
    """Return the dedup keys of each request's entries, tag by tag."""
    return [{entry.pixel: entry.key for entry in await dispatch(tags, each)} for each in requests]


async def test_equal_page_views_are_new_for_every_tag():
    views = await keys_of(dispatcher(), *(seen() for _ in range(3)))

    assert all(len({view[f"tag:{name}"] for view in views}) == 3 for name in TAGS)


async def test_equal_conversions_with_a_derived_id_are_new():
    views = await keys_of(dispatcher(), *(seen(conversion_id="derived") for _ in range(3)))

    assert len({view["tag:crm"] for view in views}) == 3


async def test_equal_events_in_one_request_are_new():
    entries = await dispatch(dispatcher(), seen(), seen(), seen())

    assert len({entry.key for entry in entries}) == 3 * len(TAGS)


@pytest.mark.parametrize(
    "said",
    [
        {"own": "order-1"},
        {"own": "order-1", "conversion_id": "order-1"},
        {"own": "x" * 300},
        {"own": "call +442079460958"},
        {"repeated": "GA4 page 77, hit 1"},
        {"repeated": "GA4 page 77, hit 1", "conversion_id": "derived"},
    ],
    ids=["own id", "id at X", "long id", "id with personal data", "request", "request at X"],
)
async def test_repeated_event_is_recognized_also_after_a_restart(said):
    first, again = await keys_of(dispatcher(), seen(**said), seen(**said))
    (later,) = await keys_of(dispatcher(), seen(**said))

    assert first == again == later


async def test_new_events_after_a_restart_have_new_ids():
    before, after = [await keys_of(dispatcher(), seen()) for _ in range(2)]

    assert before != after


@pytest.mark.parametrize("said", [{}, {"conversion_id": "derived"}, {"index": 0}])
async def test_repeated_request_has_the_same_events(said):
    first, again = [
        [entry.key for entry in await dispatch(dispatcher(), seen(**said), request_id="key")]
        for _ in range(2)
    ]

    assert first == again


@pytest.mark.parametrize("said", [{"own": "A2"}, {"repeated": "hit"}])
async def test_same_id_with_another_event_name_is_another_event(said):
    first, other = await keys_of(dispatcher(), seen(**said), seen(event="scroll", **said))

    assert first["tag:crm"] != other["tag:crm"]


async def test_tags_of_a_new_event_share_its_id():
    entries = await dispatch(dispatcher(), seen(event="purchase"))

    assert len({entry.conversion_id for entry in entries}) == 1


async def test_new_event_is_found_by_the_conversion_id_for_x():
    entries = await dispatch(dispatcher(), seen(event="purchase", conversion_id="derived"))

    assert {entry.called for entry in entries} == {"derived"}


async def test_copies_that_differ_in_consent_are_one_event():
    """Conversions have the same id only then: see tell_repeats_apart."""
    entries = await dispatch(
        dispatcher(), seen(conversion_id="derived"), seen(conversion_id="derived")
    )

    assert len({entry.key for entry in entries}) == len(TAGS)


async def test_event_created_again_by_a_repeated_run_is_the_same_event():
    call = TagCall(id="c", root="r", tags=("ads",))
    created = seen(repeated="runContainer c")

    first, again = [
        {entry.key for entry in await dispatch(dispatcher(), created, call=call)} for _ in range(2)
    ]

    assert first == again


async def test_id_of_an_event_contains_no_personal_data():
    (entry, _) = await dispatch(dispatcher(), seen(own="call +442079460958", event="purchase"))

    assert "442079460958" not in f"{entry.conversion_id} {entry.called}"
