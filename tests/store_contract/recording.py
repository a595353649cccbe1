"""Store contract: record requests, idempotency keys, suppression."""

import asyncio
from collections.abc import Sequence

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    EVENT,
    PIXEL,
    add_dead_letter,
    balanced,
    claim,
    claim_or_none,
    deliver,
    histories,
    record,
)
from twite.domain.conversion import DEFAULT_WINDOW
from twite.domain.delivery import State
from twite.domain.errors import LedgerUnavailable
from twite.domain.fault import fault
from twite.domain.history import ConversionCounts, total
from twite.domain.submission import Idempotency, Recorded, RejectedConversion, Submission
from twite.domain.times import HOUR
from twite.gateway.ports.queries import ByConversionId, ByReceipt
from twite.gateway.ports.store import Store


async def _recorded(store: Store, group: Sequence[Submission]) -> list[Recorded | Exception]:
    """Record a group by callback; return the results."""
    results: asyncio.Future[Sequence[Recorded | Exception]] = (
        asyncio.get_running_loop().create_future()
    )
    store.record_soon(group, results.set_result)
    return list(await results)


class RecordingLaws:
    async def test_new_conversion_is_queued(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1")))

        (history,) = await store.find(
            ByConversionId(pixel=PIXEL, events=[EVENT], conversion_id="order-1")
        )

        assert (history.state, history.source, history.receipt) == (State.QUEUED, "shop", "r1")
        assert history.sent == an_entry("order-1").body
        assert history.deadline_at == NOW + 48 * HOUR

    async def test_results_of_a_group_are_passed_to_a_callback(self, store: Store) -> None:
        names = [["order-1"], ["order-2", "order-3"], ["order-1"]]

        groups = [
            [
                a_submission(
                    *(an_entry(name, index=index) for index, name in enumerate(own)),
                    receipt=f"r-{place}-{number}",
                )
                for number, own in enumerate(names)
            ]
            for place in range(2)
        ]
        results = [await _recorded(store, group) for group in groups]

        assert results == [
            [Recorded(), Recorded(), Recorded(duplicates=(0,))],
            [
                Recorded(duplicates=(0,)),
                Recorded(duplicates=(0, 1)),
                Recorded(duplicates=(0,)),
            ],
        ]

    async def test_invalid_submission_of_a_group_fails_alone(self, store: Store) -> None:
        # A lone surrogate has no bytes.
        bad = a_submission(
            msgspec.structs.replace(an_entry("order-2"), conversion_id="\ud800"), receipt="r2"
        )
        others = [a_submission(an_entry(name), receipt=name) for name in ("order-1", "order-3")]

        results = await _recorded(store, [others[0], bad, others[1]])

        assert results[0] == results[2] == Recorded()
        assert isinstance(results[1], Exception)
        assert total(await store.balance()).received == 2

    async def test_closed_store_passes_an_error_for_each_submission(self, store: Store) -> None:
        await store.close()

        results = await _recorded(
            store, [a_submission(an_entry(name), receipt=name) for name in ("order-1", "order-2")]
        )

        assert [type(result) for result in results] == [LedgerUnavailable] * 2

    async def test_tag_delivery_is_found_by_its_public_id(self, store: Store) -> None:
        entries = [
            an_entry(name, pixel="tag:crm", index=index, called="order-1")
            for index, name in enumerate(("order-1/one", "order-1/two"))
        ]
        other = an_entry("order-1/x", pixel="tag:ads", index=3, called="order-1")
        plain = an_entry("order-1", pixel="tag:crm", index=2)
        await store.record(a_submission(*entries, plain, other))

        every = await store.find(
            ByConversionId(pixel="tag:crm", events=None, conversion_id="order-1")
        )
        of_event = await store.find(
            ByConversionId(pixel="tag:crm", events=[EVENT], conversion_id="order-1")
        )
        of_another = await store.find(
            ByConversionId(pixel="tag:crm", events=["o8zzz"], conversion_id="order-1")
        )
        exact = await store.find(
            ByConversionId(pixel="tag:crm", events=None, conversion_id="order-1/two")
        )

        names = [("order-1", None), ("order-1/two", "order-1"), ("order-1/one", "order-1")]
        assert [(history.conversion_id, history.called) for history in every] == names
        assert of_event == every
        assert of_another == []
        assert [history.conversion_id for history in exact] == ["order-1/two"]

    async def test_repeated_deduplication_key_is_a_duplicate(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1")))

        again = await store.record(
            a_submission(an_entry("order-2"), an_entry("order-1", index=1), receipt="r2")
        )

        assert again == Recorded(duplicates=(1,))

    async def test_key_repeated_in_one_submission_is_a_duplicate(self, store: Store) -> None:
        recorded = await store.record(
            a_submission(an_entry("order-1", index=3), an_entry("order-1", index=7))
        )

        assert recorded == Recorded(duplicates=(7,))

    async def test_idempotency_key_of_a_different_request_is_refused(self, store: Store) -> None:
        name = Idempotency(key=b"k" * 16, said=b"a" * 16)
        other = Idempotency(key=b"k" * 16, said=b"b" * 16)
        first = msgspec.structs.replace(a_submission(an_entry("order-1")), idempotency=name)
        second = msgspec.structs.replace(
            a_submission(an_entry("order-2"), receipt="r2"), idempotency=other
        )
        await store.record(first)

        refused = await store.record(second)

        assert refused == Recorded(conflict=True)
        assert total(await store.balance()).received == 1
        assert (
            await store.find(ByConversionId(pixel=PIXEL, events=[EVENT], conversion_id="order-2"))
            == []
        )

    async def test_idempotency_key_of_the_same_request_is_a_duplicate(self, store: Store) -> None:
        name = Idempotency(key=b"k" * 16, said=b"a" * 16)
        first = msgspec.structs.replace(a_submission(an_entry("order-1")), idempotency=name)
        await store.record(first)

        again = await store.record(msgspec.structs.replace(first, receipt="r2"))

        assert again == Recorded(duplicates=(0,))

    async def test_idempotency_key_can_be_used_again_after_the_window(self, store: Store) -> None:
        name = Idempotency(key=b"k" * 16, said=b"a" * 16)
        other = Idempotency(key=b"k" * 16, said=b"b" * 16)
        first = msgspec.structs.replace(a_submission(an_entry("order-1")), idempotency=name)
        later = msgspec.structs.replace(
            a_submission(an_entry("order-2"), receipt="r2", received_at=NOW + DEFAULT_WINDOW + 1),
            idempotency=other,
        )
        await store.record(first)

        recorded = await store.record(later)

        assert recorded == Recorded()

    async def test_same_id_with_another_event_or_pixel_is_new(self, store: Store) -> None:
        recorded = await store.record(
            a_submission(
                an_entry("order-1"),
                an_entry("order-1", event="o8z6m", index=1),
                an_entry("order-1", pixel="p2", index=2),
            )
        )

        assert recorded == Recorded()

    async def test_duplicate_is_never_queued(self, store: Store) -> None:
        for receipt in ("r1", "r2"):
            await store.record(a_submission(an_entry("order-1"), receipt=receipt))

        batch = await claim(store)

        assert [delivery.conversion_id for delivery in batch.deliveries] == ["order-1"]

    async def test_duplicates_are_counted_in_the_first_history(self, store: Store) -> None:
        for receipt in ("r1", "r2", "r3"):
            await store.record(a_submission(an_entry("order-1"), receipt=receipt))

        (history,) = await store.find(
            ByConversionId(pixel=PIXEL, events=[EVENT], conversion_id="order-1")
        )

        assert (history.receipt, history.duplicates) == ("r1", 2)

    async def test_delivered_conversion_repeated_in_time_is_a_duplicate(self, store: Store) -> None:
        await deliver(store, "order-1")

        last = await record(store, "order-1", receipt="r2", at=NOW + DEFAULT_WINDOW)

        assert last == Recorded(duplicates=(0,))

    async def test_delivered_conversion_is_new_after_the_window(self, store: Store) -> None:
        await deliver(store, "order-1")

        later = await record(store, "order-1", receipt="r2", at=NOW + DEFAULT_WINDOW + 1)

        assert later == Recorded()
        found = await histories(store, "order-1")
        assert [history.receipt for history in found] == ["r2", "r-order-1"]

    async def test_unsent_conversion_is_a_duplicate_after_the_window(self, store: Store) -> None:
        await record(store, "order-1")

        later = await record(store, "order-1", receipt="r2", at=NOW + 2 * DEFAULT_WINDOW)

        assert later == Recorded(duplicates=(0,))

    async def test_suppressed_conversion_is_found_with_its_reason(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1", suppressed="no consent")))

        (history,) = await histories(store, "order-1")

        assert (history.state, history.reason) == (State.SUPPRESSED, "no consent")
        assert await claim_or_none(store) is None

    async def test_suppressed_conversion_has_no_deduplication_key(self, store: Store) -> None:
        withheld = an_entry("order-1", suppressed="no consent")

        first = await store.record(a_submission(withheld))
        second = await store.record(a_submission(an_entry("order-1"), receipt="r2"))
        third = await store.record(a_submission(withheld, receipt="r3"))

        assert (first, second, third) == (Recorded(), Recorded(), Recorded())
        found = await histories(store, "order-1")
        assert [history.receipt for history in found] == ["r2", "r3", "r1"]

    async def test_suppressed_conversions_are_listed_latest_first(self, store: Store) -> None:
        for receipt in ("r1", "r2"):
            await store.record(
                a_submission(an_entry("order-1", suppressed="no consent"), receipt=receipt)
            )

        assert [history.receipt for history in await histories(store, "order-1")] == ["r2", "r1"]

    async def test_receipt_finds_its_accepted_conversions(self, store: Store) -> None:
        await record(store, "order-1")
        await store.record(
            a_submission(
                an_entry("order-2"),
                an_entry("order-1", index=1),
                an_entry("order-3", index=2, suppressed="no consent"),
                receipt="r2",
            )
        )

        brought = await store.find(ByReceipt(receipt="r2"))
        named = await store.find(ByReceipt(receipt="r2", conversion_id="order-3"))

        assert [history.conversion_id for history in brought] == ["order-2", "order-3"]
        assert [history.conversion_id for history in named] == ["order-3"]

    async def test_unknown_receipt_or_conversion_has_no_history(self, store: Store) -> None:
        await record(store, "order-1")

        assert list(await store.find(ByReceipt(receipt="r9"))) == []
        assert (
            list(
                await store.find(
                    ByConversionId(pixel=PIXEL, events=["o8z6m"], conversion_id="order-1")
                )
            )
            == []
        )

    async def test_conversion_id_has_a_history_for_each_event(self, store: Store) -> None:
        await store.record(
            a_submission(an_entry("order-1"), an_entry("order-1", event="o8z6m", index=1))
        )

        found = await store.find(
            ByConversionId(pixel=PIXEL, events=["o8z6m", EVENT], conversion_id="order-1")
        )

        assert [history.event for history in found] == ["o8z6m", EVENT]

    async def test_simultaneous_identical_submissions_make_one_delivery(self, store: Store) -> None:
        answers = await asyncio.gather(
            *(record(store, "order-1", receipt=f"r{number}") for number in range(64))
        )

        assert (answers.count(Recorded()), len(answers)) == (1, 64)
        assert len((await claim(store)).deliveries) == 1

    async def test_body_is_returned_byte_for_byte(self, store: Store) -> None:
        body = '{"description":"żółć \\u0000 \\"quoted\\"\\n 🎈"}'.encode()
        entry = an_entry("order-1")
        odd = [
            type(entry)(
                index=0, key=bytes([number] * 16), pixel=PIXEL, event=EVENT,
                conversion_id=f'ż-🎈-"{number}', body=body * (number + 1),
            )
            for number in range(3)
        ]  # fmt: skip
        await store.record(a_submission(*odd))

        batch = await claim(store)

        assert [(delivery.conversion_id, delivery.body) for delivery in batch.deliveries] == [
            (entry.conversion_id, entry.body) for entry in odd
        ]


class BalanceLaws:
    async def test_balance_accounts_for_every_conversion(self, store: Store) -> None:
        await deliver(store, "delivered")
        await add_dead_letter(store, "dead")
        await record(store, "sending", receipt="r3")
        await claim(store)
        await store.record(
            a_submission(
                an_entry("queued"),
                an_entry("dead", index=1),
                an_entry("withheld", index=2, suppressed="no consent"),
                receipt="r4",
            )
        )

        assert await balanced(store) == ConversionCounts(
            source="", pixel="", received=6, delivered=1, duplicate=1, suppressed=1, dead=1,
            pending=2,
        )  # fmt: skip

    async def test_conversions_are_counted_by_source_and_pixel(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1"), source="till"))
        await store.record(a_submission(an_entry("order-2", pixel="p2"), receipt="r2"))
        await store.record(a_submission(an_entry("order-1"), receipt="r3"))

        assert list(await store.balance()) == [
            ConversionCounts(source="shop", pixel=PIXEL, received=1, duplicate=1),
            ConversionCounts(source="shop", pixel="p2", received=1, pending=1),
            ConversionCounts(source="till", pixel=PIXEL, received=1, pending=1),
        ]

    async def test_rejected_conversion_is_received_and_rejected(self, store: Store) -> None:
        refusals = (
            RejectedConversion(index=0, pixel=PIXEL, errors=(fault("value", "not_an_amount"),)),
            RejectedConversion(index=2, pixel="", errors=(fault("pixel", "pixel_unknown"),)),
        )
        whole = a_submission(an_entry("order-1", index=1))
        await store.record(
            Submission(
                receipt=whole.receipt, source=whole.source, endpoint=whole.endpoint,
                received_at=whole.received_at, body=whole.body, entries=whole.entries,
                refusals=refusals,
            )
        )  # fmt: skip

        assert list(await store.balance()) == [
            ConversionCounts(source="shop", pixel="", received=1, rejected=1),
            ConversionCounts(source="shop", pixel=PIXEL, received=2, rejected=1, pending=1),
        ]

    async def test_submission_without_conversions_is_accepted(self, store: Store) -> None:
        recorded = await store.record(a_submission())

        assert (recorded, list(await store.balance())) == (Recorded(), [])
