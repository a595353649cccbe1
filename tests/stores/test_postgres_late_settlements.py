"""Settlements of a node after it was fenced."""

import asyncio

import msgspec
import pytest
from postgres_nodes_stage import ACCOUNTS, NOW, a_claim, owned, settled

from builders import a_submission, an_entry
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import Attempt, State, Transition, Trigger
from twite.domain.outcome import AttemptOutcome
from twite.gateway.ports.outbox import Replay, SweepRequest, TakeBack
from twite.gateway.ports.queries import ByConversionId
from twite.stores.postgres import settlements

HELD = TakeBack(deliveries=(), cause=DeliveryCause.CONSENT_UNCLEAR, reason="a policy", hold=True)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(settlements, "_AGAIN", 0.01)
    monkeypatch.setattr(settlements, "_LATE_WITHIN", 0.0)


def accepted(batch, *, is_usual=True):
    """Return the settlement of a batch that X has accepted."""
    ids = tuple(delivery.id for delivery in batch.deliveries)
    delivered = msgspec.structs.replace(
        settled(batch, Trigger.DELIVERED),
        transitions=(Transition(trigger=Trigger.DELIVERED, deliveries=ids),),
    )
    attempt = Attempt(
        at=NOW,
        pixel=batch.pixel,
        event=batch.event,
        outcome=AttemptOutcome.DELIVERED,
        deliveries=delivered.transitions[0].deliveries,
    )
    none = Transition(trigger=Trigger.POSTPONED, deliveries=())
    more = () if is_usual else (none,)
    return msgspec.structs.replace(
        delivered, attempt=attempt, transitions=delivered.transitions + more
    )


async def outcomes(store, conversion_id="c1"):
    """Return the recorded outcomes of a conversion."""
    named = ByConversionId(pixel="pixel1", events=None, conversion_id=conversion_id)
    (history,) = await store.find(named)
    return [attempt.outcome for attempt in history.attempts]


async def claimed(store, *conversion_ids):
    """Return the claim of the only node."""
    await owned(store)
    entries = [an_entry(id_, pixel="pixel1") for id_ in conversion_ids]
    await store.record(a_submission(*entries, received_at=NOW))
    return await store.claim(a_claim("pixel1"))


async def late_successes(store):
    """Wait until a node has recorded what X accepted before the node was fenced."""
    async with asyncio.timeout(10):
        await asyncio.gather(*store.settlements.late)


async def lost_lease(open_node, end_lease, *, outcome):
    """Return (the transitions that came too late, the account, the next claim).

    A node claims and is fenced; then X's response arrives.
    """
    first = await open_node()
    await owned(first)
    await first.record(a_submission(an_entry("c1", pixel="pixel1"), received_at=NOW))
    batch = await first.claim(a_claim("pixel1"))
    second = await open_node()
    end_lease(first)
    await owned(second)
    late = await first.settle(settled(batch, outcome))
    (account,) = await second.balance()
    return late, account, await second.claim(a_claim("pixel1"))


async def test_settlement_of_a_fenced_node_is_too_late(open_node, end_lease):
    late, account, batch = await lost_lease(open_node, end_lease, outcome=Trigger.GIVEN_UP)

    assert late == 1
    assert (account.dead, account.pending, account.balance) == (0, 1, 0)
    assert len(batch.deliveries) == 1


