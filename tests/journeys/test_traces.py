"""Traces by OpenTelemetry: real gateways, and a real receiver of OTLP over HTTP."""

import json
import re
import socket
import threading
import time
import urllib.request
from contextlib import contextmanager

import pytest
from gateway_processes import KEY, Gateway, PostgresGateway, command, wait_for
from test_two_gateways import WokenGateway

from canaries import EMAIL, SPELLINGS, found_in
from otlp_receiver import otlp_receiver, values_of

pytestmark = pytest.mark.journey

CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ALLOWED = re.compile(r"twite\.[a-z_]+|http\.request\.method|http\.response\.status_code")


def traced(gateway, url, more=""):
    text = gateway.config.read_text()
    gateway.config.write_text(f'{text}\n[traces]\nendpoint = "{url}"\n{more}\n')
    return gateway


def post(gateway, body, **headers):
    request = urllib.request.Request(
        f"{gateway.url}/v1/conversions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"} | headers,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def an_order(number, **more):
    return {"event": "purchase", "conversion_id": f"order-{number}", "twclid": "abc"} | more


def spans_by_receipt(receiver):
    """Return the spans of each request's trace, by their names."""
    found = {}
    for spans in receiver.traces().values():
        roots = [span for span in spans if span.name == "receive"]
        if roots:
            named = {}
            for span in spans:
                named.setdefault(span.name, []).append(span)
            found[values_of(roots[0])["twite.receipt"]] = named
    return found


def is_whole(receiver, receipts):
    found = spans_by_receipt(receiver)
    return all("send" in found.get(receipt, {}) for receipt in receipts)


def wait_until(condition):
    wait_for(condition, lambda: None)


def metric(gateway, name):
    page = gateway.get("/metrics")[1]["text"]
    found = re.findall(rf"^{name}(?:{{.*}})? ([0-9.e+]+)$", page, re.MULTILINE)
    return sum(map(float, found))


def check_trace(named, receipt, receiver):
    """Check that a trace is whole, and that its last span is linked to a request to X."""
    (receive,), (commit,), (claim,), (send,) = (
        named[name] for name in ("receive", "commit", "claim", "send")
    )
    assert receive.parent_span_id == b""
    assert {span.parent_span_id for span in (commit, claim, send)} == {receive.span_id}
    times = [receive.start_time_unix_nano, commit.start_time_unix_nano,
             claim.end_time_unix_nano, send.end_time_unix_nano]  # fmt: skip
    assert times == sorted(times)
    assert send.start_time_unix_nano >= claim.start_time_unix_nano
    assert {values_of(span)["twite.receipt"] for span in (receive, claim, send)} == {receipt}
    assert values_of(send)["twite.outcome"] == "delivered"
    assert values_of(send)["http.response.status_code"] == 200
    (link,) = send.links
    (batch,) = receiver.traces()[link.trace_id]
    assert batch.name == "POST conversions"
    assert batch.span_id == link.span_id
    assert (send.trace_id, send.span_id) in [(link.trace_id, link.span_id) for link in batch.links]


def test_trace_of_a_conversion_contains_every_span(tmp_path, x_emulator):
    with (
        otlp_receiver() as receiver,
        traced(Gateway(tmp_path, x_emulator.url), receiver.url) as gateway,
    ):
        receipts = [post(gateway, an_order(number))["receipt"] for number in range(3)]
        # These headers and bodies take other ways through the gateway.
        receipts.append(post(gateway, an_order(4), Traceparent=CLIENT)["receipt"])
        several = {"conversions": [an_order(5), an_order(6)]}
        post(gateway, several, Traceparent=CLIENT)
        gateway.drained()
        wait_until(lambda: is_whole(receiver, receipts))
        # The receiver has the spans before the gateway has its response.
        wait_until(lambda: metric(gateway, "twite_trace_spans_total") >= len(receipts) * 4)
        stopped = gateway.stop()

    found = spans_by_receipt(receiver)
    for receipt in receipts:
        check_trace(found[receipt], receipt, receiver)
    (link,) = found[receipts[3]]["receive"][0].links
    assert (link.trace_id.hex(), link.span_id.hex()) == (CLIENT[3:35], CLIENT[36:52])
    assert list(found[receipts[0]]["receive"][0].links) == []
    both = next(named for receipt, named in found.items() if receipt not in receipts)
    assert (len(both["send"]), len(both["receive"][0].links)) == (2, 1)
    assert receiver.resources[0]["service.name"] == "twite"
    assert stopped == 0


def test_span_of_a_refused_conversion_has_xs_status(tmp_path, x_emulator):
    x_emulator.fault("status", status=503, count=1)
    with (
        otlp_receiver() as receiver,
        traced(Gateway(tmp_path, x_emulator.url), receiver.url) as gateway,
    ):
        receipt = post(gateway, an_order(1))["receipt"]
        gateway.drained()
        wait_until(lambda: len(spans_by_receipt(receiver).get(receipt, {}).get("send", ())) == 2)

    failed, accepted = spans_by_receipt(receiver)[receipt]["send"]
    assert values_of(failed)["http.response.status_code"] == 503
    assert values_of(accepted)["http.response.status_code"] == 200
    assert (failed.status.code, accepted.status.code) == (2, 0)


