"""Readers for the tests of the native format and of the X format."""

import hashlib
import json

import pytest

from twite.consent.verdict import judging
from twite.domain.consent import ConsentPolicy
from twite.domain.destination import Destination, PixelToken, Source
from twite.domain.errors import MalformedRequest
from twite.domain.secret import Secret
from twite.formats.native import read as native
from twite.formats.x_api import read as x_api

NOW = 1_795_600_000_000
CLICK = "23opevjt88psuo13lu8d020qkn"
DESTINATIONS = {
    pixel: Destination(
        pixel=pixel,
        credentials=PixelToken(token=Secret("t")),
        events={"purchase": "o8z6k", "sign_up": "o8z6m"},
    )
    for pixel in ("o8z6j", "p2", "closed")
}

FULL = {
    "event": "purchase",
    "conversion_id": "order-1001",
    "time": "2026-11-24T10:00:00Z",
    "value": "49.90",
    "currency": "EUR",
    "email": "Shopper@Example.com ",
    "phone": "+44 20 7946 0958",
    "twclid": CLICK,
    "ip": "203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "url": "https://shop.example/thanks?order=1001",
    "contents": [
        {
            "id": "SKU-1",
            "name": "Mug",
            "price": "24.95",
            "quantity": 2,
            "group": "mugs",
            "type": "kitchen",
        }
    ],
    "description": "Two mugs",
    "search": "mug",
    "consent": {"ad_storage": "granted"},
    "pixel": "o8z6j",
}


def a_source(*, region="GB", consent_required=False, name="shop"):
    return Source(
        name=name,
        key=None,
        pixel="o8z6j",
        pixels=frozenset({"o8z6j", "p2", "gone"}),
        region=region,
        consent=ConsentPolicy(required=consent_required),
    )


def read_bytes(body, *, source=None, now=NOW, salt=b"salt", idempotency_key=None):
    source = source or a_source()
    return native.read(
        body,
        source=source,
        destinations=DESTINATIONS,
        now=now,
        salt=salt,
        idempotency_key=idempotency_key,
        judge=judging(policy=source.consent, now=now),
    )


def read(source=None, now=NOW, idempotency_key=None, **fields):
    """Read one conversion: by default a purchase with a click id."""
    body = {"event": "purchase", "conversion_id": "order-1", "twclid": CLICK} | fields
    given = json.dumps({name: value for name, value in body.items() if value is not ...}).encode()
    return read_bytes(given, source=source, now=now, idempotency_key=idempotency_key).results[0]


def read_x(body, *, pixel="o8z6j"):
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    return x_api.read(given, destination=DESTINATIONS[pixel], salt=b"salt")


def x_conversion(**fields):
    body = {
        "conversion_time": "2026-11-24T10:00:00.000Z",
        "event_id": "o8z6k",
        "conversion_id": "order-1",
        "identifiers": [{"twclid": CLICK}],
    } | fields
    return {name: value for name, value in body.items() if value is not ...}


def read_one_x(**fields):
    return read_x({"conversions": [x_conversion(**fields)]})


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def codes(result):
    return [(fault.path, fault.code) for fault in result.faults]


def refusal(body):
    with pytest.raises(MalformedRequest) as caught:
        read_bytes(body)
    return caught.value.code, caught.value.path, caught.value.message
