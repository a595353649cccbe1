"""Messages about payments before the deduplication window: no payment counts twice."""

import json

import pytest

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from formats.webhook_builders import a_webhook
from memory_store.store import MemoryStore
from twite.domain.times import DAY, HOUR, spelled
from twite.formats.standard.signature import signature_of
from twite.formats.stripe.read import signature
from twite.formats.webhook_kinds import KINDS
from twite.formats.woocommerce.sample import signed_order
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.queries import IgnoredQuery

ORDER = {
    "id": 1017,
    "status": "completed",
    "currency": "EUR",
    "total": "49.90",
    "billing": {"email": "shopper@example.com"},
    "line_items": [],
}
PAYMENT = {
    "id": "cs_live_1",
    "payment_status": "paid",
    "amount_total": 4_990,
    "currency": "eur",
    "customer_email": "shopper@example.com",
}


@pytest.fixture
def store():
    return MemoryStore()


_MAP = {"map": {"conversion_id": "id", "time": "paid", "email": "email"}}
GENERIC = {
    "generic": _MAP | {"signature": {"header": "X-Secret", "algorithm": "secret"}},
    "standard": _MAP,
}


@pytest.fixture
async def stage(staged, store):
    accept = Accept(
        intake=store,
        clock=MovingClock(NOW),
        randomness=SeededRandomness(),
        destinations={"o8z6j": a_destination()},
        salt=b"salt",
        wake=lambda _pixel: None,
    )
    return await staged(
        accept=accept,
        records=store,
        moves=store,
        sources=[a_source()],
        webhooks=(
            *(a_webhook(KINDS[kind], name=kind) for kind in ("stripe", "woocommerce")),
            *(a_webhook(KINDS[kind], name=kind, **GENERIC[kind]) for kind in GENERIC),
        ),
    )


async def send_order(stage, paid_at):
    order = json.dumps(ORDER | {"date_paid_gmt": spelled(paid_at)[:19]}).encode()
    headers = signed_order(order, a_webhook(KINDS["woocommerce"])).headers
    return await send(stage, "woocommerce", order, headers)


async def send_payment(stage, paid_at):
    event = {
        "type": "checkout.session.completed",
        "livemode": True,
        "created": paid_at // 1_000,
        "data": {"object": PAYMENT},
    }
    body = json.dumps(event).encode()
    secret = a_webhook(KINDS["stripe"]).secrets[0]
    signed = signature(body, secret=secret, now=NOW)
    return await send(stage, "stripe", body, {b"stripe-signature": signed})


async def send_generic(stage, paid_at):
    return await send_mapped(stage, paid_at, "generic")


async def send_standard(stage, paid_at):
    return await send_mapped(stage, paid_at, "standard")


async def send_mapped(stage, paid_at, kind):
    webhook = a_webhook(KINDS[kind], name=kind, **GENERIC[kind])
    sample = webhook.kind.sample(webhook, NOW, "")
    order = {"id": "order-1", "paid": spelled(paid_at), "email": "shopper@example.com"}
    body = json.dumps(order).encode()
    headers = dict(sample.headers)
    if kind == "standard":
        signed = signature_of(
            webhook.secrets[0],
            id_=headers[b"webhook-id"],
            stamp=headers[b"webhook-timestamp"],
            body=body,
        )
        headers[b"webhook-signature"] = b"v1," + signed
    return await send(stage, kind, body, headers)


async def send(stage, name, body, headers):
    named = {key.decode(): value.decode() for key, value in headers.items()}
    return await stage.ask("POST", f"/webhooks/{name}", body, key=None, headers=named)


@pytest.mark.parametrize("send_paid", [send_order, send_payment, send_generic, send_standard])
async def test_payment_within_the_window_is_a_conversion(stage, send_paid):
    answer = await send_paid(stage, NOW - 6 * DAY)

    assert (answer.status, answer.json()["accepted"]) == (200, 1)


@pytest.mark.parametrize("send_paid", [send_order, send_payment, send_generic, send_standard])
@pytest.mark.parametrize("ago", [7 * DAY - HOUR // 2, 8 * DAY, 400 * DAY])
async def test_older_payment_is_ignored_because_its_key_is_gone(stage, store, send_paid, ago):
    answer = await send_paid(stage, NOW - ago)

    assert (answer.status, answer.json()["accepted"], answer.json()["ignored"]) == (200, 0, 1)
    (ignored,) = await store.answer(IgnoredQuery(since=0))
    assert ignored.reason == "too_old"
