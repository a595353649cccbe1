"""Conversions whose id is derived from their content: duplicates for X, new for tags."""

import json

import pytest
from local_engines import LocalEngines
from test_accept import AcceptStage, purchase

from builders import a_source
from twite.domain.submission import Endpoint
from twite.formats.event_data.conversions import parse_events
from twite.formats.ga4 import read as ga4
from twite.formats.page_visit import Visitor
from twite.machine.system import SystemClock
from twite.tags.container.parts import ALL_EVENTS, Container, ContainerTag
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.runtime.engine_pool import EnginePool
from twite.tags.template.template import read_template

PLAIN = """___INFO___
{"type": "TAG", "id": "t", "version": 1, "displayName": "t", "containerContexts": ["SERVER"]}
___SANDBOXED_JS_FOR_SERVER___
data.gtmOnSuccess();
"""


@pytest.fixture
def stage():
    stage = AcceptStage()
    container = Container(
        tags=(ContainerTag(name="crm", template="main", triggers=(ALL_EVENTS,)),),
        templates={"main": read_template(PLAIN.encode())},
    )
    stage.accept.tag_dispatcher = TagDispatcher(
        [ContainerConfig(container=container, rules={"crm": TagRule(name="crm")})],
        engine_pool=EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed),
        salt=b"x" * 16,
        opt_outs=stage.store,
    )
    return stage


def outcome(receipt):
    """Return the number of duplicates for X, and the status of each tag."""
    return receipt.duplicates, [tag.status for tag in receipt.tags]


async def hit(stage, more=""):
    """Accept a GA4 hit of a purchase without an order number."""
    query = f"v=2&tid=G-1&cid=1.2&en=purchase&epn.value=5&cu=EUR&ep.email=a%40mail.example{more}"
    found = ga4.read(query, b"")
    parsed = parse_events(
        found.events,
        source=a_source(),
        destinations=stage.accept.destinations,
        visitor=Visitor(now=stage.clock.now()),
        repeated=found.repeated,
    )
    return await stage.accept.parsed(parsed, source=a_source(), endpoint=Endpoint.GA4)


async def test_equal_conversions_are_duplicates_for_x_and_new_for_tags(stage):
    receipts = [await stage.native(purchase(None)) for _ in range(3)]

    assert [outcome(receipt) for receipt in receipts] == [
        (0, ["queued"]),
        (1, ["queued"]),
        (1, ["queued"]),
    ]


async def test_equal_hits_are_duplicates_for_x_and_new_for_tags(stage):
    receipts = [await hit(stage) for _ in range(3)]

    assert [outcome(receipt) for receipt in receipts] == [
        (0, ["queued"]),
        (1, ["queued"]),
        (1, ["queued"]),
    ]


@pytest.mark.parametrize("more", ["&_p=77&_s=1", "&ep.transaction_id=T1"], ids=["page", "id"])
async def test_repeated_hit_is_a_duplicate_for_tags_too(stage, more):
    receipts = [await hit(stage, more) for _ in range(2)]

    assert [outcome(receipt) for receipt in receipts] == [(0, ["queued"]), (1, ["duplicate"])]


async def test_repeated_request_with_an_idempotency_key_is_a_duplicate_for_tags_too(stage):
    events = (purchase(None), purchase(None, value="5", currency="EUR"))
    receipts = [await stage.native(*events, idempotency_key=key) for key in ("a", "a", "b")]

    assert [outcome(receipt) for receipt in receipts] == [
        (0, ["queued", "queued"]),
        (2, ["duplicate", "duplicate"]),
        (0, ["queued", "queued"]),
    ]


async def test_repeated_conversion_id_is_a_duplicate_for_tags_too(stage):
    receipts = [await stage.native(purchase("order-1")) for _ in range(2)]

    assert [outcome(receipt) for receipt in receipts] == [(0, ["queued"]), (1, ["duplicate"])]


async def test_denial_among_equal_conversions_of_a_request_applies_to_tags_too(stage):
    both = (purchase(None), purchase(None, consent={"ad_storage": "denied"}))

    await stage.native(*both)

    kept = [entry for entry in stage.submissions[0].entries if entry.pixel == "tag:crm"]
    assert len({entry.key for entry in kept}) == 1
    assert json.loads(kept[1].body)["event"] == {"event_name": "purchase"}


@pytest.mark.parametrize(
    ("more", "waiting"), [("&ep.transaction_id=T1", 0), ("&_p=77&_s=1", 0), ("", 1)]
)
async def test_denial_in_a_repeated_event_withdraws_the_queued_one(stage, more, waiting):
    await hit(stage, f"&gcs=G111{more}")
    await hit(stage, f"&gcs=G100{more}")

    (balance,) = [row for row in await stage.store.balance() if row.pixel == "tag:crm"]
    assert (balance.received, balance.pending, balance.suppressed) == (2, waiting, 2 - waiting)
