"""Store contract: the deliveries of each event in a time, for X's results."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import EVENT, PIXEL, claim, deliver, delivered, record, settle
from twite.domain.results.figures import DeliveredEvent
from twite.domain.stats.match_keys import MatchKeys
from twite.domain.times import HOUR
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import DeliveredEventsQuery, MatchQuery
from twite.gateway.ports.store import Store


class DeliveredEventLaws:
    async def test_deliveries_are_counted_by_event_in_a_time(self, store: Store) -> None:
        await deliver(store, "order-1")
        await record(store, "order-2", receipt="r2")
        batch = await claim(store)
        await settle(store, batch, "delivered", delivered(batch), at=NOW + HOUR)
        await record(store, "order-3", receipt="r3")  # not delivered

        counted = [
            list(await store.answer(DeliveredEventsQuery(since=since, until=until)))
            for since, until in (
                (NOW, NOW + HOUR + 1),
                (NOW, NOW + HOUR),
                (NOW + 1, NOW + HOUR),
            )
        ]

        assert counted == [
            [DeliveredEvent(pixel=PIXEL, event=EVENT, count=2)],
            [DeliveredEvent(pixel=PIXEL, event=EVENT, count=1)],
            [],
        ]

    async def test_conversions_with_an_email_and_no_click_id_are_counted(
        self, store: Store
    ) -> None:
        sets = (MatchKeys.CLICK | MatchKeys.EMAIL, MatchKeys.EMAIL, MatchKeys.CLICK, MatchKeys.IP)
        entries = [
            msgspec.structs.replace(an_entry(f"order-{index}", index=index), key_set=int(key_set))
            for index, key_set in enumerate(sets)
        ]
        await store.record(a_submission(*entries))

        (matched,) = await store.answer(MatchQuery(scope=QueryScope(), since=0))

        assert (matched.matching.click, matched.matching.email_only) == (2, 1)
