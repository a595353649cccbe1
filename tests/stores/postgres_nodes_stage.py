"""Nodes on one database: what they own, claim and settle."""

from twite.domain.delivery import Settlement, Transition
from twite.gateway.ports.outbox import Claim

ACCOUNTS = {f"pixel{n}": f"account{n}" for n in range(8)}
NOW = 1_795_600_000_000
LEASE = 60_000


async def owned(*stores):
    return [await store.ownership.refresh() for store in stores]


async def balanced(*stores):
    """Let the nodes distribute the accounts; return what each owns."""
    for _ in range(4):
        for store, mine in zip(stores, await owned(*stores), strict=True):
            await store.ownership.give_up({*ACCOUNTS.values()} - mine)
    return await owned(*stores)


def a_claim(pixel):
    return Claim(pixel=pixel, now=NOW, lease_until=NOW + LEASE, limit=100, ambiguous_after=0)


def settled(batch, outcome):
    return Settlement(
        lease=batch.lease,
        attempt=None,
        transitions=(Transition(trigger=outcome, deliveries=(batch.deliveries[0].id,)),),
        lease_until=NOW + LEASE,
    )
