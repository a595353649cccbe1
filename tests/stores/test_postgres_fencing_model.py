"""Random operations on three nodes: delivered conversions are not sent again, none gets stuck."""

import asyncio
import os
from random import Random

import asyncpg
import msgspec
import pytest
from postgres_nodes_stage import ACCOUNTS, NOW, a_claim

from builders import a_submission, an_entry
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.domain.outcome import AttemptOutcome
from twite.gateway.ports.outbox import Replay, SweepRequest, TakeBack
from twite.stores.postgres import settlements

NODES = 3
PIXELS = ("pixel0", "pixel1")
SEEDS = range(40 if os.environ.get("TWITE_TRIAL") else 1)
STEPS = 150
_OUTCOMES = (
    (Trigger.DELIVERED, AttemptOutcome.DELIVERED),
    (Trigger.DELIVERED, AttemptOutcome.DELIVERED),
    (Trigger.POSTPONED, AttemptOutcome.ERRORED),
    (Trigger.HELD, AttemptOutcome.ERRORED),
    (Trigger.GIVEN_UP, AttemptOutcome.REJECTED),
)


class Node:
    """A gateway: `claimed` contains its batches, `sent` those whose request has left."""

    def __init__(self, store):
        self.store = store
        self.claimed = []
        self.sent = []


class Model:
    def __init__(self, nodes, driver, seed):
        self.nodes = nodes
        self.driver = driver
        self.random = Random(seed)
        self.recorded = 0
        self.sends = 0
        self.resent = []

    async def step(self):
        node = self.random.choice(self.nodes)
        actions = (
            self.record, self.record, self.claim, self.claim, self.claim, self.send, self.send,
            self.send, self.settle, self.settle, self.suspend, self.suspend, self.operate,
            self.together,
        )  # fmt: skip
        await self.random.choice(actions)(node)

    async def together(self, _node):
        """Settle, claim and take over at once."""
        work = [self.refresh(node) for node in self.nodes]
        work += [self.settle(node) for node in self.nodes]
        work += [self.claim(node) for node in self.nodes]
        work.append(self.operate(self.nodes[0]))
        self.random.shuffle(work)
        await asyncio.gather(*work)

    async def record(self, node):
        self.recorded += 1
        entries = [
            an_entry(f"c{self.recorded}-{n}", pixel=self.random.choice(PIXELS)) for n in range(4)
        ]
        await node.store.record(
            a_submission(*entries, receipt=f"r{self.recorded}", received_at=NOW)
        )

    async def claim(self, _node):
        """Claim as the owner of the account, if one owns it now."""
        wish = msgspec.structs.replace(
            a_claim(self.random.choice(PIXELS)), limit=self.random.choice([1, 3, 9])
        )
        for node in self.random.sample(self.nodes, NODES):
            batch = await node.store.claim(wish)
            if batch is not None:
                node.claimed.append(batch)
                return

    async def send(self, _node):
        """Send a batch, unless the lease has expired."""
        able = [each for each in self.nodes if each.claimed and each.store.ownership.may_send()]
        if not able:
            return
        node = self.random.choice(able)
        batch = node.claimed.pop(self.random.randrange(len(node.claimed)))
        ids = [delivery.id for delivery in batch.deliveries]
        self.sends += 1
        self.resent += await self.driver.fetch(
            "SELECT delivery FROM attempted JOIN attempt ON attempt.id = attempted.attempt "
            "WHERE delivery = ANY ($1::bigint[]) AND outcome = 'delivered'",
            ids,
        )
        node.sent.append(batch)

    async def settle(self, node):
        if not node.sent:
            node = next((each for each in self.nodes if each.sent), node)
        batches, is_sent = (node.sent, True) if node.sent else (node.claimed, False)
        if not batches:
            return
        batch = batches.pop(self.random.randrange(len(batches)))
        trigger, outcome = (
            self.random.choice(_OUTCOMES)
            if is_sent
            else (Trigger.POSTPONED, AttemptOutcome.ERRORED)
        )
        await node.store.settle(settlement(batch, trigger, outcome))

    async def suspend(self, node):
        """Suspend a node beyond its lease. It may have settlements left when it resumes."""
        await self.driver.execute(
            "UPDATE node SET until = now() - interval '1 hour' WHERE id = $1",
            node.store.ownership.node,
        )
        other = self.random.choice([each for each in self.nodes if each is not node])
        await self.refresh(other)
        await self.refresh(node)

    async def refresh(self, node):
        owned = await node.store.ownership.refresh()
        if owned is None:
            for batch in [batch for batch in node.claimed if self.random.random() < 0.5]:
                node.claimed.remove(batch)
                await node.store.settle(
                    settlement(batch, Trigger.POSTPONED, AttemptOutcome.ERRORED)
                )
            node.claimed.clear()  # or the process was killed
            await node.store.ownership.join(ACCOUNTS, longest_request=0)
        else:
            await node.store.ownership.give_up(set(ACCOUNTS.values()) - owned)

    async def operate(self, node):
        """Do what a user or the sweeper might do."""
        rows = await self.driver.fetch("SELECT id FROM outbox")
        ids = [row["id"] for row in rows if self.random.random() < 0.5]
        match self.random.randrange(4):
            case 0:
                await node.store.move(Replay(deliveries=ids), now=NOW)
            case 1:
                await node.store.move(Replay(deliveries=ids, sure=ids), now=NOW)
            case 2:
                await node.store.move(
                    TakeBack(
                        deliveries=ids,
                        cause=DeliveryCause.CONSENT_UNCLEAR,
                        reason="held",
                        hold=True,
                    ),
                    now=NOW,
                )
            case _:
                await node.store.sweep(
                    SweepRequest(
                        now=NOW,
                        ambiguous_before=0,
                        waiting_before=0,
                        cautious=frozenset(PIXELS[:1]),
                    )
                )

    async def finish(self):
        """Let all nodes settle, then send what is left; return the counts."""
        for node in self.nodes:
            while node.sent or node.claimed:
                await self.settle(node)
        while True:
            for node in self.nodes:
                await asyncio.gather(*node.store.settlements.late)
                await self.refresh(node)
            rows = await self.driver.fetch("SELECT id, state FROM outbox")
            if not rows:
                return await self.nodes[0].store.balance()
            await self.nodes[0].store.move(Replay(deliveries=[row["id"] for row in rows]), now=NOW)
            await self.nodes[0].store.sweep(
                SweepRequest(now=NOW + 1, ambiguous_before=0, waiting_before=0)
            )
            for node in self.nodes:
                for pixel in PIXELS:
                    batch = await node.store.claim(a_claim(pixel))
                    if batch is not None:
                        await node.store.settle(
                            settlement(batch, Trigger.DELIVERED, AttemptOutcome.DELIVERED)
                        )


