"""An event that only a tag receives is accepted for the tag, not for the pixel."""

from pathlib import Path

import pytest
from local_engines import LocalEngines
from test_accept import AcceptStage, purchase

from twite.machine.system import SystemClock
from twite.tags.container.parts import (
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    Operator,
)
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.runtime.engine_pool import EnginePool
from twite.tags.template.template import read_template

TEMPLATE = read_template((Path(__file__).parents[2] / "tags/templates/crm_post.tpl").read_bytes())


def with_tag(*, consent=()):
    """Return an Accept with a tag that receives only the event `newsletter`."""
    stage = AcceptStage()
    is_newsletter = Condition(left="{{_event}}", operator=Operator.EQUALS, right="newsletter")
    container = Container(
        tags=(ContainerTag(name="crm", template="main", triggers=("T",), consent=consent),),
        triggers=(ContainerTrigger(name="T", when=(is_newsletter,)),),
        templates={"main": TEMPLATE},
    )
    stage.accept.tag_dispatcher = TagDispatcher(
        [ContainerConfig(container=container, rules={"crm": TagRule(name="crm")})],
        engine_pool=EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed),
        salt=b"x" * 16,
        opt_outs=stage.store,
    )
    return stage


def newsletter(conversion_id="n-1", **fields):
    return purchase(conversion_id, event="newsletter", **fields)


def counts(receipt):
    return (receipt.accepted, receipt.duplicates, receipt.suppressed, len(receipt.rejected))


async def test_event_for_a_tag_only_is_accepted_for_the_tag():
    stage = with_tag()

    receipt = await stage.native(newsletter(), purchase())

    assert counts(receipt) == (2, 0, 0, 0)
    assert [(entry.pixel, entry.event) for entry in stage.submissions[0].entries] == [
        ("o8z6j", "o8z6k"),
        ("tag:crm", "other"),
    ]
    assert stage.submissions[0].refusals == ()
    assert [(tag.tag, tag.status) for tag in receipt.tags] == [("crm", "queued")]
    assert stage.woken.count("tag:crm") == 1


async def test_repeated_event_for_a_tag_only_is_a_duplicate_with_its_index():
    stage = with_tag()
    await stage.native(newsletter())

    receipt = await stage.native(purchase(), newsletter())

    assert counts(receipt) == (1, 1, 0, 0)
    assert receipt.duplicate_indexes == (1,)


async def test_event_that_neither_pixel_nor_tag_receives_is_rejected():
    stage = with_tag()

    receipt = await stage.native(purchase(event="nothing_of_ours"), newsletter())

    assert counts(receipt) == (1, 0, 0, 1)
    assert [fault.code for fault in receipt.rejected[0].errors] == ["event_unknown"]
    assert receipt.rejected[0].index == 0


@pytest.mark.parametrize("wrong", [{"value": "much"}, {"twclid": None}, {"pixel": "zzz"}])
async def test_event_for_a_tag_only_with_another_error_is_rejected(wrong):
    stage = with_tag()

    receipt = await stage.native(newsletter(**wrong))

    assert counts(receipt) == (0, 0, 0, 1)
    assert stage.submissions[0].entries == ()


async def test_denial_suppresses_an_event_for_a_tag_only():
    stage = with_tag()

    receipt = await stage.native(newsletter(consent={"ad_storage": "denied"}))

    assert counts(receipt) == (0, 0, 1, 0)
    assert receipt.suppressed_indexes == (0,)
    assert [reason.index for reason in receipt.suppressed_reasons] == [0]


async def test_missing_consent_that_the_tag_requires_suppresses_the_event():
    stage = with_tag(consent=("analytics_storage",))

    receipt = await stage.native(newsletter(consent={"analytics_storage": "denied"}))

    assert counts(receipt) == (0, 0, 1, 0)
    assert [(found.index, found.reason) for found in receipt.suppressed_reasons] == [
        (0, "tag_consent")
    ]


async def test_unknown_event_is_rejected_without_tags():
    receipt = await AcceptStage().native(newsletter())

    assert counts(receipt) == (0, 0, 0, 1)


async def test_events_for_a_tag_only_without_an_id_are_new():
    stage = with_tag()

    receipts = [await stage.native(newsletter(None)) for _ in range(3)]

    assert [counts(receipt) for receipt in receipts] == [(1, 0, 0, 0)] * 3


async def test_request_with_the_same_idempotency_key_is_a_duplicate():
    stage = with_tag()
    events = (newsletter(None), newsletter(None))

    first, again, other = [
        await stage.native(*events, idempotency_key=key) for key in ("a", "a", "b")
    ]

    assert counts(first) == counts(other) == (2, 0, 0, 0)
    assert counts(again) == (0, 2, 0, 0)
