"""Shopify's deliveries: from a signed order to X, once; reload, erasure, and nobody's data."""

import json
import time
from datetime import UTC, datetime

import pytest
from gateway_processes import Gateway, PostgresGateway, command
from signed_senders import say

from canaries import EMAIL, NAME, PHONE, found_in
from shopify_orders import ORDER, signed

pytestmark = pytest.mark.journey

SECRET = "canary shopify secret"
WEBHOOK = f"""
[[webhook]]
name = "orders"
kind = "shopify"
secret = "{SECRET}"
source = "shop"
"""
CLICK = "23opevjt88psuo13lu8d020qkn"


@pytest.fixture
def gateway(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)
    gateway.config.write_text(gateway.config.read_text() + WEBHOOK)
    with gateway:
        yield gateway


def order(**changed):
    at = datetime.fromtimestamp(time.time() - 60, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    persons = {
        "email": EMAIL,
        "contact_email": EMAIL,
        "customer": {"first_name": NAME, "email": EMAIL, "phone": PHONE},
        "billing_address": {"name": NAME, "phone": PHONE, "country_code": "GB"},
        "note": f"call {PHONE}",
        "note_attributes": [
            {"name": "_twite_click", "value": CLICK},
            {"name": "_twite_consent", "value": "granted"},
            {"name": "gift for", "value": EMAIL},
        ],
        "landing_site": f"/?mail={EMAIL}",
    }
    return ORDER | persons | {"processed_at": at, "created_at": at, "updated_at": at} | changed


def send(gateway, sent, topic="orders/paid", *, secret=SECRET, path="/webhooks/orders"):
    body = json.dumps(sent).encode()
    return say(gateway, path, body, signed(body, topic, secret=secret))


def ids_at_x(x_emulator):
    bodies = [json.loads(each["body"]) for each in x_emulator.received(bodies=True)["entries"]]
    return [sent["conversion_id"] for body in bodies for sent in body["conversions"]]


def test_order_reaches_x_once_with_its_exact_id_and_money(gateway, x_emulator):
    said = [send(gateway, order()) for _ in range(3)]
    balance = gateway.drained()

    assert [status for status, _ in said] == [200] * 3
    (received,) = x_emulator.received(bodies=True)["entries"]
    (sent,) = json.loads(received["body"])["conversions"]
    assert (sent["conversion_id"], sent["value"], sent["price_currency"]) == (
        "820982911946154508",
        "403.00",
        "USD",
    )
    assert (balance["delivered"], balance["duplicate"]) == (1, 2)


def test_bad_messages_are_answered_and_nothing_is_lost(gateway, x_emulator):
    answers = {
        "wrong secret": send(gateway, order(), secret="other"),
        "huge": send(gateway, order(note="x" * 2_000_000)),
        "test": send(gateway, order(test=True)),
        "no amount": send(gateway, order(id=2, total_price=None)),
        "currency": send(gateway, order(id=3, currency="XBT")),
        "no object": send(gateway, [1]),
        "refund": send(gateway, {"order_id": 1}, "refunds/create"),
        "renewal": send(gateway, order(id=4, source_name="subscription_contract")),
        "data request": send(gateway, {"customer": {"email": EMAIL}}, "customers/data_request"),
        "no webhook": send(gateway, order(), path="/webhooks/none"),
        "good": send(gateway, order(id=5)),
    }
    gateway.drained()
    balance = gateway.balance()
    rejected = json.loads(command(gateway, "rejected", "--json").stdout)
    ignored = json.loads(command(gateway, "accounting", "--json").stdout)["ignored"]

    refused = {"wrong secret": 401, "huge": 413, "no webhook": 404}
    statuses = {name: status for name, (status, _) in answers.items()}
    assert statuses == dict.fromkeys(answers, 200) | refused
    assert ids_at_x(x_emulator) == ["5"]
    codes = [row["errors"][0]["code"] for row in rejected]
    assert sorted(codes) == ["currency_unknown", "not_an_amount", "wrong_type"]
    assert sorted((row["name"], row["reason"]) for row in ignored) == [
        ("customers/data_request", "privacy_request"),
        ("orders/paid", "renewal"),
        ("orders/paid", "test"),
        ("refunds/create", "refund"),
    ]
    assert (balance["rejected"], balance["balance"]) == (3, 0)


def test_new_webhook_answers_after_a_reload(gateway):
    second = WEBHOOK.replace('"orders"', '"second"').replace(SECRET, "another secret")
    before, _ = send(gateway, order(), secret="another secret", path="/webhooks/second")
    gateway.config.write_text(gateway.config.read_text() + second)

    reloaded = command(gateway, "reload")

    assert "webhook second added" in reloaded.stdout
    after, _ = send(gateway, order(), secret="another secret", path="/webhooks/second")
    assert (before, after) == (404, 200)


def test_redaction_erases_the_customer_before_it_is_answered(gateway):
    send(gateway, order())
    gateway.drained()
    request = {"customer": {"email": EMAIL, "phone": PHONE}, "orders_to_redact": [ORDER["id"]]}

    refused, _ = send(gateway, request, "customers/redact", secret="other")
    kept = command(gateway, "show", str(ORDER["id"]))
    status, _ = send(gateway, request, "customers/redact")

    assert (refused, status) == (401, 200)
    assert "MUG-1" in kept.stdout
    erased = command(gateway, "show", str(ORDER["id"])).stdout
    assert erased.startswith("erased-")
    assert "MUG-1" not in erased
    assert "webhook orders" in command(gateway, "audit", "list").stdout
    again, answer = send(gateway, order(id=7))
    assert (again, answer["suppressed"]) == (200, 1)


def test_no_file_or_output_contains_a_person_or_the_secret(gateway, tmp_path, x_emulator):
    x_emulator.fault("status", status=400, after=1)
    redact = {"customer": {"email": EMAIL, "phone": PHONE}, "orders_to_redact": [8]}
    said = [
        send(gateway, order()),
        send(gateway, order(id=2)),
        send(gateway, order(id=EMAIL)),
        send(gateway, order(total_price=EMAIL)),
        send(gateway, order(currency=PHONE)),
        send(gateway, order(source_name=EMAIL, test=True)),
        send(gateway, order(), topic=EMAIL),
        send(gateway, order(), secret=EMAIL),
        send(gateway, [EMAIL]),
        send(gateway, {"customer": {"email": EMAIL}}, "customers/data_request"),
        send(gateway, redact, "customers/redact"),
    ]
    gateway.drained()
    outputs = [
        command(gateway, "show", str(ORDER["id"]), "--json"),
        command(gateway, "rejected", "--json"),
        command(gateway, "accounting"),
        command(gateway, "audit", "list"),
        command(gateway, "check"),
    ]
    metrics = gateway.get("/metrics")
    gateway.kill()
    log = gateway.log()

    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".toml"]
    kept = {path.name: path.read_bytes() for path in files}
    kept["answers"] = json.dumps(said).encode()
    kept["outputs"] = "".join(output.stdout + output.stderr for output in outputs).encode()
    kept["log and metrics"] = log.encode() + json.dumps(metrics).encode()
    kept["what X got"] = json.dumps(x_emulator.received(bodies=True)).encode()
    assert len(files) >= 3
    assert {name: found for name, held in kept.items() if (found := found_in(held))} == {}
    assert [name for name, held in kept.items() if SECRET.encode() in held] == []
    assert "privacy request" in log


def test_workers_on_postgresql_share_webhooks_and_erase(tmp_path, x_emulator, postgres_url):
    gateway = PostgresGateway(tmp_path, x_emulator.url, postgres_url, extra="workers = 2")
    gateway.config.write_text(gateway.config.read_text() + WEBHOOK)
    redact = {"customer": {"email": EMAIL}, "orders_to_redact": [ORDER["id"]]}
    with gateway:
        said = [send(gateway, order()) for _ in range(6)]
        gateway.drained()
        kept = command(gateway, "show", str(ORDER["id"])).stdout
        # An erasure that takes longer than Shopify waits is finished when it repeats the message.
        redacted = [503]
        while redacted[-1] == 503:
            redacted.append(send(gateway, redact, "customers/redact")[0])
        erased = command(gateway, "show", str(ORDER["id"])).stdout

    assert [status for status, _ in said] == [200] * 6
    assert redacted[-1] == 200
    assert sum(answer["accepted"] for _, answer in said) == 1
    assert ids_at_x(x_emulator) == [str(ORDER["id"])]
    assert "MUG-1" in kept
    assert "MUG-1" not in erased