def test_trace_is_complete_if_another_gateway_sends_the_conversion(
    tmp_path, x_emulator, postgres_url
):
    with otlp_receiver() as first, otlp_receiver() as second:
        gateways = []
        for name, receiver in (("one", first), ("two", second)):
            folder = tmp_path / name
            folder.mkdir()
            gateway = WokenGateway(folder, x_emulator.url, postgres_url)
            gateways.append(traced(gateway, receiver.url))
        with gateways[0], gateways[1]:
            taken = [
                [post(gateway, an_order(f"{place}-{number}"))["receipt"] for number in range(3)]
                for place, gateway in enumerate(gateways)
            ]
            gateways[0].drained()
            for gateway in gateways:
                gateway.stop()

    received = [spans_by_receipt(receiver) for receiver in (first, second)]
    assert [set(found) for found in received] == [set(receipts) for receipts in taken]
    # The spans of both receivers together, as a collector has them.
    first.spans += second.spans
    for receipt in (receipt for receipts in taken for receipt in receipts):
        check_trace(spans_by_receipt(first)[receipt], receipt, first)
    assert any("send" not in named for found in received for named in found.values())


def test_spans_contain_no_personal_data_no_url_and_only_listed_attributes(tmp_path, x_emulator):
    canary = {
        "event": "purchase",
        "email": EMAIL,
        "phone": SPELLINGS["phone, blanks"],
        "twclid": "23opevjt88psuo13lu8d020qkn",
        "url": f"https://shop.example/thanks?mail={EMAIL}",
    }
    x_emulator.fault("status", status=400, after=1)
    with (
        otlp_receiver() as receiver,
        traced(Gateway(tmp_path, x_emulator.url), receiver.url) as gateway,
    ):
        headers = {"Traceparent": CLIENT, "Tracestate": f"a={EMAIL}", "Baggage": f"user={EMAIL}"}
        receipts = [
            post(gateway, canary | {"conversion_id": name}, **headers)["receipt"]
            for name in ("good", "bad", "again")
        ]
        gateway.drained()
        wait_until(lambda: is_whole(receiver, receipts))
        gateway.stop()

    assert [found for body in receiver.bodies if (found := found_in(body))] == []
    names = {name for span in receiver.spans for name in values_of(span)}
    assert {name for name in names if not ALLOWED.fullmatch(name)} == set()
    assert b"shop.example" not in b"".join(receiver.bodies)
    assert b"23opevjt88" not in b"".join(receiver.bodies)


@contextmanager
def a_hanging_socket():
    """Accept connections, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def hold():
            try:
                while True:
                    held.append(server.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in held:
            connection.close()


@contextmanager
def a_closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("collector", [a_hanging_socket, a_closed_port])
def test_hanging_collector_delays_neither_conversions_nor_shutdown(tmp_path, x_emulator, collector):
    with collector() as url, traced(Gateway(tmp_path, x_emulator.url), url) as gateway:
        for number in range(30):
            post(gateway, an_order(number))
        balance = gateway.drained()
        wait_until(lambda: metric(gateway, "twite_attempts_total") > 0)
        began = time.monotonic()
        stopped = gateway.stop()
        took = time.monotonic() - began

    assert (balance["delivered"], stopped) == (30, 0)
    assert took < 15


def test_refusing_collector_is_counted_and_logged_once(tmp_path, x_emulator):
    with (
        otlp_receiver(status=403) as receiver,
        traced(Gateway(tmp_path, x_emulator.url), receiver.url) as gateway,
    ):
        for number in range(3):
            post(gateway, an_order(number))
            gateway.drained()
        wait_until(lambda: metric(gateway, "twite_trace_spans_total") > 6)
        gateway.stop()
        log = gateway.log()

    assert log.count("does not accept spans") == 1
    assert "Failed to export" not in log


def test_opentelemetry_variables_name_the_service_and_turn_traces_off(tmp_path, x_emulator):
    with otlp_receiver() as receiver:
        gateway = traced(
            Gateway(tmp_path, x_emulator.url),
            receiver.url,
            '[traces.headers]\nauthorization = "Bearer a-key-of-the-collector"',
        )
        gateway.environment |= {
            "OTEL_SERVICE_NAME": "shop-gateway",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
        with gateway:
            receipt = post(gateway, an_order(1))["receipt"]
            gateway.drained()
            wait_until(lambda: is_whole(receiver, [receipt]))
            gateway.stop()
        before = len(receiver.spans)
        gateway.environment |= {"OTEL_SDK_DISABLED": "true"}
        with gateway:
            post(gateway, an_order(2))
            gateway.drained()
            gateway.stop()

    assert receiver.resources[0]["service.name"] == "shop-gateway"
    assert receiver.resources[0]["deployment.environment.name"] == "test"
    assert receiver.headers[0]["authorization"] == "Bearer a-key-of-the-collector"
    assert len(receiver.spans) == before
    assert "a-key-of-the-collector" not in gateway.log()


def test_reload_says_that_traces_need_a_restart(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        traced(gateway, "http://127.0.0.1:4318")
        done = command(gateway, "reload")

    assert "traces.endpoint" in done.stdout + done.stderr
    assert "restart" in (done.stdout + done.stderr).lower()


def test_workers_trace_their_own_requests(tmp_path, x_emulator, postgres_url):
    with otlp_receiver() as receiver:
        gateway = PostgresGateway(tmp_path, x_emulator.url, postgres_url, extra="workers = 2")
        with traced(gateway, receiver.url):
            receipts = [post(gateway, an_order(number))["receipt"] for number in range(6)]
            gateway.drained()
            gateway.stop()

    for receipt in receipts:
        check_trace(spans_by_receipt(receiver)[receipt], receipt, receiver)
