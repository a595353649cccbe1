"""A request refused as a whole is logged and counted, without personal data."""

import json

import msgspec

from twite.domain.webhook_delivery import DeliveryVerdict, WebhookDelivery
from twite.gateway.ports.events import TurnedAway, WebhookAnswered
from twite.observers.log import LineLogger, Log
from twite.observers.metrics import Metrics

REFUSED = TurnedAway(source="shop", endpoint="beacon", code="not_json")


def test_refused_request_is_logged_as_a_warning_with_source_endpoint_and_code(capsys):
    Log(LineLogger(level="warning", as_json=True)).see(REFUSED)

    line = json.loads(capsys.readouterr().err)
    del line["timestamp"]
    assert line == {
        "event": "request refused",
        "level": "warning",
        "source": "shop",
        "endpoint": "beacon",
        "code": "not_json",
    }


def test_refused_request_is_counted_by_source_endpoint_and_code():
    metrics = Metrics(sources=["shop"])

    metrics.see(REFUSED)
    metrics.see(REFUSED)
    metrics.see(TurnedAway(source="gone", endpoint="native", code="too_many"))

    page = metrics.rendered([]).decode().splitlines()
    metric = "twite_refused_requests_total"
    assert metric + '{code="not_json",endpoint="beacon",source="shop"} 2.0' in page
    assert metric + '{code="too_many",endpoint="native",source="other"} 1.0' in page


def a_delivery(verdict, **more):
    delivery = WebhookDelivery(id="1", webhook="orders", at=0, message="", verdict=verdict)
    return WebhookAnswered(delivery=msgspec.structs.replace(delivery, **more))


def test_first_refused_delivery_of_a_webhook_is_logged(capsys):
    log = Log(LineLogger(level="warning", as_json=True))

    for times in (1, 2, 3):
        refused = a_delivery(DeliveryVerdict.REFUSED, reason="signature_wrong", times=times)
        log.see(refused)

    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    del line["timestamp"]
    assert line == {
        "event": "webhook refused",
        "level": "warning",
        "webhook": "orders",
        "code": "signature_wrong",
    }


def test_every_delivery_of_a_webhook_is_counted_by_verdict_and_reason():
    metrics = Metrics(sources=["shop"])

    for times in (1, 2):
        refused = a_delivery(DeliveryVerdict.REFUSED, reason="signature_wrong", times=times)
        metrics.see(refused)
    metrics.see(a_delivery(DeliveryVerdict.IGNORED, reason="refund"))

    page = metrics.rendered([]).decode().splitlines()
    metric = "twite_webhook_deliveries_total"
    assert metric + '{reason="signature_wrong",verdict="refused",webhook="orders"} 2.0' in page
    assert metric + '{reason="refund",verdict="ignored",webhook="orders"} 1.0' in page
