"""Store contract: past requests, as what-if reads them."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import deliver, histories, record
from twite.domain.cause import DeliveryCause
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.submission import AcceptedConversion, RejectedConversion
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.outbox import EditBodies, EditedBody
from twite.gateway.ports.past_requests import (
    MOST_AT_ONCE,
    OUT_OF_ORDER,
    PastRequest,
    PastRequestsQuery,
)
from twite.gateway.ports.store import Store

UNUSUAL = ValueFlag(kind="outlier", value="4990.00", currency="EUR", usual="49.90 EUR")


async def _past(store: Store, *, since: int = 0, number: int | None = None) -> list[PastRequest]:
    query = PastRequestsQuery(since=since, number=number, limit=100)
    return list(await store.answer(query))


class PastRequestLaws:
    async def test_past_request_has_its_conversions_and_the_places_of_the_rejected(
        self, store: Store
    ) -> None:
        await deliver(store, "order-1")
        entries = (
            an_entry("order-1", index=0),
            _with(an_entry("order-2", index=2), consent=b'{"action":"send"}', flag=UNUSUAL),
            an_entry("order-3", index=3, suppressed="no", cause=DeliveryCause.CONSENT_DENIED),
            an_entry("order-4", index=4, held="unusual", cause=DeliveryCause.AMOUNT_OUTLIER),
        )
        submission = a_submission(*entries, receipt="r2", received_at=NOW + HOUR)
        refusal = RejectedConversion(index=1, pixel="o8z6j", errors=())
        await store.record(msgspec.structs.replace(submission, refusals=(refusal,)))

        _, past_request = await _past(store)

        assert past_request.receipt == "r2"
        assert past_request.received_at == NOW + HOUR
        assert past_request.body == b"{}"
        assert past_request.entries == 4
        assert past_request.refused == {1}
        found = list(past_request.conversions.values())
        assert [each.conversion_id for each in found] == ["order-2", "order-3", "order-4"]
        assert past_request.first not in past_request.conversions  # the duplicate
        assert [each.suppressed for each in found] == [None, "no", None]
        assert [each.held for each in found] == [None, None, "unusual"]
        assert [each.cause for each in found] == [entry.cause for entry in entries[1:]]
        assert (found[0].evidence, found[0].flag) == (b'{"action":"send"}', UNUSUAL)
        assert found[0].body == entries[1].body

    async def test_past_requests_begin_at_a_time_and_continue_after_a_number(
        self, store: Store
    ) -> None:
        for nth in range(4):
            await record(store, f"order-{nth}", receipt=f"r{nth}", at=NOW + nth * DAY)

        found = await _past(store, since=NOW + 2 * DAY + OUT_OF_ORDER)

        assert [each.receipt for each in found] == ["r2", "r3"]
        rest = await _past(store, number=found[0].number + 1)
        assert [each.receipt for each in rest] == ["r3"]
        assert await _past(store, since=NOW + 9 * DAY) == []
        assert await _past(store, number=found[1].number + 1) == []

    async def test_past_requests_are_answered_in_parts_of_a_limited_size(
        self, store: Store
    ) -> None:
        large = [an_entry(f"order-{nth}", index=nth) for nth in range(MOST_AT_ONCE - 1)]
        await store.record(a_submission(*large, receipt="r1"))
        await record(store, "order-a", receipt="r2")
        await record(store, "order-b", receipt="r3")

        found = await _past(store)

        assert [each.receipt for each in found] == ["r1", "r2"]

    async def test_past_conversion_is_as_it_was_before_its_edit(self, store: Store) -> None:
        entry = an_entry("order-1", held="unusual", cause=DeliveryCause.AMOUNT_OUTLIER)
        await store.record(a_submission(entry))
        (history,) = await histories(store, "order-1")
        edited = EditedBody(delivery=history.delivery, event="o8z6m", body=b'{"edited":true}')
        done = await store.move(EditBodies(edited=[edited], note="event"), now=NOW)
        assert done.moved == 1

        (past_request,) = await _past(store)

        (conversion,) = past_request.conversions.values()
        assert (conversion.event, conversion.body) == (entry.event, entry.body)


def _with(entry: AcceptedConversion, **fields: object) -> AcceptedConversion:
    return msgspec.structs.replace(entry, **fields)