def settlement(batch, trigger, outcome):
    ids = tuple(delivery.id for delivery in batch.deliveries)
    due_at = NOW if trigger is Trigger.POSTPONED else None
    return Settlement(
        lease=batch.lease,
        attempt=Attempt(
            at=NOW, pixel=batch.pixel, event=batch.event, outcome=outcome, deliveries=ids
        ),
        transitions=(Transition(trigger=trigger, deliveries=ids, due_at=due_at, reason="reason"),),
        lease_until=NOW + 60_000,
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_delivered_conversions_are_never_sent_again(
    open_node, postgres_url, monkeypatch, seed
):
    monkeypatch.setattr(settlements, "_AGAIN", 0.01)
    monkeypatch.setattr(settlements, "_LATE_WITHIN", 0.0)
    driver = await asyncpg.connect(postgres_url)
    model = Model([Node(await open_node()) for _ in range(NODES)], driver, seed)

    for node in model.nodes * 2:
        await model.refresh(node)
    for _ in range(STEPS):
        await model.step()
    async with asyncio.timeout(60):
        accounts = await model.finish()
    await driver.close()

    assert model.resent == []
    assert model.sends
    received = sum(account.received for account in accounts)
    assert received == model.recorded * 4
    assert [account.balance for account in accounts] == [0] * len(accounts)
    assert sum(account.delivered for account in accounts) == received
