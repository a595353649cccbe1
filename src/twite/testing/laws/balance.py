# ruff: noqa: S101 - assertions are how laws speak
"""Store contract: accounting; received conversions are all accounted for."""

from twite.domain.fault import fault
from twite.domain.history import ConversionCounts
from twite.domain.submission import Recorded, RejectedConversion, Submission
from twite.gateway.ports.store import Store
from twite.testing.builders import a_submission, an_entry
from twite.testing.laws.actions import PIXEL, balanced, bury, claim, deliver, record


class BalanceLaws:
    async def test_every_conversion_is_somewhere(self, store: Store) -> None:
        await deliver(store, "delivered")
        await bury(store, "dead")
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

    async def test_accounts_are_by_source_and_pixel(self, store: Store) -> None:
        await store.record(a_submission(an_entry("order-1"), source="till"))
        await store.record(a_submission(an_entry("order-2", pixel="p2"), receipt="r2"))
        await store.record(a_submission(an_entry("order-1"), receipt="r3"))

        assert list(await store.balance()) == [
            ConversionCounts(source="shop", pixel=PIXEL, received=1, duplicate=1),
            ConversionCounts(source="shop", pixel="p2", received=1, pending=1),
            ConversionCounts(source="till", pixel=PIXEL, received=1, pending=1),
        ]

    async def test_what_was_refused_is_received_and_rejected(self, store: Store) -> None:
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

    async def test_a_submission_of_nothing_is_kept_too(self, store: Store) -> None:
        recorded = await store.record(a_submission())

        assert (recorded, list(await store.balance())) == (Recorded(), [])
