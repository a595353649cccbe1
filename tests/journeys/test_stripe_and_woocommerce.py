"""Stripe's events and WooCommerce's orders: from a signed request to X, once, and nobody's data."""

import json
import time

import pytest
from gateway_processes import PIXEL, Gateway, command
from signed_senders import STRIPE_SECRET, WOO_SECRET, ping, say, stripe, utc, with_webhooks, woo

from canaries import EMAIL, NAME, PHONE, found_in

pytestmark = pytest.mark.journey

CLICK = "23opevjt88psuo13lu8d020qkn"


def session(number="cs_live_1", **more):
    return {
        "id": number,
        "object": "checkout.session",
        "livemode": True,
        "mode": "payment",
        "payment_status": "paid",
        "amount_total": 4_990,
        "currency": "eur",
        "customer_details": {
            "email": EMAIL,
            "phone": PHONE,
            "name": NAME,
            "address": {"country": "GB", "line1": f"{NAME} Street"},
        },
        "customer_email": EMAIL,
        "metadata": {"twclid": CLICK, "note": EMAIL},
    } | more


def event(payment, name="checkout.session.completed", **more):
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": "2026-06-24.dahlia",
        "livemode": True,
        "created": int(time.time()) - 60,
        "type": name,
        "data": {"object": payment},
    } | more


def order(number=1017, **more):
    return {
        "id": number,
        "number": str(number),
        "status": "processing",
        "created_via": "checkout",
        "currency": "EUR",
        "total": "49.90",
        "date_created_gmt": utc(120),
        "date_modified_gmt": utc(),
        "date_paid_gmt": utc(60),
        "customer_note": f"call {PHONE}",
        "billing": {
            "first_name": NAME,
            "address_1": f"{NAME} Street",
            "email": EMAIL,
            "phone": PHONE,
            "country": "GB",
        },
        "meta_data": [
            {
                "id": 1,
                "key": "_wc_order_attribution_session_entry",
                "value": f"https://shop.example/?twclid={CLICK}&mail={EMAIL}",
            }
        ],
        "line_items": [
            {"product_id": 57, "sku": "MUG-1", "name": "Mug", "quantity": 2, "price": 24.95}
        ],
    } | more


def at_x(x_emulator):
    """Return (conversion id, value, currency) of each conversion that X has."""
    sent = [
        conversion
        for request in x_emulator.received(bodies=True)["entries"]
        for conversion in json.loads(request["body"])["conversions"]
    ]
    return sorted((each["conversion_id"], each["value"], each["price_currency"]) for each in sent)


def reasons(gateway):
    found = json.loads(command(gateway, "accounting", "--json").stdout)["ignored"]
    return {(row["name"], row["reason"]): row["times"] for row in found}


def test_payments_and_orders_reach_x_once(tmp_path, x_emulator):
    with with_webhooks(Gateway(tmp_path, x_emulator.url)) as gateway:
        succeeded = event(session(), "checkout.session.async_payment_succeeded")
        said = [
            stripe(gateway, event(session(payment_status="unpaid"))),
            stripe(gateway, succeeded),
            stripe(gateway, succeeded),
            woo(gateway, order(status="pending", date_paid_gmt=None), topic="order.created"),
            woo(gateway, order()),
            woo(gateway, order(status="completed")),
            ping(gateway),
        ]
        balance = gateway.drained()

    assert [status for status, _ in said] == [200] * 7
    assert at_x(x_emulator) == [("1017", "49.90", "EUR"), ("cs_live_1", "49.90", "EUR")]
    assert (balance["delivered"], balance["duplicate"]) == (2, 2)


