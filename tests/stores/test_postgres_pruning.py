"""Pruning on PostgreSQL: its share of time, and which gateway prunes."""

import pytest

from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore
from twite.stores.postgres.upkeep import rest_after


@pytest.mark.parametrize(
    ("took", "busy", "rest"),
    [(0.001, 0.0, 0.05), (0.1, 0.0, 0.9), (0.1, 3_599.0, 0.9), (0.1, 3_600.0, 0.1)],
)
def test_pruning_uses_a_tenth_of_the_time_and_half_when_it_is_late(took, busy, rest):
    assert rest_after(took, busy=busy) == pytest.approx(rest)


async def test_only_the_leader_of_several_gateways_prunes(postgres_url):
    stores = [await PostgresStore.open(postgres_url, StoreOptions()) for _ in range(3)]
    for store in stores[:2]:
        await store.ownership.join({"pixel": "account"}, longest_request=0)
        await store.ownership.refresh()

    prunes = [store.ownership.may_prune() for store in stores]
    for store in stores:
        await store.close()

    # The third gateway has not joined, like the store of a single process or a test.
    assert prunes == [True, False, True]
