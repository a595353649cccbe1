"""Persons and keys arrive in calls of Segment's API, and appear nowhere afterwards."""

import base64
import json
import urllib.error
import urllib.request

import pytest
from gateway_processes import KEY, Gateway, command

from canaries import EMAIL, NAME, SPELLINGS, found_in

PHONE = SPELLINGS["phone, blanks"]
PAGE = "https://shop.example"
BASIC = base64.b64encode(f"{KEY}:".encode()).decode()
ORIGINS = f'origins = ["{PAGE}"]\nwrite_key = "shop-pages"\n'
CALL = {
    "type": "track",
    "event": "Order Completed",
    "userId": EMAIL,
    "anonymousId": PHONE,
    "properties": {
        "order_id": "O-1", "total": 49.9, "currency": "EUR", "email": EMAIL, "phone": PHONE,
        "first_name": NAME, "description": f"call {PHONE}", "query": EMAIL, "coupon": EMAIL,
        "shipping": {"name": NAME, "phone": PHONE}, EMAIL: EMAIL,
        "products": [{"sku": EMAIL, "name": f"gift for {EMAIL}", "price": EMAIL, NAME: PHONE}],
    },
    "context": {
        "ip": "203.0.113.9", "userAgent": f"robot ({EMAIL})",
        "traits": {"email": EMAIL, "phone": PHONE, "name": NAME},
        "page": {
            "url": f"{PAGE}/thanks/{EMAIL}?mail={EMAIL}#{EMAIL}", "search": f"?mail={EMAIL}",
            "referrer": f"{PAGE}/?phone={PHONE}", "title": f"Thanks, {NAME}",
        },
        "campaign": {"name": EMAIL, "twclid": EMAIL},
    },
}  # fmt: skip
PERSON = {"type": "identify", "userId": EMAIL, "traits": {"email": EMAIL, "name": NAME}}

pytestmark = pytest.mark.journey


def spelled(place, text):
    """Return a call with a spelling of a person at a place."""
    call = json.loads(json.dumps(CALL))
    if place == "event":
        return call | {"event": text}
    call["properties"]["order_id"] = f"{place}-{abs(hash(text))}"
    if place == "product":
        call["properties"]["products"] = [{"sku": "S", "name": text}]
    else:
        call["properties"][place] = text
    return call


def ask(gateway, path, body, **headers):
    request = urllib.request.Request(gateway.url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def everything_of(gateway, emulator, said):
    """Return what exists after a run, by its place; the settings contain the key."""
    outputs = [
        command(gateway, *words.split())
        for words in ("show O-1", "show O-1 --json", "rejected", "accounting", "check")
    ]
    gateway.kill()
    files = [path for path in gateway.folder.rglob("*") if path.is_file()]
    assert len(files) >= 3
    return {
        **{path.name: path.read_bytes() for path in files if path != gateway.config},
        "answers": json.dumps(said).encode(),
        "outputs": "".join(output.stdout + output.stderr for output in outputs).encode(),
        "log": gateway.log().encode(),
        "what X got": json.dumps(emulator.received(bodies=True)).encode(),
    }


def test_calls_of_segments_api_leave_no_person_and_no_key(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)
    gateway.config.write_text(gateway.config.read_text() + ORIGINS)
    every = [
        spelled(place, text)
        for text in SPELLINGS.values()
        for place in ("event", "product", "description", "query")
    ]
    with gateway:
        said = [
            ask(gateway, "/v1/batch", {"batch": [CALL, PERSON, *every], "writeKey": KEY}),
            ask(gateway, f"/v1/track?writeKey={KEY}", CALL | {"note": KEY}),
            ask(gateway, "/v1/t", CALL | {"writeKey": KEY, "x": KEY}, Origin=PAGE),
            ask(gateway, "/v1/t", CALL, Origin=PAGE, Authorization=f"Basic {BASIC}"),
            ask(gateway, "/v1/t", {"note": BASIC}, Origin=PAGE, Authorization=f"Basic {BASIC}"),
            ask(gateway, "/v1/track", CALL | {"properties": EMAIL, "writeKey": KEY}),
            ask(gateway, "/v1/batch", {"batch": [EMAIL, KEY], "writeKey": KEY}),
            ask(gateway, "/v1/batch", {"batch": EMAIL, "writeKey": KEY}),
            ask(gateway, "/v1/track", CALL | {"timestamp": EMAIL, "writeKey": KEY}),
            ask(gateway, "/v1/track", CALL | {"messageId": EMAIL, "event": EMAIL, "writeKey": KEY}),
            ask(gateway, "/v1/track", {"writeKey": EMAIL}),
        ]
        gateway.drained()
        everything = everything_of(gateway, x_emulator, said)

    assert [status for status, _ in said] == [200, 200, 200, 200, 200, 200, 200, 400, 200, 200, 401]
    persons = {name: found for name, held in everything.items() if (found := found_in(held))}
    assert persons == {}
    keys = [
        name for name, held in everything.items() if KEY.encode() in held or BASIC.encode() in held
    ]
    assert keys == []
    assert b"key_in_page" in everything["twite.db"] + everything["twite.db-wal"]
    assert b"pages sent the secret key of the source shop" in everything["outputs"]
