"""Stripe and WooCommerce as senders: signed requests over a socket, signed independently."""

import base64
import hmac
import json
import socket
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from gateway_processes import Gateway

STRIPE_SECRET = "whsec_canary_stripe_secret"
WOO_SECRET = "canary woo secret&key"
# Another source, so that a test sees what each webhook sends.
SETTINGS = f"""
[[webhook]]
name = "stripe"
kind = "stripe"
secret = "{STRIPE_SECRET}"
source = "shop"
[[webhook]]
name = "woo"
kind = "woocommerce"
secret = "{WOO_SECRET}"
paid_since = "2026-01-01T00:00:00Z"
source = "shop"
"""


def with_webhooks(gateway: Gateway, more: str = "") -> Gateway:
    """Add the webhooks to the settings; `more` are further keys of the one of WooCommerce."""
    gateway.config.write_text(gateway.config.read_text() + SETTINGS + more)
    return gateway


def stripe(gateway: Gateway, event: object, *, at: float | None = None, secret=STRIPE_SECRET):
    """Send an event as Stripe does; return the status and the JSON of the answer."""
    body = json.dumps(event).encode()
    moment = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, "sha256").hexdigest()
    headers = {"Stripe-Signature": f"t={moment},v1={'0' * 64},v1={digest},v0={digest}"}
    return say(gateway, "/webhooks/stripe", body, headers)


def woo(gateway: Gateway, order: object, *, topic="order.updated", secret=WOO_SECRET):
    """Send an order as WooCommerce does, by HTTP/1.0."""
    body = json.dumps(order).encode()
    signed = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    headers = {
        "User-Agent": "WooCommerce/11.0 Hookshot (WordPress/7.0)",
        "X-WC-Webhook-Source": "https://shop.example/",
        "X-WC-Webhook-Topic": topic,
        "X-WC-Webhook-Signature": signed,
        "X-WC-Webhook-ID": "7",
        "X-WC-Webhook-Delivery-ID": "9f1a2b",
    }
    return say(gateway, "/webhooks/woo", body, headers, version="1.0")


def ping(gateway: Gateway):
    """Try the URL, as WooCommerce does when an admin saves the webhook."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return say(gateway, "/webhooks/woo", b"webhook_id=7", headers, version="1.0")


def say(gateway: Gateway, path: str, body: bytes, headers: dict[str, str], *, version="1.1"):
    """Send a request; return the status and the JSON of the answer."""
    address = urlsplit(gateway.url)
    host, port = str(address.hostname), int(address.port or 80)
    lines = {"Host": "t.shop.example", "Connection": "close", "Content-Type": "application/json"}
    lines |= {"Content-Length": str(len(body))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    received = b""
    with socket.create_connection((host, port), timeout=30) as line:
        line.sendall(f"POST {path} HTTP/{version}\r\n{head}\r\n".encode("latin-1") + body)
        while part := line.recv(65_536):
            received += part
    top, _, answer = received.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(answer or b"{}")


def utc(ago: float = 0) -> str:
    """Return a time as WooCommerce writes it: in UTC, without a zone."""
    return datetime.fromtimestamp(time.time() - ago, UTC).strftime("%Y-%m-%dT%H:%M:%S")
