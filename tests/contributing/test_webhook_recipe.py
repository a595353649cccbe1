"""The recipe "Add a signed webhook" in CONTRIBUTING.md: orders that a coupon service signs."""

import hmac
from typing import Annotated

import msgspec
import pytest
from coupon_gateway import ORDER, sent_of, served

from builders import NOW, a_source
from memory_store.store import MemoryStore
from raw_http import request
from twite.config.webhooks import WrittenWebhook, webhooks
from twite.domain.secret import Secret
from twite.formats.event_data.values import amount_at, first_text
from twite.formats.parsed_request import Native, ParsedRequest
from twite.formats.webhook_kind import (
    SignatureVerdict,
    WebhookKind,
    WebhookMessage,
    WebhookReading,
    exact_object,
    is_any,
    option,
)
from twite.formats.webhook_kinds import KINDS

SIGNATURE = "x-coupon-signature"


class CouponOptions(msgspec.Struct, frozen=True, kw_only=True):
    currency: Annotated[str, option("the currency of all orders")] = "EUR"


def signature_of(secret, body):
    """Return the HMAC-SHA256 in hexadecimal digits."""
    return hmac.digest(secret.reveal().encode(), body, "sha256").hex().encode()


def verify(message, webhook, now):
    del now  # the signature contains no time
    given = message.header(SIGNATURE).encode("latin-1")
    expected = [signature_of(secret, message.body) for secret in webhook.secrets]
    return SignatureVerdict.GENUINE if is_any(given, expected) else SignatureVerdict.WRONG


def read_order(message, webhook):
    order = exact_object(message.body)
    conversion = Native(
        event=webhook.event,
        conversion_id=first_text(order, ("order",)),
        value=amount_at(order, ("total",)),
        currency=webhook.options.currency,
        email=first_text(order, ("mail",)),
    )
    return WebhookReading(name="order", parsed=ParsedRequest(conversions=(conversion,)))


def sample(webhook, now, url):
    del now, url
    headers = {SIGNATURE.encode(): signature_of(webhook.secrets[0], ORDER)}
    return WebhookMessage(headers=headers, body=ORDER)


COUPON = WebhookKind(
    name="coupon", options=CouponOptions, verify=verify, read=read_order, sample=sample
)


@pytest.fixture
def webhook(monkeypatch):
    """Return a webhook of a new kind, as the settings make it."""
    monkeypatch.setitem(KINDS, "coupon", COUPON)
    written = WrittenWebhook(
        name="coupons",
        kind="coupon",
        secrets=(Secret("an-old-secret"), Secret("a-secret")),
        source="shop",
        event="purchase",
        options={"currency": "USD"},
    )
    (made,) = webhooks((written,), sources=(a_source(),), pixels={"o8z6j": {"purchase"}})
    return made


async def test_message_of_a_new_webhook_kind_becomes_a_conversion(webhook):
    store = MemoryStore()
    headers = {"X-Coupon-Signature": signature_of(Secret("a-secret"), ORDER).decode()}

    (answer,) = await served(
        store, request("POST", "/webhooks/coupons", ORDER, headers), webhooks=(webhook,)
    )

    assert (answer.status, answer.json()["accepted"]) == (200, 1)
    sent = msgspec.json.decode(await sent_of(store))
    assert (sent["value"], sent["price_currency"]) == ("49.90", "USD")


async def test_new_webhook_kind_refuses_other_signatures(webhook):
    store = MemoryStore()
    good = signature_of(Secret("a-secret"), ORDER).decode()
    foreign = signature_of(Secret("another-secret"), ORDER).decode()

    answers = await served(
        store,
        request("POST", "/webhooks/coupons", ORDER, {}),
        request("POST", "/webhooks/coupons", ORDER, {"X-Coupon-Signature": foreign}),
        request("POST", "/webhooks/coupons", ORDER + b" ", {"X-Coupon-Signature": good}),
        webhooks=(webhook,),
    )

    assert [(each.status, each.json()["errors"][0]["code"]) for each in answers] == [
        (401, "signature_wrong")
    ] * 3
    assert await store.balance() == []


def test_sample_of_a_new_webhook_kind_is_genuine(webhook):
    message = webhook.kind.sample(webhook, NOW, "")

    assert webhook.kind.verify(message, webhook, NOW) is SignatureVerdict.GENUINE
