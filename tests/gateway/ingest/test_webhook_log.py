"""The log of webhooks' deliveries: what is stored, merged, and reported."""

import pytest

from builders import NOW
from fakes import MovingClock, SeededRandomness
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import HOUR
from twite.domain.webhook_delivery import DeliveryVerdict, WebhookDelivery
from twite.gateway.ingest.webhook_log import WebhookLog

ACCEPTED, REFUSED = DeliveryVerdict.ACCEPTED, DeliveryVerdict.REFUSED


class FullOnce(MemoryStore):
    is_full = True

    async def put(self, records, **more):
        if self.is_full:
            self.is_full = False
            raise LedgerUnavailable(reason="full", retry_after=1)
        await super().put(records, **more)


class Seen:
    def __init__(self):
        self.deliveries = []

    def see(self, event):
        self.deliveries.append(event.delivery)


@pytest.fixture
def clock():
    return MovingClock(NOW)


def log_of(store, clock, observer=None):
    return WebhookLog(
        state=store, clock=clock, randomness=SeededRandomness(), observer=observer or Seen()
    )


async def stored(store):
    return [
        (each.webhook, each.verdict, each.reason, each.times)
        for each in await store.load(WebhookDelivery)
    ]


async def test_deliveries_are_stored_when_the_gateway_stops(clock):
    store = MemoryStore()
    log = log_of(store, clock)

    log.note("shop", ACCEPTED, message="orders/paid", receipt="r1")
    await log.stop()

    (delivery,) = await store.load(WebhookDelivery)
    assert (delivery.webhook, delivery.at, delivery.receipt) == ("shop", NOW, "r1")


async def test_deliveries_that_cannot_be_stored_are_kept(clock):
    store = FullOnce()
    log = log_of(store, clock)
    log.note("shop", ACCEPTED)

    await log.stop()
    assert await stored(store) == []
    await log.stop()

    assert await stored(store) == [("shop", ACCEPTED, "", 1)]


async def test_refusals_of_an_hour_are_one_delivery_that_hides_no_other(clock):
    store, seen = MemoryStore(), Seen()
    log = log_of(store, clock, seen)

    for _ in range(100):
        log.note("shop", REFUSED, reason="signature_wrong")
        log.note("shop", REFUSED, reason="body_too_large")
    log.note("shop", ACCEPTED)
    await log.stop()

    assert sorted(await stored(store)) == [
        ("shop", ACCEPTED, "", 1),
        ("shop", REFUSED, "body_too_large", 100),
        ("shop", REFUSED, "signature_wrong", 100),
    ]
    assert [delivery.times for delivery in seen.deliveries].count(1) == 3
    assert len(seen.deliveries) == 201


async def test_refusal_after_an_hour_is_another_delivery(clock):
    store = MemoryStore()
    log = log_of(store, clock)

    log.note("shop", REFUSED, reason="signature_wrong")
    await clock.advance(HOUR)
    log.note("shop", REFUSED, reason="signature_wrong")
    await log.stop()

    assert len(await stored(store)) == 2


async def test_only_the_latest_deliveries_wait_for_the_store(clock):
    store = MemoryStore()
    log = log_of(store, clock)

    for number in range(500):
        log.note("shop", ACCEPTED, receipt=f"r{number}")
    await log.stop()

    receipts = [each.receipt for each in await store.load(WebhookDelivery)]
    assert sorted(receipts) == sorted(f"r{number}" for number in range(450, 500))
