from urllib.parse import quote

import msgspec
import pytest
from tag_stage import CLICK, KEY, NOW, PAGE, a_shop

from twite.domain.secret import Secret

GA4 = "/g/collect?v=2&tid=G-1&cid=1.2&sid=3&_p=4&_s=5"


LANDING = f"&dl={quote(f'{PAGE}/thanks?twclid={CLICK}', safe='')}"
BOUGHT = b"en=purchase&ep.transaction_id=T-1&epn.value=49.9&ep.currency=EUR"
SIGNED_UP = b'{"events":[{"name":"sign_up","params":{"event_id":"e-1","twclid":"abc"}}]}'


async def test_hit_of_a_page_becomes_a_conversion_with_ip_address_and_user_agent(api):
    response = await api.of_page(
        "POST", GA4 + LANDING, BOUGHT, headers={"Content-Type": "text/plain"}
    )

    assert (response.status, response.body) == (200, b"")
    assert await api.sent() == [
        {
            "conversion_id": "T-1",
            "conversion_time": "2026-11-25T09:46:40.000Z",
            "event_id": "o8z6k",
            "event_source_url": f"{PAGE}/thanks",
            "identifiers": [
                {"twclid": CLICK},
                {"ip_address": "203.0.113.7", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)"},
            ],
            "price_currency": "EUR",
            "value": "49.90",
        }
    ]


async def test_page_may_read_the_response_to_a_request_with_credentials(api):
    response = await api.of_page("POST", GA4 + LANDING, BOUGHT)

    assert response.headers["access-control-allow-origin"] == PAGE
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["vary"] == "Origin"


async def test_repeated_hit_is_one_conversion(api):
    for _ in range(2):
        await api.of_page("POST", GA4 + LANDING, b"en=sign_up")

    assert len(await api.sent()) == 1


async def test_different_hits_of_one_page_are_different_conversions(api):
    await api.of_page("POST", GA4 + LANDING, b"en=sign_up\nen=sign_up")
    await api.of_page("POST", (GA4 + LANDING).replace("_s=5", "_s=6"), b"en=sign_up")

    assert len({conversion["conversion_id"] for conversion in await api.sent()}) == 3


async def test_unmapped_events_are_only_counted(api):
    response = await api.of_page("POST", GA4 + LANDING, b"en=scroll\nen=scroll\nen=user_engagement")

    assert response.status == 200
    assert await api.ignored() == [
        ("scroll", "not_configured", 2),
        ("user_engagement", "not_configured", 1),
    ]
    assert await api.sent() == []


@pytest.mark.parametrize("path", ["/g/collect?v=2&tid=G-1&en=sign_up", "/mp/collect", "/data"])
async def test_tag_request_from_an_unknown_origin_is_refused_with_a_message(api, path):
    response = await api.of_page("POST", path, b"", origin="https://other.example")

    assert (response.status, response.json()["errors"][0]["code"]) == (403, "origin_wrong")
    assert "https://other.example" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("path", ["/g/collect?v=2&tid=G-1&en=sign_up", "/mp/collect", "/data"])
async def test_tag_request_without_key_and_origin_is_refused(api, path):
    response = await api.of_page("POST", path, b"", origin=None)

    assert (response.status, response.json()["errors"][0]["code"]) == (403, "origin_missing")


async def test_image_request_without_an_origin_is_identified_by_its_referer(api):
    response = await api.of_page(
        "GET", f"{GA4}{LANDING}&en=sign_up", origin=None, headers={"Referer": f"{PAGE}/"}
    )

    assert response.status == 200
    assert len(await api.sent()) == 1


@pytest.mark.parametrize("path", ["/g/collect", "/mp/collect", "/data"])
async def test_preflight_is_answered_only_for_origins_of_the_source(api, path):
    right = await api.of_page("OPTIONS", path)
    wrong = await api.of_page("OPTIONS", path, origin="https://other.example")

    assert (right.status, right.headers["access-control-allow-origin"]) == (204, PAGE)
    assert "content-type" in right.headers["access-control-allow-headers"]
    assert wrong.status == 403


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/g/collect", "GET, POST, OPTIONS"),
        ("/mp/collect", "POST, OPTIONS"),
        ("/data", "GET, POST, OPTIONS"),
    ],
)
async def test_wrong_method_on_a_tag_route_is_405_with_the_allowed_methods(api, path, allowed):
    response = await api.of_page("PUT", path)

    assert (response.status, response.headers["allow"]) == (405, allowed)


async def test_wrong_api_secret_is_refused(api):
    response = await api.of_server("POST", "/mp/collect?api_secret=wrong", SIGNED_UP)

    assert (response.status, response.json()["errors"][0]["code"]) == (401, "key_wrong")


