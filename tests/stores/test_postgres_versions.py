"""A page of one gateway's console notices what another gateway has stored."""

from builders import NOW, a_submission, an_entry
from fakes import MovingClock
from twite.console.pages.changes import StoreVersions
from twite.domain.times import SECOND
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore


async def test_version_changes_when_another_gateway_records_a_conversion(postgres_url):
    first, second = [await PostgresStore.open(postgres_url, StoreOptions()) for _ in range(2)]
    try:
        clock = MovingClock(NOW)
        versions = StoreVersions(first, first, clock)
        own, other = QueryScope(), QueryScope(pixels=frozenset({"o6dkt"}))
        before = [await versions.of(scope) for scope in (own, other)]
        await clock.advance(SECOND)
        still = [await versions.of(scope) for scope in (own, other)]

        await second.record(a_submission(an_entry("order-1")))
        await clock.advance(SECOND)
        after = [await versions.of(scope) for scope in (own, other)]
    finally:
        for store in (first, second):
            await store.close()

    assert still == before
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True]