def test_bad_messages_are_answered_and_nothing_is_lost(tmp_path, x_emulator):
    thin = {"id": "evt_2", "object": "v2.core.event", "type": "v1.checkout.session.completed"}
    with with_webhooks(Gateway(tmp_path, x_emulator.url)) as gateway:
        answers = {
            "wrong secret": stripe(gateway, event(session()), secret="whsec_other"),
            "replay": stripe(gateway, event(session()), at=time.time() - 400),
            "woo wrong": woo(gateway, order(), secret="other"),
            "huge": say(gateway, "/webhooks/stripe", b"x" * 2_000_000, {}),
            "thin": stripe(gateway, thin),
            "test": stripe(gateway, event(session(livemode=False), livemode=False)),
            "no amount": stripe(gateway, event(session("cs_live_2", amount_total=None))),
            "currency": stripe(gateway, event(session("cs_live_3", currency="xbt"))),
            "no JSON": stripe(gateway, "text"),
            "woo no total": woo(gateway, order(2, total=None)),
            "woo currency": woo(gateway, order(3, currency="XBT")),
            "woo sandbox": woo(
                gateway, order(4, meta_data=[{"key": "_wcpay_mode", "value": "test"}])
            ),
            "refund": woo(gateway, order(5, status="refunded")),
            "good": stripe(gateway, event(session("cs_live_9"))),
        }
        gateway.drained()
        balance, ignored = gateway.balance(), reasons(gateway)
        rejected = json.loads(command(gateway, "rejected", "--json").stdout)
        checked = command(gateway, "check").stdout
        log = gateway.log()

    statuses = {name: status for name, (status, _) in answers.items()}
    refused = {"wrong secret": 401, "replay": 401, "woo wrong": 401, "huge": 413}
    assert statuses == dict.fromkeys(answers, 200) | refused
    assert [sent[0] for sent in at_x(x_emulator)] == ["cs_live_9"]
    assert ignored == {
        ("v1.checkout.session.completed", "no_data"): 1,
        ("checkout.session.completed", "test"): 1,
        ("order.updated", "test"): 1,
        ("order.updated", "refund"): 1,
    }
    assert "choose full payloads (at Stripe: snapshot)" in log
    assert 'at Stripe, the payload style "Snapshot"' in " ".join(checked.split())
    codes = [row["errors"][0]["code"] for row in rejected]
    assert sorted(codes) == sorted(
        ["not_an_amount"] * 2 + ["currency_unknown"] * 2 + ["wrong_type"]
    )
    assert (balance["rejected"], balance["balance"]) == (5, 0)


def test_no_file_or_output_contains_a_person_or_a_secret(tmp_path, x_emulator):
    x_emulator.fault("status", status=400, after=1)
    with with_webhooks(Gateway(tmp_path, x_emulator.url)) as gateway:
        said = [
            stripe(gateway, event(session())),
            stripe(gateway, event(session("cs_live_2"))),
            stripe(gateway, event(session(amount_total=EMAIL))),
            stripe(gateway, event(session(), EMAIL)),
            stripe(gateway, {"type": EMAIL, "object": "v2.core.event"}),
            stripe(gateway, event(session()), secret=EMAIL),
            stripe(gateway, event(session()), at=1),
            stripe(gateway, [EMAIL]),
            woo(gateway, order()),
            woo(gateway, order(total=PHONE)),
            woo(gateway, order(status="pending")),
            woo(gateway, order(), topic=EMAIL),
            woo(gateway, order(), secret=EMAIL),
            woo(gateway, order(currency=EMAIL)),
        ]
        gateway.drained()
        outputs = [
            command(gateway, "show", "cs_live_1", "--json"),
            command(gateway, "show", "1017"),
            command(gateway, "rejected", "--json"),
            command(gateway, "accounting"),
            command(gateway, "check"),
        ]
        metrics = gateway.get("/metrics")
        gateway.kill()
        log = gateway.log()

    settings = {"twite.toml"}
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in settings]
    kept = {path.name: path.read_bytes() for path in files}
    kept["answers"] = json.dumps(said).encode()
    kept["outputs"] = "".join(output.stdout + output.stderr for output in outputs).encode()
    kept["log and metrics"] = log.encode() + json.dumps(metrics).encode()
    kept["what X got"] = json.dumps(x_emulator.received(bodies=True)).encode()
    assert len(files) >= 3
    assert {name: found for name, held in kept.items() if (found := found_in(held))} == {}
    secrets = [STRIPE_SECRET.encode(), WOO_SECRET.encode()]
    assert [name for name, held in kept.items() if any(text in held for text in secrets)] == []
    assert PIXEL in kept["outputs"].decode()
