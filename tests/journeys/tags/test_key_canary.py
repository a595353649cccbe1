"""A source's key arrives on every route, and appears nowhere afterwards: disk, log, tag, X,
responses.
"""

import base64
import json
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from gateway_processes import KEY, PIXEL, TOKEN, command, wait_for
from test_tag_destination import with_tag
from vendor import Vendor

ENCODED = KEY.replace("-", "%2D")
ODDLY = "".join(f"%{ord(payload):02X}" for payload in KEY)
SHOWN = f"Bearer {KEY}"
PAGE = "https://shop.example/?twclid=23opevjt88psuo13lu8d020qkn"
GA4 = f"v=2&tid=G-1&cid=1.2&en=purchase&ep.transaction_id=%s&epn.value=1&cu=EUR&dl={PAGE}"
EVENT = {
    "event_name": "purchase",
    "transaction_id": "{}",
    "value": 1,
    "currency": "EUR",
    "page_location": PAGE,
}
MP = {"client_id": "1.2", "events": [{"name": "purchase", "params": EVENT}]}
NATIVE = {"event": "purchase", "conversion_id": "native", "email": "a@shop.example"}
WAYS = {
    "native": ("/v1/conversions", NATIVE, SHOWN),
    "sgtm": ("/v1/sgtm", EVENT, SHOWN),
    "stape": (f"/stape-api/{KEY}/v1/twitter/auth-proxy", {}, None),
    "ga4 by query": (f"/g/collect?{GA4 % 1}&api_secret={KEY}", None, None),
    "ga4 by header": (f"/g/collect?{GA4 % 2}", None, SHOWN),
    "mp by query": (f"/mp/collect?measurement_id=G-1&api_secret={KEY}", MP, None),
    "mp by header": ("/mp/collect?measurement_id=G-1", MP, SHOWN),
    "data by query": (f"/data?v=2&api_secret={KEY}", EVENT, None),
    "data by GET": (
        f"/data?v=2&event_name=purchase&transaction_id=g&page_location={PAGE}&api_secret={KEY}",
        "",
        None,
    ),
    "data, encoded": (f"/data?v=2&api%5Fsecret={ENCODED}", EVENT, None),
    "data, twice": (f"/data?v=2&api_secret={KEY}&api_secret={KEY}&other={KEY}", EVENT, None),
    "data by header": ("/data?v=2", EVENT, SHOWN),
}
# Wrong places for a key: in a URL, in a field, in a text, as JSON in a text.
LEAKS = {
    "page_location": f"{PAGE}&api_secret={KEY}",
    "page_referrer": f"https://shop.example/?k={ENCODED}&k2={ODDLY}&k3={quote(ODDLY)}",
    "api_secret": KEY,
    "note": f"sent with {KEY}.",
    "packed": json.dumps({"page": f"https://shop.example/?k={KEY}", "deep": json.dumps([KEY])}),
    "items": [{"item_name": KEY, "price": 1}],
    KEY: KEY,
}
LEAKING = EVENT | LEAKS
LEAKING_MP = {"client_id": KEY, "events": [{"name": "purchase", "params": LEAKING}]}
BROWSER = {"Origin": "https://shop.example", "Referer": LEAKS["page_location"]} | {
    "Cookie": f"last={KEY}; other={ODDLY}", "User-Agent": f"Mozilla/5.0 {KEY}"
}  # fmt: skip
LEAKED = {
    "description": f"sent with {KEY}", "search": ENCODED, "url": LEAKS["page_location"],
    "contents": [{"id": KEY, "name": ODDLY}],
}  # fmt: skip
OF_X = {
    "conversion_time": "2026-11-25T09:00:00.000Z", "event_id": "o8z6k", "conversion_id": "x",
    "description": KEY, "event_source_url": LEAKS["page_location"],
    "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
}  # fmt: skip
OF_PAGE = NATIVE | LEAKED | {"conversion_id": "b"}
X_PATH = f"/12/measurement/conversions/{PIXEL}"
STAPE_PATH = f"/stape-api/{KEY}/v1/twitter/auth-proxy"
TOKENED = {"X-Pixel-Token": TOKEN}
BEARER = {"Authorization": SHOWN}
PACKED = base64.b64encode(json.dumps(LEAKING).encode()).decode()
LINES = (
    f"en=purchase&ep.transaction_id=l1&dl={quote(LEAKS['page_location'])}\r\n"
    f"en=purchase&ep.transaction_id=l2&ep.k={ODDLY}&ep.api_secret={KEY}"
)
FORM = f"v=2&event_name=purchase&dl={quote(LEAKS['page_location'])}&x={ODDLY}"
# (path, body, headers): the body is JSON, or text as it is.
INSIDE = {
    "native": ("/v1/conversions", NATIVE | LEAKED | {"conversion_id": "n2"}, BEARER),
    "native, wrong": ("/v1/conversions", NATIVE | LEAKED | {KEY: KEY, "currency": KEY}, BEARER),
    "native, id": ("/v1/conversions", NATIVE | {"conversion_id": KEY}, BEARER),
    "native, idempotent": ("/v1/conversions", NATIVE, BEARER | {"Idempotency-Key": KEY}),
    "native, no JSON": ("/v1/conversions", f"{{{KEY}", BEARER),
    "sgtm": ("/v1/sgtm", {"event": LEAKING}, BEARER),
    "sgtm, wrong": ("/v1/sgtm", {"event": LEAKING | {"value": KEY}}, BEARER),
    "x": (X_PATH, {"conversions": [OF_X]}, TOKENED),
    "x, wrong": (X_PATH, {"conversions": [OF_X | LEAKS]}, TOKENED),
    "stape": (STAPE_PATH, {"pixel_id": PIXEL, "conversions": [OF_X | {"conversion_id": "s"}]}, {}),
    "beacon": ("/t?s=shop", {"v": 1, "sent": 1, "conversions": [OF_PAGE]}, BROWSER),
    "data": (f"/data?v=2&api_secret={KEY}", LEAKING, {}),
    "data, a list": (f"/data?v=2&api_secret={KEY}", [LEAKING, LEAKING, KEY], {}),
    "data by header": (f"/data?v=2&dl={quote(LEAKS['page_location'])}", LEAKING, BEARER),
    "data of a page": ("/data?v=2", LEAKING, BROWSER),
    "data, packed": (f"/data?v=2&event_name=purchase&dtdc={quote(PACKED)}", "", BROWSER),
    "data, as JSON": (f"/data?v=2&dtcd={quote(json.dumps(LEAKING))}", "", BROWSER),
    "data, a form": ("/data?v=2", FORM,
                     BROWSER | {"Content-Type": "application/x-www-form-urlencoded"}),
    "ga4": (f"/g/collect?{GA4 % 5}%26k={KEY}&ep.x={ODDLY}&uid={KEY}x", "", BROWSER),
    "ga4 lines": ("/g/collect?v=2&tid=G-1&cid=1.2", LINES, BROWSER),
    "ga4 lines by key": (f"/g/collect?v=2&tid=G-1&cid=1.2&api_secret={KEY}",
                         f"en=purchase&ep.transaction_id=l3&ep.k={KEY}&ep.note=a{KEY}b", {}),
    "mp": (f"/mp/collect?measurement_id=G-1&api_secret={KEY}", LEAKING_MP, {}),
    "mp of a page": ("/mp/collect?measurement_id=G-1", LEAKING_MP, BROWSER),
}  # fmt: skip

