"""What two nodes learn of one visitor at the same time."""

import asyncio
from itertools import permutations

import pytest

from builders import NOW, a_submission
from store_contract.actions import claim
from store_contract.joining import (
    CLICK_ID,
    MAIL,
    USER,
    VISITOR,
    WAIT,
    digest,
    fact,
    identifiers_in,
    knowing,
    known_of,
    links,
    waiting,
)
from twite.domain.joins import JoinKind
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore


@pytest.fixture
async def nodes(postgres_url):
    stores = [await PostgresStore.open(postgres_url, StoreOptions()) for _ in range(2)]
    yield stores
    for store in stores:
        await store.close()


async def test_simultaneous_facts_and_denials_of_a_visitor_are_all_stored(nodes):
    mail = fact(JoinKind.EMAIL, digest(MAIL))
    denials = [fact(JoinKind.DENIED, key=key) for key in (VISITOR, USER)]
    facts = [*links(), mail, *denials]
    orders = list(permutations(facts, 5))[::4]

    await asyncio.gather(
        *(
            store.record(knowing(*order, receipt=f"{number}-{place}"))
            for number, order in enumerate(orders)
            for place, store in enumerate(nodes)
        )
    )

    kinds = [row.kind for key in (VISITOR, USER) for row in await known_of(nodes[0], key)]
    assert (kinds.count(JoinKind.DENIED), kinds.count(JoinKind.LINK)) == (2, 2)


async def test_denial_at_a_node_prevents_the_join_of_what_another_stores_meanwhile(nodes):
    first, second = nodes
    await first.record(a_submission(waiting()))

    await asyncio.gather(
        first.record(knowing(fact(JoinKind.DENIED))),
        second.record(knowing(fact(JoinKind.EMAIL, digest(MAIL)), receipt="r-2")),
    )

    (delivery,) = (await claim(first, now=NOW + WAIT)).deliveries
    assert identifiers_in(delivery.body) == {"twclid": CLICK_ID}
