"""Twite's own tag in Twite's engine, with its requests sent to a real gateway."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from gateway_processes import KEY, Gateway

from twite.domain.incoming_request import IncomingRequest
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.effects import HttpEffect
from twite.tags.template.sandbox import Call, EffectAnswer, RunResult, Turn
from twite.tags.template.template import read_template

ROOT = Path(__file__).parents[3]
PUBLIC = "https://t.shop.example"
EMAIL = "e586883b2b4faf78d48300a79e0e15138d664cdf796ffb86e533170a9893eda8"
PHONE = "40d3f4e02db27d66cf4cfdda506c2c945f115a7955cc8491dda98ce5beabcda0"
CLICK = "23opevjt88psuo13lu8d020qkn"

pytestmark = pytest.mark.journey


def performed(request: HttpEffect, gateway: Gateway) -> EffectAnswer:
    """Send the request, with its first-party host resolved to the gateway."""
    assert request.url.startswith(f"{PUBLIC}/")
    said = urllib.request.Request(
        gateway.url + request.url.removeprefix(PUBLIC),
        data=(request.body or "").encode(),
        headers=request.headers,
        method=request.method,
    )
    try:
        with urllib.request.urlopen(said, timeout=30) as answer:
            return EffectAnswer(id=request.id, status=answer.status, body=answer.read().decode())
    except urllib.error.HTTPError as error:
        return EffectAnswer(id=request.id, status=error.code, body=error.read().decode())


def fired(gateway: Gateway, event: dict[str, object], *, key: str = KEY) -> Turn:
    """Run the tag for an event, to its end."""
    engine = QuickJsEngine(read_template((ROOT / "sgtm/twite-tag.tpl").read_bytes()))
    now = time.time_ns() // 1_000_000
    call = Call(
        fields={"gatewayUrl": PUBLIC, "sourceKey": key, "eventMode": "own", "useCookie": True},
        event=event,
        request=IncomingRequest(headers=(("cookie", f"twclid={CLICK}"),)),
        now=now,
    )
    turn = engine.start(call)
    while turn.waiting:
        asked = [effect for effect in turn.effects if isinstance(effect, HttpEffect)]
        answers = tuple(performed(request, gateway) for request in asked)
        turn = engine.resume(turn.run, answers, now=now)
    return turn


def bought(transaction: str) -> dict[str, object]:
    return {
        "event_name": "purchase",
        "transaction_id": transaction,
        "value": 49.9,
        "currency": "EUR",
        "user_data": {"email_address": " Test-Email@test.com", "phone_number": "+1 (415) 555-0100"},
        "items": [{"item_id": "SKU-1", "item_name": "Mug", "price": 24.95, "quantity": 2}],
        "page_location": "https://shop.example/thanks?email=someone%40example.com",
    }


def test_event_of_the_server_container_reaches_x_hashed(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        turn = fired(gateway, bought("order-1"))
        balance = gateway.drained()

    assert (turn.outcome, turn.error) == (RunResult.SUCCESS, None)
    assert (balance["delivered"], balance["balance"]) == (1, 0)
    [entry] = x_emulator.received(bodies=True)["entries"]
    [conversion] = json.loads(entry["body"])["conversions"]
    assert conversion["event_id"] == "o8z6k"
    assert conversion["conversion_id"] == "order-1"
    assert conversion["value"] == "49.90"
    assert {"twclid": CLICK} in conversion["identifiers"]
    assert {"hashed_email": EMAIL} in conversion["identifiers"]
    assert {"hashed_phone_number": PHONE} in conversion["identifiers"]
    assert "someone" not in entry["body"]


def test_event_for_which_the_tag_ran_twice_is_counted_once(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        outcomes = [fired(gateway, bought("order-1")).outcome for _ in range(2)]
        balance = gateway.drained()

    assert outcomes == [RunResult.SUCCESS, RunResult.SUCCESS]
    assert (balance["delivered"], balance["duplicate"]) == (1, 1)


def test_tag_with_a_wrong_source_key_fails(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        turn = fired(gateway, bought("order-1"), key="not-the-key-of-any-source")

    assert turn.outcome is RunResult.FAILURE
