"""Segment's API on a real socket: keys, origins, limits, responses."""

import asyncio
import base64
import gzip
import json
from decimal import Decimal

import pytest
from tag_stage import CLICK, KEY, PAGE, a_shop

from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.secret import Secret
from twite.formats.segment.read import CALLS
from twite.gateway.ports.events import TurnedAway
from twite.http import HttpLimits
from twite.http.authorization import basic_user

PUBLIC = "shop-pages"
OTHER = "https://other.example"
ORDER = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m-1",
    "userId": "user-7",
    "properties": {"order_id": "O-1", "total": 49.9, "currency": "EUR"},
    "context": {"ip": "198.51.100.9", "userAgent": "UA/9", "traits": {"email": "a@b.example"}},
}
SUCCESS = (200, b'{"success":true}')


def basic(key):
    return {"Authorization": f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"}


def encoded(call=ORDER, **said):
    return json.dumps(call | said).encode()


@pytest.fixture
async def api(make_api):
    return await make_api(a_shop(write_key=PUBLIC))


def outcome(response):
    return response.status, response.json().get("code")


@pytest.mark.parametrize("prefix", ["/v1/", "/segment/v1/"])
@pytest.mark.parametrize("path", [*CALLS, *CALLS.values()])
async def test_every_call_is_answered_on_its_paths(api, prefix, path):
    body = encoded(batch=[ORDER])

    response = await api.of_server("POST", prefix + path, body, headers=basic(KEY))

    assert (response.status, response.body) == SUCCESS
    assert response.headers["content-type"] == "application/json"
    sends = path in {"track", "t", "batch", "b"}
    assert [sent["conversion_id"] for sent in await api.sent()] == ["O-1"] * sends


def test_header_of_the_sdks_names_the_key_as_user():
    header = b"Basic dHdpdGVfd3JpdGVfa2V5Og=="

    assert basic_user({b"authorization": header}) == b"twite_write_key"
    assert basic("twite_write_key") == {"Authorization": header.decode()}


@pytest.mark.parametrize(
    ("path", "headers", "key"),
    [
        ("/v1/track", basic(KEY), None),
        ("/v1/track", {"Authorization": f"Bearer {KEY}"}, None),
        (f"/v1/track?writeKey={KEY}", {}, None),
        ("/v1/track", {}, KEY),
    ],
)
async def test_server_is_recognized_by_its_key_in_four_places(api, path, headers, key):
    body = encoded(**({} if key is None else {"writeKey": key}))

    response = await api.of_server("POST", path, body, headers=headers)

    assert (response.status, response.body) == SUCCESS
    (sent,) = await api.sent()
    assert {"ip_address": "198.51.100.9", "user_agent": "UA/9"} in sent["identifiers"]


@pytest.mark.parametrize("encoding", ["gzip", None])
@pytest.mark.parametrize("place", ["head", "body"])
async def test_compressed_body_is_read_with_the_key_in_either_place(api, encoding, place):
    body = encoded({"batch": [ORDER], "writeKey": KEY})
    headers = basic(KEY) if place == "head" else {}
    if encoding:
        body, headers = gzip.compress(body), headers | {"Content-Encoding": encoding}

    response = await api.of_server("POST", "/v1/batch", body, headers=headers)

    assert (response.status, response.body) == SUCCESS
    assert len(await api.sent()) == 1


@pytest.mark.parametrize(
    ("headers", "key", "expected"),
    [
        ({}, None, (401, "key_missing")),
        ({}, "wrong", (401, "key_wrong")),
        (basic("wrong"), None, (401, "key_wrong")),
        (basic("wrong"), KEY, (401, "key_wrong")),
        ({"Authorization": "Basic !"}, None, (401, "key_missing")),
        (basic(PUBLIC), None, (403, "origin_missing")),
        ({}, PUBLIC, (403, "origin_missing")),
    ],
)
async def test_server_without_the_secret_key_is_refused(api, headers, key, expected):
    response = await api.of_server("POST", "/v1/track", encoded(writeKey=key), headers=headers)

    assert outcome(response) == expected
    assert response.json().keys() == {"code", "message"}
    assert await api.sent() == []


@pytest.mark.parametrize("key", [None, PUBLIC, KEY])
@pytest.mark.parametrize("place", ["head", "body"])
async def test_request_with_an_origin_is_judged_as_a_pages_with_any_key(api, key, place):
    headers = basic(key) if key and place == "head" else {}
    body = encoded(writeKey=key if place == "body" else None)

    response = await api.of_page("POST", "/v1/t", body, headers=headers)

    assert (response.status, response.body) == SUCCESS
    assert response.headers["access-control-allow-origin"] == PAGE
    (sent,) = await api.sent()
    assert {
        "ip_address": "203.0.113.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
    } in sent["identifiers"]


@pytest.mark.parametrize("key", [None, PUBLIC, KEY])
async def test_page_of_another_origin_is_refused_with_any_key(api, key):
    headers = {} if key is None else basic(key)

    response = await api.of_page("POST", "/v1/t", encoded(), origin=OTHER, headers=headers)

    assert outcome(response) == (403, "origin_wrong")
    assert await api.sent() == []


async def test_page_of_a_source_without_origins_is_refused(make_api):
    api = await make_api(a_shop(origins=()))

    response = await api.of_page("POST", "/v1/t", encoded(), headers=basic(KEY))

    assert outcome(response) == (403, "origin_wrong")
    assert "write_key" in response.json()["message"]


async def test_page_may_read_a_refusal_so_that_the_sdk_does_not_retry(api):
    response = await api.of_page("POST", "/v1/t", encoded(), headers=basic("wrong"))

    assert outcome(response) == (401, "key_wrong")
    assert response.headers["access-control-allow-origin"] == PAGE


async def test_key_tells_sources_with_one_origin_apart(make_api):
    api = await make_api(
        a_shop(write_key=PUBLIC),
        a_shop(name="blog", key=Secret("blogs-key"), write_key="blog-pages"),
    )

    unnamed = await api.of_page("POST", "/v1/t", encoded())
    named = await api.of_page("POST", "/v1/t", encoded(writeKey="blog-pages"))
    query = await api.of_page("POST", "/v1/t?s=blog", encoded(messageId="m-2"))

    assert outcome(unnamed) == (403, "source_unclear")
    assert [named.status, query.status] == [200, 200]
    assert [kept.source for kept in api.store.kept] == ["blog", "blog"]


@pytest.mark.parametrize(("key", "counted"), [(KEY, True), (PUBLIC, False), (None, False)])
async def test_secret_key_in_the_request_of_a_page_is_counted(api, key, counted):
    await api.of_page("POST", "/v1/i", encoded(writeKey=key))

    found = [entry for entry in await api.ignored() if entry[1] == "key_in_page"]
    assert found == [("source key", "key_in_page", 1)] * counted


async def test_secret_key_is_stored_nowhere(api):
    body = encoded(writeKey=KEY, properties=ORDER["properties"] | {"note": KEY, "sku": KEY})

    await api.of_page("POST", f"/v1/t?writeKey={KEY}", body)
    await api.of_server("POST", "/v1/t", body)

    assert KEY.encode() not in b"".join(kept.body for kept in api.store.kept)
    assert KEY not in json.dumps(await api.sent())


async def test_write_key_opens_no_other_route(api):
    key = {"Authorization": f"Bearer {PUBLIC}"}

    statuses = [
        (await api.stage.ask(method, path, b"{}", key=None, headers=key)).status
        for method, path in [
            ("POST", "/v1/conversions"),
            ("GET", "/v1/accounting"),
            ("GET", "/v1/rejections"),
            ("POST", "/v1/sgtm"),
            ("POST", f"/stape-api/{PUBLIC}/v1/twitter/auth-proxy"),
        ]
    ]

    assert set(statuses) == {401}


async def test_limit_of_amounts_applies_to_pages(make_api):
    api = await make_api(a_shop(write_key=PUBLIC, browser_value_limit=Decimal(20)))

    await api.of_page("POST", "/v1/t", encoded(writeKey=KEY))
    await api.of_server("POST", "/v1/t", encoded(properties=ORDER["properties"]), key=KEY)

    assert ("Order Completed", "value_limit", 1) in await api.ignored()
    assert len(await api.sent()) == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/json", None])
async def test_body_may_have_any_content_type(api, kind):
    headers = basic(PUBLIC) | ({} if kind is None else {"Content-Type": kind})

    response = await api.of_page("POST", "/v1/t", encoded(), headers=headers)

    assert (response.status, response.body) == SUCCESS


async def test_preflight_allows_the_headers_of_the_sdks(api):
    answers = [
        await api.of_page("OPTIONS", "/v1/t", headers={"Access-Control-Request-Headers": asked})
        for asked in ("authorization,rsa-retry-attempt,sentat", "a:b", "")
    ]
    refused = await api.of_page("OPTIONS", "/v1/t", origin=OTHER)

    usual = "authorization,content-type,x-retry-count,anonymousid"
    assert [answer.headers["access-control-allow-headers"] for answer in answers] == [
        "authorization,rsa-retry-attempt,sentat",
        usual,
        usual,
    ]
    assert refused.status == 403


async def test_bad_call_in_a_batch_is_a_visible_reject(api):
    body = encoded({"batch": [ORDER, 5, ORDER | {"properties": {"total": "x", "currency": "EUR"}}]})

    response = await api.of_server("POST", "/v1/batch", body, key=KEY)

    assert (response.status, response.body) == SUCCESS
    assert [sent["conversion_id"] for sent in await api.sent()] == ["O-1"]
    (kept,) = api.store.kept
    assert [refusal.errors[0].path for refusal in kept.refusals] == ["batch[1]", "value"]


@pytest.mark.parametrize("value", [b"NaN", b"-Infinity", b'"\\ud800"', b'"\xff"'])
async def test_value_that_is_not_json_does_not_hide_the_key_in_the_body(api, value):
    body = encoded({"batch": [ORDER], "writeKey": KEY, "note": 7}).replace(b"7}", value + b"}")

    response = await api.of_server("POST", "/v1/batch", body)

    assert (response.status, response.body) == SUCCESS
    assert len(await api.sent()) == 1


async def test_only_calls_that_are_all_rejected_are_answered_with_success(api):
    response = await api.of_server("POST", "/v1/batch", encoded({"batch": [5]}), key=KEY)

    assert (response.status, response.body) == SUCCESS


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"batch": 5}', b""])
async def test_body_without_calls_is_refused_and_reported(api, body):
    response = await api.of_server("POST", "/v1/batch", body, key=KEY)

    assert response.status == 400
    assert response.json().keys() == {"code", "message"}
    (notice,) = [notice for notice in api.stage.notices.seen if isinstance(notice, TurnedAway)]
    assert (notice.source, notice.endpoint) == ("shop", "segment")


