"""A signed delivery as Shopify sends it, for tests, `twite webhook test` and the console."""

from typing import Final

import msgspec

from twite.domain.times import spelled
from twite.formats.shopify.read import CLICK_ATTRIBUTE, CONSENT_ATTRIBUTE, ShopifyWebhook
from twite.formats.webhook_kind import WebhookMessage, signed_base64

_MONEY: Final = {"amount": "49.90", "currency_code": "EUR"}


def sample(webhook: ShopifyWebhook, now: int, url: str) -> WebhookMessage:
    """Return an order of one mug, paid now."""
    del url  # is not signed
    order = {
        "id": 820982911946154508,
        "order_number": 1017,
        "name": "#1017",
        "confirmation_number": "XPAV284CT",
        "test": False,
        "source_name": "web",
        "financial_status": "paid",
        "processed_at": spelled(now),
        "updated_at": spelled(now),
        "currency": "EUR",
        "total_price": "49.90",
        "total_price_set": {"shop_money": _MONEY, "presentment_money": _MONEY},
        "email": "shopper@example.com",
        "landing_site": "/?utm_source=x",
        "note_attributes": [
            {"name": CLICK_ATTRIBUTE, "value": "23opevjt88psuo13lu8d020qkn"},
            {"name": CONSENT_ATTRIBUTE, "value": "granted"},
        ],
        "line_items": [
            {"sku": "MUG-1", "product_id": 632910392, "title": "Mug", "price": "24.95",
             "quantity": 2}
        ],
    }  # fmt: skip
    body = msgspec.json.encode(order)
    headers = {
        b"content-type": b"application/json",
        b"x-shopify-topic": webhook.options.topic.encode(),
        b"x-shopify-hmac-sha256": signed_base64(webhook.secrets[0], body),
    }
    return WebhookMessage(headers=headers, body=body)
