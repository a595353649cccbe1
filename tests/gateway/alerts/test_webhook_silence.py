"""The alert about a webhook that has stopped delivering."""

import pytest
from monitor_stage import Stage

from builders import a_destination
from twite.domain.alert import AlertKind
from twite.domain.stats.traffic import HourlyTraffic
from twite.domain.times import HOUR
from twite.domain.webhook_delivery import CATCH_UP, DeliveryVerdict, WebhookDelivery
from twite.gateway.alerts.monitor import EventListener
from twite.gateway.ports.events import WebhookAnswered


def delivered(stage, webhook, verdict=DeliveryVerdict.IGNORED, message="order.updated"):
    delivery = WebhookDelivery(
        id="1", webhook=webhook, at=stage.clock.now(), message=message, verdict=verdict
    )
    stage.observer.see(WebhookAnswered(delivery=delivery))


async def webhook_stage():
    """Return a stage with two webhooks that have delivered a message on each of nine days."""
    stage = Stage()
    stage.monitor.watch([a_destination()], ["shop"], ["woo", "stripe"])
    for _ in range(9):
        delivered(stage, "woo")
        delivered(stage, "stripe")
        await stage.day()
    return stage


async def test_silent_webhook_opens_an_alert_until_it_delivers_again():
    stage = await webhook_stage()

    for _ in range(3):
        delivered(stage, "stripe")
        await stage.day()
    open_ = stage.open()
    delivered(stage, "woo")
    await stage.monitor.look()

    assert (AlertKind.WEBHOOK_SILENT, "woo") in open_
    assert (AlertKind.WEBHOOK_SILENT, "stripe") not in open_
    assert (AlertKind.WEBHOOK_SILENT, "woo") not in stage.open()


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (DeliveryVerdict.REFUSED, ""),
        (DeliveryVerdict.FAILED, ""),
        (DeliveryVerdict.ACCEPTED, CATCH_UP),
    ],
)
async def test_refused_messages_and_fetched_orders_are_no_life_sign(verdict, message):
    stage = await webhook_stage()

    for _ in range(3):
        delivered(stage, "woo", verdict, message)
        await stage.day()

    assert (AlertKind.WEBHOOK_SILENT, "woo") in stage.open()


async def test_deliveries_to_another_gateway_are_a_life_sign():
    stage = await webhook_stage()
    other = EventListener(stage.clock)
    for _ in range(3):
        delivery = WebhookDelivery(
            id="1", webhook="woo", at=0, message="order.updated", verdict=DeliveryVerdict.ACCEPTED
        )
        other.see(WebhookAnswered(delivery=delivery))
        await other.webhook_counts.store(stage.store, now=stage.clock.now())
        await stage.day()

    assert (AlertKind.WEBHOOK_SILENT, "woo") not in stage.open()


async def test_deliveries_that_could_not_be_stored_are_stored_later():
    stage = await webhook_stage()

    stage.store.read_only = True
    delivered(stage, "woo")
    await stage.monitor.look()
    stage.store.read_only = False
    await stage.clock.advance(20 * HOUR)
    await stage.monitor.look()

    hours = await stage.store.load(HourlyTraffic, prefix="/webhooks/woo")
    assert sum(hour.count for hour in hours) == 10


async def test_alert_of_a_removed_webhook_resolves():
    stage = await webhook_stage()
    for _ in range(3):
        await stage.day()

    stage.monitor.watch([a_destination()], ["shop"], [])
    await stage.monitor.look()

    assert (AlertKind.WEBHOOK_SILENT, "woo") not in stage.open()
