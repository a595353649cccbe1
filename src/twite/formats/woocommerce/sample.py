"""A signed message as WooCommerce sends it, for tests, `twite webhook test` and the console."""

import msgspec

from twite.domain.times import spelled
from twite.formats.webhook_kind import WebhookMessage, signed_base64
from twite.formats.woocommerce.read import (
    CLICK,
    CONSENT,
    SIGNATURE,
    TOPIC,
    UPDATED,
    WooCommerceWebhook,
)


def signed_order(
    order: bytes, webhook: WooCommerceWebhook, *, topic: str = UPDATED
) -> WebhookMessage:
    """Return the message that the shop would send about this order."""
    headers = {
        b"content-type": b"application/json",
        TOPIC.encode(): topic.encode(),
        SIGNATURE.encode(): signed_base64(webhook.secrets[0], order),
    }
    return WebhookMessage(headers=headers, body=order)


def sample(webhook: WooCommerceWebhook, now: int, url: str) -> WebhookMessage:
    """Return an order of two mugs, paid now."""
    del url  # is not signed
    moment = spelled(now)[:19]
    order = {
        "id": 1017,
        "number": "1017",
        "order_key": "wc_order_TwiteSample",
        "status": webhook.options.statuses[0],
        "created_via": "checkout",
        "currency": "EUR",
        "total": "49.90",
        "date_created_gmt": moment,
        "date_modified_gmt": moment,
        "date_paid_gmt": moment,
        "billing": {"email": "shopper@example.com", "country": "GB"},
        "meta_data": [
            {"id": 1, "key": CLICK, "value": "23opevjt88psuo13lu8d020qkn"},
            {"id": 2, "key": CONSENT, "value": "granted"},
        ],
        "line_items": [
            {"sku": "MUG-1", "product_id": 57, "name": "Mug", "quantity": 2, "price": 24.95}
        ],
    }
    return signed_order(msgspec.json.encode(order), webhook)
