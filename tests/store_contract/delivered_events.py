"""Store contract: the deliveries of each event in a time, for X's results."""

from collections.abc import Sequence

import msgspec

from builders import NOW, a_conversion, a_submission, an_entry
from store_contract.actions import (
    EVENT,
    PIXEL,
    claim,
    dead_lettered,
    delivered,
    postponed,
    record,
    settle,
)
from twite.domain.conversion import Identifiers
from twite.domain.results.figures import DeliveredEvent
from twite.domain.stats.match_keys import MatchKeys
from twite.domain.stats.tally import FlowCounts
from twite.domain.times import HOUR
from twite.gateway.ports.listing import ListedState, ListQuery, QueryScope
from twite.gateway.ports.outbox import Discard
from twite.gateway.ports.queries import DeliveredEventsQuery, FlowsByPixelQuery, MatchQuery
from twite.gateway.ports.store import Store
from twite.x.encode import conversion_body


async def counted(store: Store, since: int, until: int) -> Sequence[DeliveredEvent]:
    return await store.answer(DeliveredEventsQuery(scope=QueryScope(), since=since, until=until))


class DeliveredEventLaws:
    async def test_deliveries_are_counted_by_event_and_time_of_receipt(self, store: Store) -> None:
        for index, (receipt, at) in enumerate(
            (("r1", NOW), ("r2", NOW + HOUR), ("r3", NOW + 2 * HOUR)), start=1
        ):
            await record(store, f"order-{index}", receipt=receipt, at=at)
            if index < 3:  # the last one is not delivered
                batch = await claim(store, now=at)
                await settle(store, batch, "delivered", delivered(batch), at=at + 5 * HOUR)

        found = [
            [(each.pixel, each.event, each.count) for each in await counted(store, since, until)]
            for since, until in (
                (NOW, NOW + 3 * HOUR),
                (NOW, NOW + HOUR),
                (NOW + HOUR + 1, NOW + 9 * HOUR),
            )
        ]

        assert found == [[(PIXEL, EVENT, 2)], [(PIXEL, EVENT, 1)], []]

    async def test_traffic_counts_the_deliveries_of_what_was_received_in_its_time(
        self, store: Store
    ) -> None:
        since = NOW // HOUR * HOUR
        await record(store, "earlier", receipt="r0", at=since - 1)
        await settle(store, batch := await claim(store), "delivered", delivered(batch), at=NOW)
        for number, name in enumerate(("sent", "sent-too", "refused", "unclear", "dropped"), 1):
            await record(store, name, receipt=f"r{number}", at=since + number)
        await record(store, "sent", receipt="again", at=since + 6)
        entries = [an_entry("h", held="decide"), an_entry("s", index=1, suppressed="no consent")]
        await store.record(a_submission(*entries, receipt="r7", received_at=since + 7))
        first = await claim(store, limit=2)
        await settle(store, first, "delivered", delivered(first), at=NOW)
        refused = await claim(store, limit=1)
        await settle(store, refused, "rejected", dead_lettered(refused), at=NOW)
        unclear = await claim(store, limit=1)
        await settle(store, unclear, "errored", postponed(unclear, until=NOW + HOUR), at=NOW)
        dropped = await claim(store, limit=1)
        await settle(store, dropped, "rejected", dead_lettered(dropped), at=NOW)
        await store.move(Discard(deliveries=[dropped.deliveries[0].id], note="a test"), now=NOW)
        await record(store, "ready", receipt="r8", at=since + 8)
        await record(store, "claimed", receipt="r9", at=since + 9)
        await claim(store, limit=1)

        flows = await store.answer(FlowsByPixelQuery(span=HOUR, since=since))

        assert flows[PIXEL] == FlowCounts(
            at=since, received=10, duplicate=1, suppressed=1, delivered=2, dead=1
        )
        listing = ListQuery(state=ListedState.DELIVERED, since=since)
        assert len((await store.page(listing)).summaries) == 2

    async def test_deliveries_are_counted_as_the_list_of_delivered_conversions_shows_them(
        self, store: Store
    ) -> None:
        identifiers = (
            Identifiers(click_id="2-abc", email="e" * 64),
            Identifiers(email="e" * 64),
            Identifiers(phone="f" * 64),
        )
        entries = [
            msgspec.structs.replace(
                an_entry(f"order-{index}", index=index),
                body=conversion_body(
                    msgspec.structs.replace(
                        a_conversion(f"order-{index}"),
                        identifiers=own,
                        description='"hashed_email":"x"',
                    )
                ),
            )
            for index, own in enumerate(identifiers)
        ]
        suppressed = an_entry("order-9", index=9, suppressed="no consent")
        await store.record(a_submission(*entries, suppressed))
        batch = await claim(store)
        await settle(store, batch, "delivered", delivered(batch), at=NOW)

        listing = ListQuery(state=ListedState.DELIVERED, events=frozenset({EVENT}), until=NOW + 1)
        listed = (await store.page(listing)).summaries
        (found,) = await counted(store, NOW, NOW + 1)

        assert found == DeliveredEvent(
            pixel=PIXEL, event=EVENT, count=len(listed), known=3, click=1, email_only=1
        )
        assert len(listed) == 3
        scope = QueryScope(pixels=frozenset({"other"}))
        assert (
            list(await store.answer(DeliveredEventsQuery(scope=scope, since=NOW, until=NOW + 1)))
            == []
        )

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
