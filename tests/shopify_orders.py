"""Messages of Shopify, signed with "hush"."""

import base64
import hashlib
import hmac
import json
from typing import Any

from twite.domain.secret import Secret
from twite.formats.shopify.read import ShopifyOptions
from twite.formats.webhook_kind import IncomingWebhook, WebhookMessage
from twite.formats.webhook_kinds import KINDS

SECRET = "hush"
ORDER: dict[str, Any] = {
    "id": 820982911946154508,
    "order_number": 1017,
    "name": "#1017",
    "confirmation_number": "XPAV284CT",
    "test": False,
    "source_name": "web",
    "app_id": 580111,
    "financial_status": "paid",
    "cancelled_at": None,
    "created_at": "2026-11-25T16:15:47-05:00",
    "processed_at": "2026-11-25T16:15:40-05:00",
    "updated_at": "2026-11-25T17:00:00-05:00",
    "currency": "USD",
    "total_price": "403.00",
    "total_price_set": {
        "shop_money": {"amount": "403.00", "currency_code": "USD"},
        "presentment_money": {"amount": "370.76", "currency_code": "EUR"},
    },
    "email": "jon@example.com",
    "contact_email": "jon@example.com",
    "phone": None,
    "customer": {"id": 115310627314723954, "email": "john@example.com", "phone": None},
    "billing_address": {"phone": "020 7946 0958", "country_code": "GB"},
    "browser_ip": "203.0.113.7",
    "client_details": {"browser_ip": "203.0.113.7", "user_agent": "Mozilla/5.0 (X11)"},
    "landing_site": "/?utm_source=x&twclid=23opevjt88psuo13lu8d020qkn",
    "note_attributes": [],
    "payment_gateway_names": ["visa"],
    "line_items": [
        {"product_id": 788032119674292922, "variant_id": 788032119674292900, "sku": "MUG-1",
         "title": "Mug", "price": "199.00", "quantity": 2, "gift_card": False},
        {"product_id": 1, "variant_id": 2, "sku": "", "title": "Pin", "price": 5, "quantity": 1},
    ],
}  # fmt: skip


def shopify(**options: Any) -> IncomingWebhook[ShopifyOptions]:
    """Return a webhook of the source "shop"."""
    return IncomingWebhook(
        name="shop",
        kind=KINDS["shopify"],
        secrets=(Secret(SECRET),),
        source="shop",
        event="purchase",
        options=ShopifyOptions(**options),
    )


def signature_of(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def signed(
    body: bytes, topic: str = "orders/paid", *, secret: str = SECRET, prefix: str = "X-"
) -> dict[str, str]:
    """Return the headers of a delivery."""
    return {
        "Content-Type": "application/json",
        f"{prefix}Shopify-Topic": topic,
        f"{prefix}Shopify-Hmac-SHA256": signature_of(body, secret),
    }


def order_with(**changed: Any) -> bytes:
    return json.dumps(ORDER | changed).encode()


def message(body: bytes, topic: str = "orders/paid", **more: str) -> WebhookMessage:
    headers = signed(body, topic) | more
    return WebhookMessage(
        headers={name.lower().encode(): value.encode() for name, value in headers.items()},
        body=body,
    )
