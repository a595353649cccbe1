"""Store contract: claim deliveries; order, leases and fencing tokens."""

import asyncio

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    EVENT,
    PIXEL,
    claim,
    claim_or_none,
    ids,
    postponed,
    record,
    settle,
)
from twite.domain.times import HOUR
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.store import Store


class ClaimLaws:
    async def test_delivery_with_the_earliest_deadline_is_claimed_first(self, store: Store) -> None:
        for number, at in enumerate((NOW + 2, NOW, NOW + 1)):
            await record(store, f"order-{number}", receipt=f"r{number}", at=at)

        batch = await claim(store, limit=2)

        assert ids(batch) == ["order-1", "order-2"]

    async def test_several_batches_are_claimed_in_order(self, store: Store) -> None:
        for number in range(5):
            await record(store, f"order-{number}", receipt=f"r{number}", at=NOW + number)
        claiming = Claim(pixel=PIXEL, now=NOW, lease_until=NOW + HOUR, limit=2, ambiguous_after=0)

        batches = list(await store.claim_several(claiming, most=2))
        many = len(batches)
        while more := await store.claim_several(claiming, most=5):
            batches += more

        # An engine may claim fewer at a time.
        assert many in {1, 2}
        assert [ids(batch) for batch in batches] == [
            ["order-0", "order-1"],
            ["order-2", "order-3"],
            ["order-4"],
        ]
        assert len({batch.lease for batch in batches}) == 3

    async def test_ambiguous_delivery_has_the_earlier_deadline(self, store: Store) -> None:
        await record(store, "doubtful", receipt="r1", at=NOW)
        batch = await claim(store)
        await settle(
            store, batch, "errored", postponed(batch, until=NOW), at=NOW + HOUR, ambiguous=True
        )
        await record(store, "older", receipt="r2", at=NOW - 8 * HOUR)
        await record(store, "newer", receipt="r3", at=NOW - 6 * HOUR)

        batch = await claim(store, now=NOW + HOUR)

        # Ambiguous for an hour: the 40-hour deadline then equals the 48-hour deadline of a
        # conversion received seven hours ago.
        assert ids(batch) == ["older", "doubtful", "newer"]

    async def test_claim_can_have_a_limit_for_a_single_event(self, store: Store) -> None:
        for number in range(3):
            await record(store, f"order-{number}", receipt=f"r{number}")

        batch = await claim(store, limits={EVENT: 2, "other": 1})

        assert ids(batch) == ["order-0", "order-1"]

    async def test_claim_is_limited_in_bytes_but_has_one_delivery(self, store: Store) -> None:
        size = len(an_entry("order-0").body)
        await store.record(a_submission(*(an_entry(f"order-{n}", index=n) for n in range(6))))

        two = await claim_or_none(store, most_bytes=2 * size)
        single = await claim_or_none(store, most_bytes=2 * size - 1)
        fewer = await claim_or_none(store, most_bytes=2 * size, limit=1)
        large = await claim_or_none(store, most_bytes=1)

        assert [[] if batch is None else ids(batch) for batch in (two, single, fewer, large)] == [
            ["order-0", "order-1"],
            ["order-2"],
            ["order-3"],
            ["order-4"],
        ]
        assert ids(await claim(store)) == ["order-5"]

    async def test_claim_after_small_bodies_respects_the_byte_limit(self, store: Store) -> None:
        small = an_entry("small")
        most = 10 * len(small.body)
        large = [
            msgspec.structs.replace(an_entry(f"large-{n}", index=n), body=small.body * 8)
            for n in range(2)
        ]

        await store.record(a_submission(small))
        first = await claim_or_none(store, most_bytes=most, limit=10)
        await store.record(a_submission(*large, receipt="r2"))
        second = await claim_or_none(store, most_bytes=most, limit=10)
        third = await claim_or_none(store, most_bytes=most, limit=10)

        assert [[] if batch is None else ids(batch) for batch in (first, second, third)] == [
            ["small"],
            ["large-0"],
            ["large-1"],
        ]

    async def test_skipped_event_is_not_claimed(self, store: Store) -> None:
        await store.record(a_submission(an_entry("early"), received_at=NOW))
        await store.record(
            a_submission(an_entry("late", event="o8z6m"), receipt="r2", received_at=NOW + 1)
        )

        neither = await claim_or_none(store, passing_events=[EVENT, "o8z6m"])
        other = await claim_or_none(store, passing_events=[EVENT])

        assert other is not None
        assert (neither, other.event, ids(other)) == (None, "o8z6m", ["late"])
        assert ids(await claim(store)) == ["early"]

    async def test_skipped_deliveries_do_not_count_in_the_batch(self, store: Store) -> None:
        size = len(an_entry("order-1").body)
        named = ["a-longer-one", "order-1", "order-2", "order-3", "order-4"]
        await store.record(
            a_submission(*(an_entry(id_, index=index) for index, id_ in enumerate(named)))
        )
        batch = await claim(store, limit=3)
        await settle(store, batch, "errored", postponed(batch, until=NOW))
        first = batch.deliveries[0].id

        claims = [
            await claim_or_none(store, passing=[first, 999_999], limit=1),
            await claim_or_none(store, passing=[first], most_bytes=2 * size),
            await claim_or_none(store, passing=[first]),
            await claim_or_none(store, passing=[first]),
            await claim_or_none(store),
        ]

        assert [None if claim is None else ids(claim) for claim in claims] == [
            ["order-1"],
            ["order-2", "order-3"],
            ["order-4"],
            None,
            ["a-longer-one"],
        ]

    async def test_another_event_is_claimed_if_all_of_one_are_skipped(self, store: Store) -> None:
        await store.record(a_submission(an_entry("early"), received_at=NOW))
        batch = await claim(store)
        await settle(store, batch, "errored", postponed(batch, until=NOW))
        await store.record(
            a_submission(an_entry("late", event="o8z6m"), receipt="r2", received_at=NOW + 1)
        )

        other = await claim_or_none(store, passing=[batch.deliveries[0].id])

        assert other is not None
        assert ids(other) == ["late"]

    async def test_claim_has_only_the_event_of_its_first_delivery(self, store: Store) -> None:
        await store.record(a_submission(an_entry("late"), received_at=NOW + 1))
        await store.record(
            a_submission(an_entry("early", event="o8z6m"), receipt="r2", received_at=NOW)
        )

        batch = await claim(store)

        assert (batch.pixel, batch.event, ids(batch)) == (PIXEL, "o8z6m", ["early"])

    async def test_claim_is_for_one_pixel(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1", pixel="p2")))

        assert await claim_or_none(store) is None
        assert ids(await claim(store, pixel="p2")) == ["order-1"]

    async def test_claimed_delivery_is_not_claimed_again(self, store: Store) -> None:
        await record(store, "order-1")
        await record(store, "order-2", receipt="r2")

        first = await claim(store, limit=1)
        second = await claim(store)

        assert (ids(first), ids(second)) == (["order-1"], ["order-2"])
        assert second.lease > first.lease
        assert await claim_or_none(store) is None

    async def test_simultaneous_claims_share_no_delivery(self, store: Store) -> None:
        await store.record(
            a_submission(*(an_entry(f"order-{number}", index=number) for number in range(100)))
        )

        batches = await asyncio.gather(*(claim(store, limit=10) for _ in range(10)))

        assert len({delivery.id for batch in batches for delivery in batch.deliveries}) == 100

    async def test_rescheduled_delivery_is_not_claimed_before_its_time(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "errored", postponed(batch, until=NOW + 5_000))

        early = await claim_or_none(store, now=NOW + 4_999)
        due = await claim(store, now=NOW + 5_000)

        assert early is None
        assert ids(due) == ["order-1"]
        assert due.deliveries[0].attempts == 1

    async def test_delivery_rescheduled_until_now_is_claimed(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)

        await settle(store, batch, "errored", postponed(batch, until=NOW))

        assert ids(await claim(store)) == ["order-1"]

    async def test_possible_duplicate_is_not_claimed(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)
        await settle(store, batch, "errored", postponed(batch, until=NOW), ambiguous=True)

        late = await claim_or_none(store, ambiguous_after=NOW + 1)
        in_time = await claim(store, ambiguous_after=NOW)

        assert late is None
        assert in_time.deliveries[0].ambiguous_since == NOW
