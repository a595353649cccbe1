"""Store contract: forecasts, alerts, the traffic of sources, and the state of syncs."""

import msgspec

from builders import NOW
from store_contract.actions import (
    PIXEL,
    add_dead_letter,
    claim,
    deliver,
    delivered,
    postponed,
    record,
    settle,
    sweep,
)
from twite.domain.alert import Acknowledgement, Alert, AlertKind, AlertPhase, Mute
from twite.domain.delivery import Settlement, Transition, Trigger
from twite.domain.stats.backlog import BacklogHour
from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic
from twite.domain.times import HOUR, MINUTE
from twite.domain.webhook_delivery import DeliveryVerdict, WebhookDelivery
from twite.gateway.ports.queries import DeliveredQuery
from twite.gateway.ports.state import SyncRecord, XResultRecord
from twite.gateway.ports.store import Store

_HOUR = NOW // HOUR


def _an_alert(id_: str = "a", **more: object) -> Alert:
    alert = Alert(
        id=id_,
        kind=AlertKind.PIXEL_PAUSED,
        subject=PIXEL,
        reason="404",
        opened_at=NOW,
        reported_at=NOW,
    )
    return msgspec.structs.replace(alert, **more)


def _an_hour(hour: int, **more: object) -> HourlyTraffic:
    at = hour * HOUR
    traffic = HourlyTraffic(source="shop", hour=hour, count=1, first_at=at, last_at=at, received=1)
    return msgspec.structs.replace(traffic, **more)


def _a_delivery(place: int, **more: object) -> WebhookDelivery:
    delivery = WebhookDelivery(
        id=f"{place:04}",
        webhook="shop",
        at=NOW,
        message="orders/paid",
        verdict=DeliveryVerdict.IGNORED,
        reason="test",
    )
    return msgspec.structs.replace(delivery, **more)


