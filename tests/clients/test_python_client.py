"""The Python client against the shared vectors, and against a running gateway."""

import asyncio
import json
import os
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from scripted_gateway import KEY, VECTORS, ScriptedGateway

from twite_client import (
    AsyncTwite,
    Buffer,
    BufferFullError,
    ConversionRejectedError,
    GatewayUnavailableError,
    RequestRefusedError,
    Twite,
    WrongKeyError,
)
from twite_client import request as request_module
from twite_client.request import encoded

ORDER = {"event": "purchase", "conversion_id": "order-1", "email": "shopper@shop.example"}
OUTCOMES = {
    "unavailable": GatewayUnavailableError,
    "wrong key": WrongKeyError,
    "refused": RequestRefusedError,
    "rejected": ConversionRejectedError,
}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Wait a thousandth of the time; a wait from a Retry-After stays."""
    monkeypatch.setattr(request_module, "_FIRST_WAIT_SECONDS", 0.0005)


def sent_by_thread(url, conversion, **settings):
    with Twite(url, KEY, **settings) as twite:
        return twite.send(conversion)


def sent_by_loop(url, conversion, **settings):
    async def send():
        async with AsyncTwite(url, KEY, **settings) as twite:
            return await twite.send(conversion)

    return asyncio.run(send())


CLIENTS = pytest.mark.parametrize("send", [sent_by_thread, sent_by_loop])


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["name"])
@CLIENTS
def test_body_and_headers_are_those_of_the_vectors(send, vector):
    with ScriptedGateway([]) as gateway:
        receipt = send(gateway.url, vector["conversion"])

    [(headers, body)] = gateway.requests
    assert receipt.accepted == 1
    assert body.decode() == vector["body"]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("twite-client-python/")


@pytest.mark.parametrize("vector", VECTORS["attempts"], ids=lambda vector: vector["name"])
@CLIENTS
def test_attempts_are_those_of_the_vectors(send, vector):
    with ScriptedGateway(list(vector["answers"])) as gateway:
        settings = {"timeout": 0.3} if {"silent": True} in vector["answers"] else {}
        if vector["outcome"] == "receipt":
            assert send(gateway.url, ORDER, **settings).accepted == 1
        else:
            with pytest.raises(OUTCOMES[vector["outcome"]]) as raised:
                send(gateway.url, ORDER, attempts=3)
            assert type(raised.value) is OUTCOMES[vector["outcome"]]

    assert len(gateway.requests) == vector["requests"]
    assert len({(heads["Idempotency-Key"], body) for heads, body in gateway.requests}) == 1
    for wait, before, after in zip(
        vector.get("waits", ()), gateway.times, gateway.times[1:], strict=False
    ):
        assert after - before >= wait


@CLIENTS
def test_gateway_that_does_not_run_is_unavailable_after_all_attempts(send):
    with ScriptedGateway([]) as gateway:
        pass

    with pytest.raises(GatewayUnavailableError, match="after 2 attempts") as raised:
        send(gateway.url, ORDER, attempts=2)

    assert raised.value.idempotency_key


def test_errors_and_reprs_name_no_key_and_no_person():
    with ScriptedGateway([{"status": 401}, {"status": 422, "rejected": True}]) as gateway:
        with Twite(gateway.url, KEY) as twite, pytest.raises(WrongKeyError) as refused:
            twite.send(ORDER)
        with Twite(gateway.url, KEY) as twite, pytest.raises(ConversionRejectedError) as rejected:
            twite.send(ORDER)

    shown = "".join(map(str, (refused.value, rejected.value, twite.__dict__)))
    assert str(rejected.value) == "the conversion was rejected: value: no number"
    assert KEY not in shown
    assert "shopper" not in shown


def test_settings_that_cannot_work_are_refused_at_once():
    with pytest.raises(ValueError, match="url: use the gateway's address"):
        Twite("t.shop.example", KEY)
    with pytest.raises(ValueError, match="key: use the source's key"):
        Twite("https://t.shop.example", f"{KEY}\n")
    with pytest.raises(ValueError, match="attempts"):
        Twite("https://t.shop.example", KEY, attempts=0)


def test_money_and_times_are_written_exactly():
    written = json.loads(
        encoded(
            {
                "event": "purchase",
                "value": Decimal("1E+3"),
                "time": datetime(2026, 11, 24, 10, tzinfo=UTC),
            }
        )
    )

    assert written["value"] == "1000"
    assert written["time"] == "2026-11-24T10:00:00+00:00"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (datetime(2026, 11, 24), ValueError, "needs a zone"),  # noqa: DTZ001 - that is the point
        (float("nan"), ValueError, "JSON"),
        (b"49.90", TypeError, "cannot contain a bytes"),
    ],
)
def test_value_that_cannot_be_sent_is_refused_before_any_request(value, error, text):
    with ScriptedGateway([]) as gateway, Twite(gateway.url, KEY) as twite:
        with pytest.raises(error, match=text):
            twite.send_many([ORDER, ORDER | {"value": value}])

        assert gateway.requests == []


def test_many_conversions_are_sent_a_thousand_a_request_with_indexes_of_the_whole():
    conversions = [ORDER | {"conversion_id": f"order-{index}"} for index in range(2_500)]
    script = [{"status": 202}, {"status": 202, "rejected": True}]
    with ScriptedGateway(script) as gateway, Twite(gateway.url, KEY) as twite:
        receipt = twite.send_many(conversions, idempotency_key="nightly-1")

    assert receipt.accepted == 2_499
    assert list(receipt.rejected) == [1_000]
    assert len(receipt.receipts) == 3
    counts = [len(json.loads(body)["conversions"]) for _headers, body in gateway.requests]
    assert counts == [1_000, 1_000, 500]
    keys = [headers["Idempotency-Key"] for headers, _body in gateway.requests]
    assert keys == ["nightly-1-0", "nightly-1-1000", "nightly-1-2000"]


def test_large_conversions_stay_below_the_gateways_body_limit():
    conversions = [ORDER | {"description": "x" * 300_000} for _ in range(7)]
    with ScriptedGateway([]) as gateway, Twite(gateway.url, KEY) as twite:
        twite.send_many(conversions)

    assert [len(json.loads(body)["conversions"]) for _headers, body in gateway.requests] == [
        3,
        3,
        1,
    ]
    assert all(len(body) < 2**20 for _headers, body in gateway.requests)


def test_error_of_a_later_request_carries_the_receipt_of_the_earlier_ones():
    script = [{"status": 202}, {"status": 413}]
    with (
        ScriptedGateway(script) as gateway,
        Twite(gateway.url, KEY) as twite,
        pytest.raises(RequestRefusedError) as raised,
    ):
        twite.send_many([ORDER] * 1_001)

    assert raised.value.receipt.accepted == 1_000


def test_buffer_sends_in_the_background_and_reports_verdicts():
    verdicts = []
    with ScriptedGateway([{"status": 202, "rejected": True}]) as gateway:
        buffer = Buffer(
            Twite(gateway.url, KEY), on_receipt=lambda _batch, receipt: verdicts.append(receipt)
        )
        for index in range(3):
            buffer.add(ORDER | {"conversion_id": f"order-{index}"})
        assert buffer.flush(30)
        assert buffer.close()

    assert [(receipt.accepted, list(receipt.rejected)) for receipt in verdicts] == [(2, [0])]
    with pytest.raises(BufferFullError, match="closed"):
        buffer.add(ORDER)


def test_full_buffer_refuses_and_forgets_nothing():
    with ScriptedGateway([]) as gateway:
        buffer = Buffer(Twite(gateway.url, KEY), size=2, interval=60)
        buffer.add(ORDER)
        buffer.add(ORDER)
        with pytest.raises(BufferFullError, match="holds 2"):
            buffer.add(ORDER)
        buffer.close()

    assert sum(len(json.loads(body)["conversions"]) for _headers, body in gateway.requests) == 2


def test_buffer_continues_after_a_failed_batch_and_a_callback_that_raises():
    failed, sent = [], threading.Event()

    def report(batch, error):
        failed.append((len(batch), type(error)))
        raise RuntimeError("a fault of the application")

    with ScriptedGateway([{"status": 401}]) as gateway:
        twite = Twite(gateway.url, KEY)
        buffer = Buffer(
            twite, on_error=report, on_receipt=lambda _batch, _receipt: sent.set(), interval=0.01
        )
        buffer.add(ORDER)
        assert buffer.flush(30)
        buffer.add(ORDER)
        assert sent.wait(30)
        buffer.close()

    assert failed == [(1, WrongKeyError)]


def test_buffer_reports_only_conversions_that_were_not_sent_as_failed(monkeypatch):
    monkeypatch.setattr(request_module, "MAX_BYTES", 200)
    orders = [ORDER | {"conversion_id": f"order-{number}"} for number in range(5)]
    stored, failed = [], []

    with ScriptedGateway([{"status": 202}, {"status": 401}]) as gateway:
        buffer = Buffer(
            Twite(gateway.url, KEY),
            on_receipt=lambda batch, _receipt: stored.extend(batch),
            on_error=lambda batch, _error: failed.extend(batch),
        )
        for order in orders:
            buffer.add(order)
        assert buffer.flush(30)
        buffer.close()

    assert stored == json.loads(gateway.requests[0][1])["conversions"]
    assert stored + failed == orders
    assert stored


def test_buffered_conversion_does_not_change_afterwards():
    line = {"id": "SKU-1", "price": "24.95"}
    with ScriptedGateway([]) as gateway, Twite(gateway.url, KEY) as twite:
        buffer = Buffer(twite, interval=60)
        buffer.add(ORDER | {"contents": [line]})
        line["price"] = object()
        assert buffer.flush(30)
        buffer.close()

    ((_headers, body),) = gateway.requests
    assert json.loads(body)["conversions"][0]["contents"] == [{"id": "SKU-1", "price": "24.95"}]


def test_flush_raises_what_no_callback_took():
    with ScriptedGateway([{"status": 401}]) as gateway:
        buffer = Buffer(Twite(gateway.url, KEY))
        buffer.add(ORDER)
        with pytest.raises(WrongKeyError):
            buffer.flush(30)
        buffer.close()


def test_forked_child_does_not_share_the_parents_connection():
    with ScriptedGateway([{"status": 202, "keep": True}] * 3) as gateway:
        twite = Twite(gateway.url, KEY)
        twite.send(ORDER)
        child = os.fork()
        if child == 0:
            try:
                twite.send(ORDER)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the child must not return into the test
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        twite.send(ORDER)
        twite.close()

    before, of_child, after = gateway.connections
    assert (before == after, before == of_child) == (True, False)


def test_buffer_of_a_forked_child_sends_only_the_childs_conversions():
    with ScriptedGateway([]) as gateway:
        buffer = Buffer(Twite(gateway.url, KEY), interval=60)
        buffer.add(ORDER | {"conversion_id": "parent"})
        child = os.fork()
        if child == 0:
            try:
                buffer.add(ORDER | {"conversion_id": "child"})
                os._exit(0 if buffer.flush(30) else 1)
            except BaseException:  # noqa: BLE001 - the child must not return into the test
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        buffer.close()

    sent = [
        item["conversion_id"]
        for _headers, body in gateway.requests
        for item in json.loads(body)["conversions"]
    ]
    assert sorted(sent) == ["child", "parent"]


@pytest.mark.journey
def test_conversions_of_a_client_reach_x_once(twite_gateway):
    with Twite(twite_gateway.url, twite_gateway.key) as twite:
        twite.send(ORDER | {"value": Decimal("49.90"), "currency": "EUR"})
        again = twite.send(ORDER | {"value": Decimal("49.90"), "currency": "EUR"})
        with pytest.raises(ConversionRejectedError) as rejected:
            twite.send(ORDER | {"conversion_id": "order-2", "event": "purchse"})

    assert again.duplicates == {0}
    assert rejected.value.faults[0].path == "event"
    assert [conversion["conversion_id"] for conversion in twite_gateway.captured()] == ["order-1"]


@pytest.mark.journey
def test_fixture_forgets_the_conversions_of_the_test_before(twite_gateway):
    assert twite_gateway.captured() == []