@pytest.mark.parametrize("place", ["head", "body"])
@pytest.mark.parametrize("encoding", ["gzip", None])
async def test_batch_above_the_limit_of_bodies_is_refused(make_api, place, encoding):
    api = await make_api(limits=HttpLimits(body=100_000))
    body = encoded({"batch": [ORDER], "writeKey": KEY, "note": " " * 100_000})
    headers = basic(KEY) if place == "head" else {}
    if encoding:
        body, headers = gzip.compress(body), headers | {"Content-Encoding": encoding}

    response = await api.of_server("POST", "/v1/batch", body, headers=headers)

    assert outcome(response) == (413, "body_too_large")


async def test_largest_batch_of_segments_sdks_is_accepted(api):
    calls = [
        ORDER | {"properties": {"order_id": f"O-{n}", "note": "x" * 30_000}} for n in range(16)
    ]
    body = encoded({"batch": calls, "writeKey": KEY})

    response = await api.of_server("POST", "/v1/batch", body)

    assert 480_000 < len(body) < 512_000
    assert (response.status, response.body) == SUCCESS
    assert len(await api.sent()) == 16


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (QueueFull(reason="full", retry_after=2), 429, "queue_full"),
        (LedgerUnavailable(reason="no", retry_after=2), 503, "ledger_unavailable"),
    ],
)
async def test_request_that_is_not_stored_is_to_be_retried(api, monkeypatch, fault, status, code):
    async def fail(_submission):
        raise fault

    monkeypatch.setattr(api.store, "record", fail)

    response = await api.of_server("POST", "/v1/batch", encoded({"batch": [ORDER]}), key=KEY)

    assert outcome(response) == (status, code)
    assert response.headers["retry-after"] == "2"