@pytest.mark.parametrize("key", [None, KEY])
async def test_server_with_the_source_key_may_send_the_visitors_address(api, key):
    body = {
        "ip_override": "198.51.100.9",
        "user_agent": "Mozilla/5.0 Phone",
        "events": [{"name": "sign_up", "params": {"event_id": "e-1"}}],
    }
    path = "/mp/collect?measurement_id=G-1" + ("" if key else f"&api_secret={KEY}")

    response = await api.of_server("POST", path, msgspec.json.encode(body), key=key)

    assert (response.status, response.body) == (204, b"")
    assert [conversion["identifiers"] for conversion in await api.sent()] == [
        [{"ip_address": "198.51.100.9", "user_agent": "Mozilla/5.0 Phone"}]
    ]


async def test_ip_address_of_a_server_is_not_an_identifier(api):
    path = f"/mp/collect?api_secret={KEY}"
    body = b'{"events":[{"name":"sign_up","params":{"event_id":"e-1"}}]}'

    response = await api.of_server("POST", path, body, headers={"User-Agent": "Mozilla/5.0"})

    assert response.status == 422
    assert [error["code"] for error in response.json()["errors"]] == ["identifier_missing"]


async def test_debug_route_predicts_the_result_and_stores_nothing(api):
    events = [
        {"name": "sign_up", "params": {"twclid": CLICK}},
        {"name": "scroll", "params": {}},
        {"name": "purchase", "params": {"twclid": CLICK, "value": "1,5", "currency": "EUR"}},
        {"name": "sign_up", "params": {"twclid": CLICK, "consent": {"ad_storage": "denied"}}},
    ]

    response = await api.of_server(
        "POST", f"/debug/mp/collect?api_secret={KEY}", msgspec.json.encode({"events": events})
    )

    assert response.status == 200
    assert [
        (error["fieldPath"], error["validationCode"])
        for error in response.json()["validationMessages"]
    ] == [
        ("events[1].name", "not_configured"),
        ("events[2].value", "not_an_amount"),
        ("events[3]", "suppressed"),
    ]
    assert api.store.kept == []


@pytest.mark.parametrize("signal", ["us_privacy=1YYN", "gcs=G100", "gdpr=1&gdpr_consent=what"])
@pytest.mark.parametrize("path", ["/mp/collect", "/data", "/debug/mp/collect"])
async def test_denial_in_the_url_of_a_server_request_suppresses(api, path, signal):
    event = {"event_name": "purchase", "transaction_id": "T-1", "twclid": CLICK}
    if "mp" in path:
        event = {"events": [{"name": "purchase", "params": event}]}

    response = await api.of_server(
        "POST", f"{path}?v=2&{signal}&api_secret={KEY}", msgspec.json.encode(event)
    )

    assert response.status < 300
    if path.startswith("/debug"):
        [message] = response.json()["validationMessages"]
        assert message["validationCode"] == "suppressed"
    else:
        assert [conversion["identifiers"] for conversion in await api.sent()] == [[]]


async def test_debug_route_reports_a_malformed_request(api):
    response = await api.of_page("POST", "/debug/mp/collect", b"[]")

    assert [error["validationCode"] for error in response.json()["validationMessages"]] == [
        "wrong_shape"
    ]


async def test_api_secret_of_a_source_without_a_key_is_refused(make_api):
    api = await make_api(a_shop(key=None))

    response = await api.of_server("POST", f"/mp/collect?api_secret={KEY}", SIGNED_UP)

    assert response.status == 401


async def test_response_to_a_tag_request_sets_the_click_cookie_on_the_same_site(api):
    response = await api.of_page(
        "POST", GA4 + LANDING, b"en=scroll", headers={"Host": "t.shop.example"}
    )

    assert response.headers["set-cookie"].startswith(f"_twite=1.{NOW}.{CLICK}; ")
    assert "Domain=shop.example" in response.headers["set-cookie"]


@pytest.mark.parametrize("query", [f"{GA4}{LANDING}&gcs=G100", GA4])
async def test_click_cookie_is_not_set_without_consent_or_a_click(api, query):
    response = await api.of_page("POST", query, b"en=scroll", headers={"Host": "t.shop.example"})

    assert (response.status, "set-cookie" in response.headers) == (200, False)


@pytest.mark.parametrize(
    "path", ["/g/collect?v=2&tid=G-1&cid=1.2&en=sign_up", "/data?event=sign_up"]
)
async def test_global_privacy_control_suppresses_tag_requests(api, path):
    for said in ("0", "1"):
        address = (
            f"{path}&{'ep.' if 'v=2' in path else ''}transaction_id=T-{said}{LANDING}&twclid=abc"
        )
        await api.of_page("GET", address, headers={"Sec-GPC": said})

    assert [
        conversion["conversion_id"] for conversion in await api.sent() if conversion["identifiers"]
    ] == ["T-0"]


async def test_denial_deletes_the_click_cookie(api):
    response = await api.of_page(
        "POST",
        f"{GA4}{LANDING}&gcs=G100",
        b"en=scroll",
        headers={"Host": "t.shop.example", "Cookie": f"_twite=1.{NOW}.{CLICK}"},
    )

    assert response.headers["set-cookie"].startswith("_twite=;")
    assert "Max-Age=0" in response.headers["set-cookie"]


