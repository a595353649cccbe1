"""`POST /v1/sgtm` on a real socket."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from http_stage import Stage
from tag_stage import CLICK, KEY, TagStage, stage_arguments

EMAIL = hashlib.sha256(b"shopper@example.com").hexdigest()


@pytest.fixture
async def shop() -> AsyncIterator[TagStage]:
    said, store = stage_arguments()
    stage = Stage(**said)
    await stage.server.start()
    yield TagStage(stage, store)
    await stage.server.stop()


def a_purchase(**changed: Any) -> bytes:
    event = {
        "event_name": "purchase",
        "transaction_id": "order-1001",
        "email_sha256": EMAIL,
        "twclid": CLICK,
        "value": 49.9,
        "currency": "EUR",
        "conversion_timestamp": 1_764_000_000_000,
    } | changed
    return json.dumps({"version": "1.0.0", "event": event}).encode()


async def test_event_of_a_container_becomes_a_conversion(shop):
    response = await shop.of_server("POST", "/v1/sgtm", a_purchase(), key=KEY)

    assert (response.status, response.json()["accepted"]) == (202, 1)
    [sent] = await shop.sent()
    assert sent["conversion_id"] == "order-1001"
    assert sent["value"] == "49.90"
    assert {"twclid": CLICK} in sent["identifiers"]
    assert {"hashed_email": EMAIL} in sent["identifiers"]


async def test_visitor_data_that_the_container_sends_is_used(shop):
    visitor = {"ip_override": "198.51.100.9", "user_agent": "Mozilla/5.0 Phone"}

    await shop.of_server("POST", "/v1/sgtm", a_purchase(**visitor), key=KEY)

    [sent] = await shop.sent()
    assert {"ip_address": "198.51.100.9", "user_agent": "Mozilla/5.0 Phone"} in sent["identifiers"]


async def test_unmapped_event_is_counted_and_answered_with_success(shop):
    response = await shop.of_server("POST", "/v1/sgtm", a_purchase(event_name="scroll"), key=KEY)

    assert (response.status, response.json()["accepted"], response.json()["ignored"]) == (202, 0, 1)
    assert await shop.ignored() == [("scroll", "not_configured", 1)]


async def test_rejected_conversion_is_422_with_the_reason(shop):
    response = await shop.of_server(
        "POST", "/v1/sgtm", a_purchase(email_sha256="", twclid=""), key=KEY
    )

    assert response.status == 422
    assert response.json()["rejected"][0]["errors"][0]["code"] == "identifier_missing"


@pytest.mark.parametrize(("key", "code"), [(None, "key_missing"), ("another", "key_wrong")])
async def test_request_without_a_source_key_is_401(shop, key, code):
    response = await shop.of_server("POST", "/v1/sgtm", a_purchase(), key=key)

    assert (response.status, response.json()["errors"][0]["code"]) == (401, code)


async def test_malformed_request_is_400_and_another_method_405(shop):
    malformed = await shop.of_server("POST", "/v1/sgtm", b"{}", key=KEY)
    other = await shop.of_server("GET", "/v1/sgtm", key=KEY)

    assert (malformed.status, malformed.json()["errors"][0]["path"]) == (400, "event")
    assert other.status == 405


async def test_pixel_of_another_source_is_rejected(shop):
    body = json.loads(a_purchase()) | {"pixel": "other"}

    response = await shop.of_server("POST", "/v1/sgtm", json.dumps(body).encode(), key=KEY)

    assert (response.status, response.json()["errors"][0]["code"]) == (422, "pixel_unknown")