async def test_success_of_a_fenced_node_is_not_sent_again(open_node, end_lease):
    late, account, batch = await lost_lease(open_node, end_lease, outcome=Trigger.DELIVERED)

    assert late == 0
    assert (account.delivered, account.pending, account.balance) == (1, 0, 0)
    assert batch is None


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Trigger.DELIVERED, id="delivered again"),
        pytest.param(Trigger.POSTPONED, id="not delivered again"),
        pytest.param(Trigger.HELD, id="held"),
        pytest.param(Trigger.GIVEN_UP, id="refused"),
    ],
)
@pytest.mark.parametrize("is_usual", [True, False])
async def test_late_success_is_recorded_when_no_other_node_is_sending_it(
    open_node, end_lease, outcome, is_usual
):
    """No request may reach X after its success was recorded."""
    first = await open_node()
    batch = await claimed(first, "c1")
    second = await open_node()
    end_lease(first)
    await owned(second)
    resent = await second.claim(a_claim("pixel1"))

    late = await first.settle(accepted(batch, is_usual=is_usual))
    (before,) = await second.balance()
    known = await outcomes(second)
    await second.settle(settled(resent, outcome))
    await late_successes(first)
    (after,) = await second.balance()

    assert late == 1
    assert (before.delivered, before.pending, known) == (0, 1, ["errored"])
    assert (after.delivered, after.held, after.dead, after.balance) == (1, 0, 0, 0)
    assert await outcomes(second) == ["errored", "delivered"]


async def test_late_success_is_recorded_at_once_for_deliveries_no_other_node_is_sending(
    open_node, end_lease
):
    first = await open_node()
    batch = await claimed(first, "c1", "c2")
    second = await open_node()
    end_lease(first)
    await owned(second)
    resent = await second.claim(msgspec.structs.replace(a_claim("pixel1"), limit=1))

    late = await first.settle(accepted(batch))
    (before,) = await second.balance()
    again = await second.claim(a_claim("pixel1"))
    await second.settle(accepted(resent))
    await late_successes(first)
    (after,) = await second.balance()

    assert (late, before.delivered, before.pending, again) == (1, 1, 1, None)
    assert (after.delivered, after.pending, after.balance) == (2, 0, 0)
    assert await outcomes(second, "c2") == ["errored", "delivered"]


async def test_late_success_is_recorded_after_the_sending_node_died(open_node, end_lease):
    """The node that has a success to record must fence the dead node itself."""
    first = await open_node()
    batch = await claimed(first, "c1")
    second = await open_node()
    end_lease(first)
    await owned(second)
    await second.claim(a_claim("pixel1"))

    async with asyncio.timeout(10):
        await first.settle(accepted(batch))
    await owned(first)
    await first.ownership.join(ACCOUNTS, longest_request=0)
    end_lease(second)
    await owned(first)
    again = await first.claim(a_claim("pixel1"))
    await late_successes(first)
    (account,) = await first.balance()

    assert again is None
    assert (account.delivered, account.pending, account.balance) == (1, 0, 0)


async def held_as_cautious(store, delivery):
    await store.sweep(
        SweepRequest(now=NOW, ambiguous_before=0, waiting_before=0, cautious=frozenset(["pixel1"]))
    )


async def held_by_a_user(store, delivery):
    await store.move(msgspec.structs.replace(HELD, deliveries=[delivery]), now=NOW)


async def replayed_as_surely_not_sent(store, delivery):
    await held_by_a_user(store, delivery)
    await store.move(Replay(deliveries=[delivery], sure=[delivery]), now=NOW)


@pytest.mark.parametrize(
    ("meanwhile", "state"),
    [
        (held_as_cautious, State.HELD),
        (held_by_a_user, State.HELD),
        (replayed_as_surely_not_sent, State.QUEUED),
    ],
)
@pytest.mark.parametrize("is_usual", [True, False])
async def test_accepted_delivery_is_not_sent_again_whatever_happened_meanwhile(
    open_node, end_lease, meanwhile, state, is_usual
):
    first = await open_node()
    batch = await claimed(first, "c1")
    (delivery,) = batch.deliveries
    second = await open_node()
    end_lease(first)
    await owned(second)
    await meanwhile(second, delivery.id)
    named = ByConversionId(pixel="pixel1", events=None, conversion_id="c1")
    (history,) = await second.find(named)

    late = await first.settle(accepted(batch, is_usual=is_usual))
    (account,) = await second.balance()
    replayed = await second.move(Replay(deliveries=[delivery.id]), now=NOW)

    assert history.state is state
    assert late == 0
    assert (account.delivered, account.held, account.pending, account.balance) == (1, 0, 0, 0)
    assert replayed.moved == 0
    assert await second.claim(a_claim("pixel1")) is None