pytestmark = pytest.mark.journey


def _asked(url, way, path, body, headers):
    """Return the status and the answer."""
    said = body if isinstance(body, str) else json.dumps(body).replace("{}", way)
    given = {"Content-Type": "application/json"} | headers
    asked = Request(url + path, said.encode() or None, given)
    try:
        with urlopen(asked, timeout=20) as answer:
            return answer.status, answer.read()
    except HTTPError as refused:
        return refused.code, refused.read()


def _spelled(kept):
    """Return the spellings of the key that these bytes contain."""
    low = kept.lower()
    return [
        spelling
        for spelling in (KEY, ENCODED, ODDLY, quote(ODDLY))
        if spelling.lower().encode() in low
    ]


def test_source_key_in_a_field_of_a_request_is_neither_stored_nor_passed_on(tmp_path, x_emulator):
    with Vendor(lambda _: 200) as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor, events="[]")
        settings = gateway.config.read_text()
        settings = settings.replace('level = "warning"', 'level = "debug"')
        gateway.config.write_text(
            settings.replace('name = "shop"', 'name = "shop"\norigins = ["https://shop.example"]')
        )
        with gateway:
            came = {way: _asked(gateway.url, way, *request) for way, request in INSIDE.items()}
            gateway.drained()
            wait_for(lambda: vendor.count() >= 16)
            disk = b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*"))
            shown = "".join(
                command(gateway, *args).stdout
                for args in (["rejected"], ["dead", "list", "--json"], ["show", "n2", "--json"])
            )
            gateway.stop()
            log = gateway.log()

    statuses = {way: status for way, (status, _) in came.items() if status not in {200, 202, 204}}
    # These are refused because of other fields, and their rejections are stored, too.
    assert statuses == {
        "native, wrong": 422,
        "native, no JSON": 400,
        "sgtm, wrong": 422,
        "ga4 lines by key": 422,
    }
    kept = {
        "disk": disk + b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*")),
        "log": log.encode(),
        "the tag's vendor": repr(vendor.came).encode(),
        "X": json.dumps(x_emulator.received(bodies=True)).encode(),
        "commands": shown.encode(),
        "answers": b"".join(answer for _, answer in came.values()),
    }
    assert {where: found for where, held in kept.items() if (found := _spelled(held))} == {}
    assert b"***" in disk


def test_no_route_writes_a_source_key_to_disk_or_log_or_passes_it_to_a_tag(tmp_path, x_emulator):
    statuses = {}
    with (
        Vendor(lambda _: 200) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor, events="[]") as gateway,
    ):
        for way, (path, said, shown) in WAYS.items():
            reported = json.dumps(said).replace("{}", way) if said is not None else ""
            body = None if said == "" else reported.encode()
            headers = {"Content-Type": "application/json"} | (
                {"Authorization": shown} if shown else {}
            )
            asked = Request(gateway.url + path, body, headers)
            try:
                with urlopen(asked, timeout=20) as answer:
                    statuses[way] = answer.status
            except OSError as refused:
                statuses[way] = getattr(refused, "code", 0)
        # Two routes refuse the format of the body; the key was valid.
        refused = {way: status for way, status in statuses.items() if status >= 300}
        assert refused == {"sgtm": 400, "stape": 400}
        wait_for(lambda: vendor.count() >= 6)
        gateway.stop()
        log = gateway.log()

    kept = b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*"))
    assert KEY.encode() not in kept
    assert KEY not in log
    assert KEY not in repr(vendor.came)