async def test_click_cookie_becomes_an_identifier(api):
    await api.of_page(
        "POST", GA4, b"en=sign_up", headers={"Cookie": f"_ga=GA1.1.2; _twite=1.{NOW}.{CLICK}"}
    )

    (sent,) = await api.sent()
    assert {"twclid": CLICK} in sent["identifiers"]


async def test_rejected_tag_request_is_422_with_its_reasons(api):
    response = await api.of_page("POST", GA4 + LANDING, b"en=purchase&ep.value=1,5&ep.currency=EUR")

    assert response.status == 422
    assert [(error["path"], error["code"]) for error in response.json()["errors"]] == [
        ("value", "not_an_amount")
    ]
    assert response.headers["access-control-allow-origin"] == PAGE


async def test_tag_request_with_some_rejected_conversions_is_accepted(api):
    response = await api.of_page(
        "POST", GA4 + LANDING, b"en=purchase&ep.value=1,5&ep.currency=EUR\nen=sign_up"
    )

    assert response.status == 200
    assert len(await api.sent()) == 1


async def test_page_may_read_why_a_request_is_malformed(api):
    response = await api.of_page("POST", "/g/collect?v=1", b"en=sign_up")

    assert (response.status, response.json()["errors"][0]["code"]) == (400, "wrong_shape")
    assert response.headers["access-control-allow-origin"] == PAGE


async def test_body_of_a_page_is_limited(api):
    response = await api.of_page("POST", "/data?event=sign_up", b" " * (64 * 1024 + 1))

    assert (response.status, response.json()["errors"][0]["code"]) == (413, "body_too_large")


async def test_body_of_a_server_may_be_larger_than_that_of_a_page(api):
    events = [{"name": "sign_up", "params": {"event_id": "e-1", "twclid": "a", "x": "y" * 100_000}}]

    response = await api.of_server(
        "POST", f"/mp/collect?api_secret={KEY}", msgspec.json.encode({"events": events})
    )

    assert response.status == 204


async def test_page_of_a_shared_origin_must_name_its_source(make_api):
    api = await make_api(a_shop(), a_shop(name="till", key=None))

    unnamed = await api.of_page("POST", GA4 + LANDING, b"en=sign_up")
    named = await api.of_page("POST", f"{GA4}{LANDING}&s=till", b"en=sign_up")

    assert (unnamed.status, unnamed.json()["errors"][0]["code"]) == (403, "source_unclear")
    assert named.status == 200
    assert [account.source for account in await api.store.balance()] == ["till"]


async def test_event_mapping_of_the_source_overrides_the_defaults(make_api):
    api = await make_api(a_shop(events={"generate_lead": "sign_up", "sign_up": "ignore"}))

    await api.of_page("POST", GA4 + LANDING, b"en=generate_lead\nen=sign_up")

    assert [conversion["event_id"] for conversion in await api.sent()] == ["o8z6m"]
    assert await api.ignored() == [("sign_up", "mapped_to_ignore", 1)]


async def test_accounting_lists_ignored_events_of_the_source(make_api):
    api = await make_api(a_shop(), a_shop(name="till", key=Secret("another-key"), origins=()))
    await api.of_page("POST", GA4 + LANDING, b"en=scroll\nen=scroll")

    own = await api.of_server("GET", "/v1/accounting", key=KEY)
    others = await api.of_server("GET", "/v1/accounting", key="another-key")

    assert own.json()["ignored"] == [
        {
            "day": "2026-11-25",
            "endpoint": "ga4",
            "name": "scroll",
            "reason": "not_configured",
            "times": 2,
        }
    ]
    assert "ignored" not in others.json()


async def test_personal_data_of_a_hit_is_not_stored_in_plain_text(api):
    await api.of_page(
        "POST",
        "/data?event=sign_up&event_id=e-1",
        msgspec.json.encode(
            {
                "user_data": {"email_address": "shopper@example.com", "address": {"city": "Leeds"}},
                "page_title": "Thanks, Bob",
                "client_id": "1234567890.1795500000",
            }
        ),
    )

    (kept,) = [submission.body for submission in api.store.kept]
    for word in (b"shopper@example.com", b"Leeds", b"Bob", b"1234567890"):
        assert word not in kept
    assert msgspec.json.decode(kept)["hit"] == [
        {
            "event_name": "sign_up",
            "event_id": "e-1",
            "also": ["client_id", "event", "page_title", "user_data"],
        }
    ]


async def test_tag_request_with_too_many_parameters_is_refused(api):
    response = await api.of_page("GET", GA4 + "&a=1" * 2_000)

    assert (response.status, response.json()["errors"][0]["code"]) == (413, "too_many")


async def test_tag_request_with_too_many_events_is_refused(api):
    response = await api.of_page("POST", GA4, b"en=scroll\n" * 51)

    assert (response.status, response.json()["errors"][0]["code"]) == (413, "too_many")