async def test_repeated_batch_is_one_conversion(api):
    call = ORDER | {"properties": {"total": 5, "currency": "EUR"}}
    for sent_at in ("2026-11-25T09:46:00Z", "2026-11-25T09:46:30Z"):
        body = encoded({"batch": [call], "sentAt": sent_at})
        await api.of_server("POST", "/v1/batch", body, key=KEY)

    assert [sent["conversion_id"] for sent in await api.sent()] == ["m-1"]


async def test_denied_category_of_a_source_suppresses_the_conversion(make_api):
    shop = a_shop()
    policy = type(shop.consent)(segment_categories=("ads",))
    api = await make_api(a_shop(consent=policy))
    context = {"consent": {"categoryPreferences": {"ads": False, "stats": True}}}

    await api.of_server("POST", "/v1/t", encoded(context=ORDER["context"] | context), key=KEY)

    (kept,) = api.store.kept
    assert [entry.suppressed for entry in kept.entries] == ["consent_denied: ad_storage"]


async def test_click_of_a_page_is_stored_in_a_cookie(api):
    context = {"page": {"url": f"{PAGE}/?twclid={CLICK}"}}

    response = await api.of_page(
        "POST",
        "/v1/p",
        encoded({"context": context, "writeKey": PUBLIC}),
        headers={"Host": "t.shop.example"},
    )

    assert CLICK in response.headers["set-cookie"]


async def test_slow_bodies_keep_no_request_out_that_has_its_key_in_the_body(make_api):
    api = await make_api(limits=HttpLimits(page_requests=1))
    head = b"POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"

    async with api.stage.line() as waiting:
        waiting[1].write(head)
        while not api.stage.collector.memory.signature_gate.is_occupied:  # noqa: ASYNC110
            await asyncio.sleep(0)
        body = encoded({"batch": [ORDER], "writeKey": KEY})
        response = await api.of_server("POST", "/v1/batch", body)
        refused = await waiting[0].readline()

    assert (response.status, response.body) == SUCCESS
    assert refused.startswith(b"HTTP/1.1 429")
