"""Opt-outs and the consent policy of a source apply to the events that tags create."""

import json

import msgspec
import pytest
from test_container_calls import CLICK, RUN, SHOP, UPSELL, ContainerStage

from builders import a_destination
from twite.domain.consent import ConsentPolicy, person_keys
from twite.domain.conversion import Identifiers
from twite.tags.run.container_calls import ContainerCalls
from twite.tags.run.payload import payload_persons
from twite.x.encode import persons_of

ADA = Identifiers(email="a" * 64, click_id=CLICK)
KEYS = person_keys(Identifiers(email=ADA.email), pixel=SHOP.pixel, salt=b"x" * 16)


@pytest.fixture
async def stage():
    stages = []

    def make(code):
        stages.append(ContainerStage(code))
        return stages[-1]

    yield make
    for each in stages:
        await each.pool.stop()


async def run(stage):
    payload = await stage.received()
    await stage.run(msgspec.structs.replace(payload, identifiers=payload_persons([ADA])))


async def test_later_opt_out_applies_to_queued_tags_of_a_created_event(stage):
    stage = stage(UPSELL)

    await run(stage)

    [(submission, _)] = stage.submissions
    emails = [[each.email for each in persons_of(entry.body)] for entry in submission.entries]
    assert emails == [[ADA.email], [ADA.email]]


async def test_event_created_after_an_opt_out_is_sent_to_no_tag(stage):
    stage = stage(UPSELL)
    await stage.store.revoke(KEYS, now=1)

    await run(stage)

    [(submission, _)] = stage.submissions
    assert [entry.suppressed is not None for entry in submission.entries] == [True, True]


async def test_conversion_created_after_an_opt_out_is_suppressed(stage):
    stage = stage(RUN + "run({event_name: 'purchase', transaction_id: 'T-1'});")
    stage.accept.privacy, stage.accept.salt = stage.store, b"x" * 16
    await stage.store.revoke(KEYS, now=1)

    await run(stage)

    [(submission, _)] = stage.submissions
    assert [entry.suppressed is not None for entry in submission.entries] == [True]


@pytest.mark.parametrize("created", [{}, {"ad_storage": "perhaps"}])
async def test_unreadable_signal_that_the_source_ignores_is_not_a_denial(stage, created):
    call = json.dumps({"event_name": "purchase", "transaction_id": "T-1", **created})
    stage = stage(RUN + f"run({call});")
    lenient = msgspec.structs.replace(SHOP, consent=ConsentPolicy(unclear=None))
    calls = {"sources": [lenient], "destinations": {"o8z6j": a_destination()}}
    stage.calls = ContainerCalls(accept=stage.accept, **calls)
    payload = await stage.received({"ad_storage": "perhaps"})

    await stage.run(msgspec.structs.replace(payload, granted={"ad_storage": False}))

    [(submission, _)] = stage.submissions
    assert [entry.suppressed for entry in submission.entries] == [None]