class AlarmLaws:
    async def test_backlog_is_counted_by_pixel_and_hour(self, store: Store) -> None:
        begin = _HOUR * HOUR
        await record(store, "one", receipt="r1", at=begin + 7)
        await record(store, "two", receipt="r2", at=begin + 5)
        await record(store, "later", receipt="r3", at=begin + 2 * HOUR)
        await record(store, "other", receipt="r4", at=begin, pixel="p2")

        assert list(await store.backlog()) == [
            BacklogHour(pixel=PIXEL, hour=_HOUR, deliveries=2, first=begin + 5, oldest=begin + 5),
            BacklogHour(
                pixel=PIXEL,
                hour=_HOUR + 2,
                deliveries=1,
                first=begin + 2 * HOUR,
                oldest=begin + 2 * HOUR,
            ),
            BacklogHour(pixel="p2", hour=_HOUR, deliveries=1, first=begin, oldest=begin),
        ]

    async def test_backlog_includes_only_unsettled_deliveries(self, store: Store) -> None:
        await add_dead_letter(store, "dead")
        await deliver(store, "delivered")
        await record(store, "postponed", receipt="r1")
        batch = await claim(store)
        await settle(store, batch, "errored", postponed(batch, until=NOW + HOUR))
        await record(store, "sending", receipt="r2")
        await claim(store)
        await record(store, "ready", receipt="r3")

        assert list(await store.backlog()) == [
            BacklogHour(pixel=PIXEL, hour=_HOUR, deliveries=3, first=NOW, oldest=NOW)
        ]

    async def test_ambiguous_deliveries_are_counted_by_earlier_deadline(self, store: Store) -> None:
        await record(store, "doubtful", receipt="r1")
        batch = await claim(store)
        again = postponed(batch, until=NOW + MINUTE)
        await settle(store, batch, "errored", again, at=NOW + 1, status=None, ambiguous=True)
        postponed_ = list(await store.backlog())
        await sweep(store, now=NOW + MINUTE)
        await record(store, "certain", receipt="r2", at=NOW + 7)

        ready = list(await store.backlog())

        first = NOW + 1 - 8 * HOUR
        doubtful = BacklogHour(
            pixel=PIXEL, hour=first // HOUR, deliveries=1, first=first, oldest=NOW
        )
        assert postponed_ == [doubtful]
        assert ready == [
            doubtful,
            BacklogHour(pixel=PIXEL, hour=_HOUR, deliveries=1, first=NOW + 7, oldest=NOW + 7),
        ]

    async def test_delivery_claimed_again_is_counted_once(self, store: Store) -> None:
        await record(store, "one", receipt="r1")
        await record(store, "two", receipt="r2")
        batch = await claim(store)
        back = Transition(
            trigger=Trigger.POSTPONED, deliveries=(batch.deliveries[0].id,), due_at=NOW
        )
        await store.settle(
            Settlement(
                lease=batch.lease, attempt=None, transitions=(back,), lease_until=NOW + MINUTE
            )
        )
        await claim(store)

        assert [some.deliveries for some in await store.backlog()] == [2]

    async def test_empty_store_has_no_backlog(self, store: Store) -> None:
        await deliver(store, "order-1")

        assert list(await store.backlog()) == []

    async def test_conversions_accepted_by_x_are_counted_by_pixel(self, store: Store) -> None:
        await add_dead_letter(store, "dead")
        for minute in (0, 2):
            await record(store, f"order-{minute}", receipt=f"r{minute}")
            batch = await claim(store)
            at = NOW + minute * MINUTE
            await settle(store, batch, "delivered", delivered(batch), at=at)

        found = await store.answer(DeliveredQuery(since=NOW + MINUTE))

        assert {pixel: sum(many for _, many in some) for pixel, some in found.items()} == {PIXEL: 1}
        assert all(NOW + MINUTE <= at < NOW + 4 * MINUTE for at, _ in found[PIXEL])

    async def test_alert_is_replaced_by_its_id(self, store: Store) -> None:
        await store.put([_an_alert(), _an_alert("b", opened_at=NOW - 1)])

        reported = _an_alert(unsent_phase=None, reason="403", reported_at=NOW + 1)
        await store.put([reported], gone=["b", "unknown"])

        assert list(await store.load(Alert)) == [reported]

    async def test_first_acknowledgement_of_an_alert_stays(self, store: Store) -> None:
        first = Acknowledgement(alert="a", at=NOW, who="olga")
        other = Acknowledgement(alert="b", at=NOW, who="ada")
        await store.put([first, other])

        await store.put([Acknowledgement(alert="a", at=NOW + 1, who="ada")])
        await store.delete(Acknowledgement, "b")

        assert list(await store.load(Acknowledgement)) == [first]

    async def test_mute_is_replaced_and_found_by_the_beginning_of_its_subject(
        self, store: Store
    ) -> None:
        mutes = [
            Mute(subject=name, until=NOW + 9, at=NOW, who="olga")
            for name in ("alert/pixel_paused/a", "alert/pixel_paused/b", "problem/a")
        ]
        await store.put(mutes)

        longer = msgspec.structs.replace(mutes[0], until=NOW + 99, at=NOW + 1, who="ada")
        await store.put([longer], gone=["alert/pixel_paused/b"])

        assert list(await store.load(Mute, prefix="alert/")) == [longer]
        assert list(await store.load(Mute)) == [longer, mutes[2]]

    async def test_resolved_alert_is_stored(self, store: Store) -> None:
        over = _an_alert(unsent_phase=AlertPhase.RESOLVED, resolved_at=NOW + 1)

        await store.put([over])

        assert list(await store.load(Alert)) == [over]

    async def test_hourly_traffic_is_replaced(self, store: Store) -> None:
        await store.put([_an_hour(5), _an_hour(3), _an_hour(5, source="till")])

        more = _an_hour(5, count=4, received=9, last_at=5 * HOUR + 7)
        await store.put([more])

        assert list(await store.load(HourlyTraffic)) == [
            _an_hour(3),
            more,
            _an_hour(5, source="till"),
        ]

    async def test_hourly_traffic_is_found_by_the_beginning_of_its_source(
        self, store: Store
    ) -> None:
        names = ("/webhooks/shop", "/webhooks/woo", "shop", "woo")
        await store.put([_an_hour(1, source=name) for name in names])

        found = await store.load(HourlyTraffic, prefix="/webhooks/")

        assert [traffic.source for traffic in found] == ["/webhooks/shop", "/webhooks/woo"]

    async def test_repeated_webhook_delivery_is_counted_in_its_place(self, store: Store) -> None:
        first, again = _a_delivery(1), _a_delivery(1, at=NOW + 5, times=3)
        await store.put([first, _a_delivery(2, at=NOW + 1)])

        await store.put([again])

        assert list(await store.load(WebhookDelivery)) == [_a_delivery(2, at=NOW + 1), again]

    async def test_only_the_latest_deliveries_of_each_webhook_are_kept(self, store: Store) -> None:
        await store.put([_a_delivery(0, webhook="other")])
        await store.put([_a_delivery(place, at=NOW + place) for place in range(60, 0, -1)])

        kept = await store.load(WebhookDelivery)

        assert [each.at - NOW for each in kept if each.webhook == "shop"] == list(range(11, 61))
        assert [each.webhook for each in kept].count("other") == 1

    async def test_old_hourly_traffic_is_deleted(self, store: Store) -> None:
        await store.put([_an_hour(1), _an_hour(2), _an_hour(1, source="till")])

        await store.put([_an_hour(2 + KEPT_HOURS)])

        assert [(traffic.source, traffic.hour) for traffic in await store.load(HourlyTraffic)] == [
            ("shop", 2),
            ("shop", 2 + KEPT_HOURS),
            ("till", 1),
        ]

    async def test_state_of_a_sync_is_replaced_and_deleted(self, store: Store) -> None:
        await store.put([SyncRecord(name="orders/", state="{}")])
        await store.put([SyncRecord(name="orders/b.csv", state="1")])
        await store.put([SyncRecord(name="orders-old/", state="{}")])

        await store.put([SyncRecord(name="orders/", state="[]")], gone=["orders/b.csv"])

        assert await store.load(SyncRecord, prefix="orders/") == [
            SyncRecord(name="orders/", state="[]")
        ]
        await store.delete(SyncRecord, "orders-old/")
        assert len(await store.load(SyncRecord)) == 1

    async def test_results_of_a_day_are_replaced_and_deleted(self, store: Store) -> None:
        days = [XResultRecord(name=f"day/18ce/2026-11-0{day}", state="{}") for day in (1, 2)]
        await store.put([XResultRecord(name="account/18ce", state="{}"), *days])
        await store.put([XResultRecord(name="account/18ce54", state="{}")])

        await store.put([XResultRecord(name="day/18ce/2026-11-02", state='{"fetched_at":1}')])
        await store.delete(XResultRecord, "day/18ce/2026-11-01")

        assert await store.load(XResultRecord, prefix="day/18ce/") == [
            XResultRecord(name="day/18ce/2026-11-02", state='{"fetched_at":1}'),
        ]
