"""A request refused as a whole is logged and counted, without personal data."""

import json

from twite.gateway.ports.events import TurnedAway
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
