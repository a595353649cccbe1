"""A source's key comes in by every way, and is found nowhere after: disk, log, tag."""

import json
from urllib.request import Request, urlopen

import pytest
from house import KEY, wait_for
from test_tag_destination import with_tag
from vendor import Vendor

ENCODED = KEY.replace("-", "%2D")
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

pytestmark = pytest.mark.journey


def test_no_way_in_leaves_a_key_on_the_disk_in_the_log_or_with_a_tag(tmp_path, x_emulator):
    statuses = {}
    with (
        Vendor(lambda _: 200) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor, events="[]") as gateway,
    ):
        for way, (path, said, shown) in WAYS.items():
            told = json.dumps(said).replace("{}", way) if said is not None else ""
            body = None if said == "" else told.encode()
            headers = {"Content-Type": "application/json"} | (
                {"Authorization": shown} if shown else {}
            )
            asked = Request(gateway.url + path, body, headers)
            try:
                with urlopen(asked, timeout=20) as answer:
                    statuses[way] = answer.status
            except OSError as refused:
                statuses[way] = getattr(refused, "code", 0)
        # Two say that the body is not of their shape; their key was good.
        refused = {way: status for way, status in statuses.items() if status >= 300}
        assert refused == {"sgtm": 400, "stape": 400}
        wait_for(lambda: vendor.count() >= 6)
        gateway.stop()
        log = gateway.log()

    kept = b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*"))
    assert KEY.encode() not in kept
    assert KEY not in log
    assert KEY not in repr(vendor.came)
