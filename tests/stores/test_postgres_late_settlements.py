"""What a node settles after it was fenced."""

import asyncio

import msgspec
import pytest
from postgres_nodes_stage import NOW, a_claim, owned, settled

from builders import a_submission, an_entry
from twite.domain.delivery import Attempt, AttemptOutcome, Transition, Trigger
from twite.gateway.ports.queries import ByConversionId
from twite.stores.postgres.session import PostgresSession


def accepted(batch, *, is_usual):
    """Return the settlement of a batch that X has accepted."""
    delivered = settled(batch, Trigger.DELIVERED)
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


async def outcomes(store):
    """Return the recorded outcomes of the only conversion."""
    (history,) = await store.find(ByConversionId(pixel="pixel1", events=None, conversion_id="c1"))
    return [attempt.outcome for attempt in history.attempts]


async def lost_lease(open_node, end_lease, *, outcome):
    """Return (the transitions that came too late, the account, the next claim).

    A node claims and is fenced; then it learns what X did.
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


async def test_what_a_fenced_node_settles_comes_too_late(open_node, end_lease):
    late, account, batch = await lost_lease(open_node, end_lease, outcome=Trigger.GIVEN_UP)

    assert late == 1
    assert (account.dead, account.pending, account.balance) == (0, 1, 0)
    assert len(batch.deliveries) == 1


async def test_what_x_accepted_from_a_fenced_node_is_not_sent_again(open_node, end_lease):
    late, account, batch = await lost_lease(open_node, end_lease, outcome=Trigger.DELIVERED)

    assert late == 0
    assert (account.delivered, account.pending, account.balance) == (1, 0, 0)
    assert batch is None


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Trigger.DELIVERED, id="delivered again"),
        pytest.param(Trigger.POSTPONED, id="not delivered again"),
    ],
)
@pytest.mark.parametrize("is_usual", [True, False])
async def test_a_late_success_is_recorded_once_no_other_node_is_sending(
    open_node, end_lease, monkeypatch, outcome, is_usual
):
    """Otherwise the other node's request could reach X after a recorded success."""
    first = await open_node()
    await owned(first)
    await first.record(a_submission(an_entry("c1", pixel="pixel1"), received_at=NOW))
    batch = await first.claim(a_claim("pixel1"))
    second = await open_node()
    end_lease(first)
    await owned(second)
    resent = await second.claim(a_claim("pixel1"))
    waits = asyncio.Event()
    lock_batch = PostgresSession.lock_batch

    def watched(book, lease, deliveries):
        lock_batch(book, lease, deliveries)
        waits.set()

    monkeypatch.setattr(PostgresSession, "lock_batch", watched)
    late = asyncio.create_task(first.settle(accepted(batch, is_usual=is_usual)))
    late.add_done_callback(lambda _: waits.set())
    await waits.wait()
    (before,) = await second.balance()
    known = await outcomes(second)
    await second.settle(settled(resent, outcome))
    await late
    (after,) = await second.balance()

    assert (before.delivered, before.pending, known) == (0, 1, ["errored"])
    assert (after.delivered, after.pending, after.balance) == (1, 0, 0)
    assert await outcomes(second) == ["errored", "delivered"]
