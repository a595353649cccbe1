"""A signed event as Stripe sends it, for tests, `twite webhook test` and the console."""

import msgspec

from twite.domain.times import SECOND
from twite.formats.stripe.read import AMOUNTS, PAYMENTS, SIGNATURE, StripeWebhook, signature
from twite.formats.webhook_kind import WebhookMessage


def sample(webhook: StripeWebhook, now: int, url: str) -> WebhookMessage:
    """Return an event about a payment of 49.90 EUR, paid now."""
    del url  # is not signed
    payment = webhook.options.payment
    body = msgspec.json.encode(
        {
            "id": "evt_1TwiteSample",
            "object": "event",
            "livemode": True,
            "created": now // SECOND,
            "type": next(name for name, paid in PAYMENTS.items() if paid == payment),
            "data": {
                "object": {
                    "id": "cs_live_TwiteSample",
                    "livemode": True,
                    "mode": "payment",
                    "payment_status": "paid",
                    "billing_reason": "subscription_create",
                    "currency": "eur",
                    AMOUNTS[payment]: 4_990,
                    "customer_details": {"email": "shopper@example.com"},
                    "metadata": {
                        "twclid": "23opevjt88psuo13lu8d020qkn",
                        "twite_consent": "granted",
                    },
                }
            },
        }
    )
    headers = {
        b"content-type": b"application/json",
        SIGNATURE.encode(): signature(body, secret=webhook.secrets[0], now=now),
    }
    return WebhookMessage(headers=headers, body=body)
