"""Typical requests are answered without a task, exactly like on the general route."""

import gzip
import json
import re

import msgspec
import pytest
from direct_stage import MIXED, ONE, ORDER, PING, Shop, both, chunked, post, say_whole
from http_stage import KEY

from raw_http import parse_response
from twite.domain.submission import Endpoint
from twite.gateway.ports.events import TurnedAway
from twite.http.direct import DirectIntake
from twite.http.route import SMALL_BODY
from twite.http.route_table import ROUTES

USUAL = {
    "one": post(),
    "several": post(MIXED),
    "rejected": post(json.dumps(ORDER | {"event": "x"}).encode()),
    "not JSON": post(b'{"event": '),
    "not UTF-8": post(ONE.replace(b"SKU-1", b"\xff")),
    "half a character": post(ONE.replace(b"SKU-1", b"\\ud800")),
    "a list": post(b"[]"),
    "empty": post(b""),
    "no conversions": post(b'{"conversions": []}'),
    "too many": post(json.dumps({"conversions": [{}] * 1_001}).encode()),
    "too deep": post(b'{"value":' + b"[" * 5_000),
    "a name": post(ONE, "Idempotency-Key: a"),
    "a name with the key": post(ONE, f"Idempotency-Key: {KEY}"),
    "the source key within": post(ONE.replace(b"SKU-1", KEY.encode())),
    "with a charset": post(kind="content-type: Application/JSON; charset=utf-8\r\n"),
    "kept alive": post(keep=True) + post(MIXED),
    "two names": post(ONE, "Idempotency-Key: a", keep=True)
    + post(ONE, "Idempotency-Key: a", keep=True)
    + post(MIXED, "Idempotency-Key: a"),
    "with unknown headers": post(ONE, "X-Forwarded-For: 1.2.3.4", "TE: trailers"),
    "an offer of another protocol": post(ONE, "Upgrade: h2c", "Connection: upgrade", keep=True)
    + post(),
    "large": post(MIXED + b" " * 300_000),
}
UNUSUAL = {
    "wrong key": post(key="b-source-key"),
    "no key": post(key=None),
    "not a bearer": post(ONE, "Authorization: Basic x", key=None),
    "no length": post(length=False),
    "chunks": chunked(ONE),
    "compressed": post(gzip.compress(ONE), "Content-Encoding: gzip"),
    "not compressed": post(ONE, "Content-Encoding: gzip"),
    "as text": post(kind="Content-Type: text/plain\r\n"),
    "without a type": post(kind=""),
    "a wrong name": post(ONE, "Idempotency-Key: \x07"),
    "an empty name": post(ONE, "Idempotency-Key: "),
    "with a query": post(target="/v1/conversions?a=1"),
    "another spelling": post(target="/v1/%63onversions"),
    "another path": post(target="/v1/conversions/"),
    "another method": post(method="PUT"),
    "old HTTP": post(version="1.0"),
    "to be continued": post(ONE, "Expect: 100-continue"),
    "too large": post(b" " * 1_048_577 + ONE),
    "a wrong length": post(ONE, "Content-Length: 1"),
    "malformed": post().replace(b"HTTP/1.1", b"HTTP/9.1"),
}
AS_X = post(
    b'{"conversions": [{"event_id": "o8z6k", "conversion_time": "2026-11-24T10:00:00.000Z",'
    b' "identifiers": [{"twclid": "26l6412g5p4iyj65a2oic2ayg2"}], "conversion_id": "x-1"}]}',
    "X-Pixel-Token: emulator-pixel-token-o8z6j",
    target="/12/measurement/conversions/o8z6j", key=None, keep=True,
)  # fmt: skip
BEACON = post(target="/t", keep=True, key=None)
CASES = USUAL | UNUSUAL | {
    "sent ahead": post(keep=True) + PING + post(b"{", keep=True) + post(MIXED, keep=True) + post(),
    "sent ahead of chunks": post(keep=True) + chunked(ONE),
    "sent ahead of other routes": post(keep=True) + AS_X + BEACON + post(MIXED, keep=True) + AS_X
    + post(),
}  # fmt: skip


@pytest.mark.parametrize("sent", CASES.values(), ids=CASES)
async def test_request_is_answered_and_stored_like_on_the_general_route(tmp_path, sent):
    async def play(shop):
        return [await say_whole(shop, sent), await say_whole(shop, sent)]

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert direct[0][0]


@pytest.mark.parametrize("name", [*USUAL, *UNUSUAL])
async def test_only_typical_requests_use_the_direct_route(tmp_path, monkeypatch, name):
    taken = []
    submit = DirectIntake.submit
    monkeypatch.setattr(
        DirectIntake, "submit", lambda self, request: (taken.append(1), submit(self, request))
    )
    shop = Shop(tmp_path, is_direct=True)

    async with shop.running():
        await say_whole(shop, CASES[name])

    assert bool(taken) == (name in USUAL)


async def test_direct_route_uses_its_row_of_the_route_table(tmp_path, monkeypatch):
    taken = []
    submit = DirectIntake.submit
    monkeypatch.setattr(
        DirectIntake, "submit", lambda self, request: (taken.append(1), submit(self, request))
    )
    (row,) = [route for route in ROUTES if route.path == "/v1/conversions"]
    row = msgspec.structs.replace(
        row, path="/orders", label="/orders", body=SMALL_BODY, endpoint=Endpoint.SGTM
    )
    shop = Shop(tmp_path, is_direct=True, routes=[row])

    async with shop.running():
        statuses = [
            parse_response(await say_whole(shop, post(body, target=target))).status
            for target, body in [
                ("/orders", ONE),
                ("/v1/conversions", ONE),
                ("/orders", ONE + b" " * SMALL_BODY),
                ("/orders", b"["),
            ]
        ]

    assert statuses == [202, 404, 413, 400]
    assert len(taken) == 2
    assert [seen.endpoint for seen in shop.notices.seen if isinstance(seen, TurnedAway)] == [
        "sgtm", "sgtm",
    ]  # fmt: skip


async def test_without_its_row_in_the_route_table_no_request_is_handled_directly(tmp_path):
    shop = Shop(tmp_path, is_direct=True, routes=[])

    async with shop.running():
        answer = parse_response(await say_whole(shop, post()))

    assert answer.status == 404
    assert shop.collector.direct is None


async def test_invalid_bytes_after_a_request_are_refused_after_its_response(tmp_path):
    async def play(shop):
        return await say_whole(shop, post(keep=True) + b"\x00\x01\r\n\r\n")

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", direct[0])] == [202, 400]
