"""Opt-outs with several gateways on one database: each keeps a copy of the list in memory."""

import asyncio

import pytest

from builders import NOW, a_submission, an_entry
from twite.domain.consent import person_keys
from twite.domain.conversion import Identifiers
from twite.domain.errors import LedgerUnavailable
from twite.domain.submission import Recorded
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import nodes
from twite.stores.postgres.store import PostgresStore

PIXEL = "o8z6j"


@pytest.fixture
async def two(postgres_url):
    stores = [await PostgresStore.open(postgres_url, StoreOptions()) for _ in range(2)]
    for store in stores:
        await store.ownership.join({PIXEL: "account"}, longest_request=0)
        await store.ownership.refresh()
    yield stores
    for store in stores:
        await store.close()


def keys_of(store):
    return person_keys(Identifiers(email="e" * 64), pixel=PIXEL, salt=store.salt)


async def test_idle_gateway_reads_opt_outs_of_another_gateway(two):
    first, second = two
    keys = keys_of(first)
    listed = [second.lists(keys)]

    await first.revoke(keys, now=NOW)
    await second.ownership.news({})
    listed.append(second.lists(keys))
    await first.restore(keys)
    await second.ownership.news({})
    listed.append(second.lists(keys))

    assert listed == [False, True, False]


async def test_erasure_continues_once_all_gateways_suppress_the_person(two):
    first, second = two
    keys = keys_of(first)

    erasing = asyncio.create_task(first.erase(EraseStore(keys=keys), now=NOW))
    while not erasing.done():
        await second.ownership.refresh()

    assert second.lists(keys)


async def test_erasure_by_a_command_waits_for_the_gateways(two, postgres_url):
    command = await PostgresStore.open(postgres_url, StoreOptions())
    keys = keys_of(command)

    erasing = asyncio.create_task(command.erase(EraseStore(keys=keys), now=NOW))
    while not erasing.done():
        await asyncio.gather(*(store.ownership.refresh() for store in two))
    await command.close()

    assert [store.lists(keys) for store in two] == [True, True]


async def test_gateway_without_a_lease_records_nothing_of_an_erased_person(two, monkeypatch):
    """An erasure does not wait for a gateway that is suspended longer than its lease."""
    first, second = two
    keys = keys_of(first)
    listed = second.lists(keys)
    now = nodes.boot_time() + 60
    monkeypatch.setattr(nodes, "boot_time", lambda: now)
    await first.ownership.refresh()
    await second.record(a_submission(an_entry("c1"), receipt="r1"))
    await first.revoke(keys, now=NOW)

    with pytest.raises(LedgerUnavailable):
        await second.record(a_submission(an_entry("c2"), receipt="r2"))
    recorded = await second.record(a_submission(an_entry("c2"), receipt="r3"))
    (account,) = await first.balance()

    assert not listed
    assert second.lists(keys)
    assert (recorded, account.received) == (Recorded(), 2)
