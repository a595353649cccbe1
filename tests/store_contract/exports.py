"""Store contract: conversions by number, for exports."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    claim,
    delivered,
    histories,
    postponed,
    record,
    settle,
)
from twite.domain.cause import DeliveryCause
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.ports.exports import ConversionsAfterQuery, ConversionsQuery, NumberQuery
from twite.gateway.ports.listing import ListedState
from twite.gateway.ports.outbox import Discard
from twite.gateway.ports.store import Store

FLAG = ValueFlag(kind="outlier", value="4990.00", currency="EUR", usual="49.90 EUR")


class ExportLaws:
    async def test_conversions_are_exported_with_their_attempts(self, store: Store) -> None:
        flagged = msgspec.structs.replace(an_entry("order-2", index=1), flag=FLAG)
        await store.record(a_submission(an_entry("order-1"), flagged, receipt="r1"))
        batch = await claim(store)
        again = postponed(batch, until=NOW + SECOND)
        await settle(store, batch, "errored", again, at=NOW, status=503)
        batch = await claim(store, now=NOW + MINUTE)
        await settle(store, batch, "delivered", delivered(batch), at=NOW + MINUTE)

        first, second = await store.answer(ConversionsAfterQuery(after=0, limit=10))

        assert (first.conversion_id, first.place, first.receipt) == ("order-1", 0, "r1")
        assert (second.conversion_id, second.place, second.receipt) == ("order-2", 1, "r1")
        assert (first.state, first.reason, first.cause) == (ListedState.DELIVERED, None, None)
        assert (first.attempts, first.last_attempt_at, first.last_status) == (2, NOW + MINUTE, 200)
        assert (first.received_at, first.source, first.endpoint) == (NOW, "shop", "native")
        assert (first.flag, second.flag) == (None, "outlier")
        assert first.body == an_entry("order-1").body
        assert "order-1" not in repr(first)

    async def test_conversions_that_are_not_sent_have_their_reason(self, store: Store) -> None:
        suppressed = an_entry(
            "order-1", suppressed="no consent", cause=DeliveryCause.CONSENT_DENIED
        )
        held = an_entry("order-2", index=1, held="unusual", cause=DeliveryCause.AMOUNT_ZERO)
        await store.record(a_submission(suppressed, held))
        (conversion,) = await histories(store, "order-2")

        before = await store.answer(ConversionsAfterQuery(after=0, limit=10))
        await store.move(Discard(deliveries=[conversion.delivery], note="not ours"), now=NOW)
        after = await store.answer(ConversionsQuery(deliveries=[conversion.delivery]))

        assert [(each.state, each.reason, each.cause) for each in before] == [
            (ListedState.SUPPRESSED, "no consent", DeliveryCause.CONSENT_DENIED),
            (ListedState.HELD, "unusual", DeliveryCause.AMOUNT_ZERO),
        ]
        assert [(each.state, each.reason, each.attempts) for each in after] == [
            (ListedState.SUPPRESSED, "not ours", 0)
        ]

    async def test_pages_are_in_the_order_of_numbers(self, store: Store) -> None:
        for number in range(5):
            await record(store, f"order-{number}", receipt=f"r{number}")
        whole = await store.answer(ConversionsAfterQuery(after=0, limit=10))
        numbers = [each.delivery for each in whole]

        page = await store.answer(ConversionsAfterQuery(after=numbers[1], limit=2))
        chosen = await store.answer(
            ConversionsQuery(deliveries=[numbers[4], numbers[0], numbers[4] + 999])
        )

        assert [each.conversion_id for each in whole] == [f"order-{n}" for n in range(5)]
        assert [each.conversion_id for each in page] == ["order-2", "order-3"]
        assert [each.conversion_id for each in chosen] == ["order-0", "order-4"]
        assert list(await store.answer(ConversionsQuery(deliveries=[]))) == []
        assert list(await store.answer(ConversionsAfterQuery(after=numbers[4], limit=2))) == []

    async def test_number_of_a_time_is_not_behind_its_conversions(self, store: Store) -> None:
        empty = await store.answer(NumberQuery(at=NOW))
        for hour in range(3):
            await record(store, f"order-{hour}", receipt=f"r{hour}", at=NOW + hour * HOUR)
        whole = await store.answer(ConversionsAfterQuery(after=0, limit=10))
        numbers = [each.delivery for each in whole]

        assert empty <= numbers[0]
        assert await store.answer(NumberQuery(at=0)) == numbers[0]
        assert await store.answer(NumberQuery(at=NOW + HOUR)) == numbers[1]
        assert await store.answer(NumberQuery(at=NOW + HOUR + 11 * SECOND)) == numbers[2]
        assert await store.answer(NumberQuery(at=NOW + 3 * HOUR)) == numbers[2] + 1
