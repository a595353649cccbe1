import hashlib
from ipaddress import ip_network

import msgspec
import pytest
from pages import (
    AGENT,
    CLICK,
    LIMIT,
    OTHER_CLICK,
    PAGE,
    SHOP,
    a_message,
    a_shop,
    a_stage,
    beacon,
)

from builders import NOW
from twite.domain.consent import ConsentPolicy
from twite.domain.delivery import State
from twite.domain.destination import ClickCookie
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import DAY
from twite.gateway.ports.queries import ByConversionId, IgnoredQuery
from twite.http.limits import HttpLimits
from twite.http.routes.beacon import GIF

KEPT = f"_twite=1.{NOW}.{CLICK}; Path=/; Max-Age=7776000; Domain=shop.example; Secure; SameSite=Lax"


async def histories_of(store, conversion_id="order-1"):
    return list(
        await store.find(
            ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id=conversion_id)
        )
    )


async def the_identifiers(store, conversion_id="order-1"):
    (history,) = await histories_of(store, conversion_id)
    found = {}
    for element in msgspec.json.decode(history.sent)["identifiers"]:
        found |= element
    return found


async def test_beacon_is_answered_after_its_conversions_are_stored(page, store):
    answer = await beacon(page, a_message({"conversion_id": "order-1"}))

    (history,) = await histories_of(store)
    assert (answer.status, answer.body, history.state) == (204, b"", State.QUEUED)
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["cache-control"] == "no-store"
    assert "content-length" not in answer.headers


async def test_repeated_beacon_is_a_duplicate(page, store):
    for _ in range(2):
        await beacon(page, a_message({"conversion_id": "order-1"}))

    (history,) = await histories_of(store)
    assert history.duplicates == 1


async def test_ip_address_and_user_agent_of_the_visitor_become_identifiers(staged, store):
    page = await staged(**a_stage(store, trusted_proxies=[ip_network("127.0.0.1/32")]))

    await beacon(
        page, a_message({"conversion_id": "order-1"}), X_Forwarded_For="198.51.100.9, 203.0.113.7"
    )

    found = await the_identifiers(store)
    assert found == {"twclid": CLICK, "ip_address": "203.0.113.7", "user_agent": AGENT}


async def test_forwarded_address_from_an_untrusted_proxy_is_ignored(page, store):
    await beacon(page, a_message({"conversion_id": "order-1"}), X_Forwarded_For="203.0.113.7")

    assert "ip_address" not in await the_identifiers(store)


async def test_plain_email_in_a_beacon_is_hashed(page, store):
    await beacon(page, a_message({"conversion_id": "order-1", "email": "shopper@example.com"}))

    found = await the_identifiers(store)
    digest = hashlib.sha256(b"shopper@example.com").hexdigest()
    assert found["hashed_email"] == digest


async def test_click_cookie_is_set_on_the_registrable_domain(page):
    answer = await beacon(page, a_message(click={"id": CLICK, "at": NOW}))

    assert answer.headers["set-cookie"] == KEPT


async def test_click_id_of_a_cookie_is_an_identifier_and_the_cookie_keeps_its_expiry(page, store):
    day_old = f"1.{NOW - DAY}.{CLICK}"
    body = a_message({"conversion_id": "order-1", "twclid": None})

    answer = await beacon(page, body, Cookie=f"_twite={day_old}; _twpid=tw.1.2")

    assert (await the_identifiers(store))["twclid"] == CLICK
    assert f"_twite={day_old}; Path=/; Max-Age={89 * 86_400};" in answer.headers["set-cookie"]


async def test_older_click_never_replaces_a_newer_one_in_the_cookie(page):
    newer = f"1.{NOW - 5}.{OTHER_CLICK}"

    answer = await beacon(
        page, a_message(click={"id": CLICK, "at": NOW - 9}), Cookie=f"_twite={newer}"
    )

    assert answer.headers["set-cookie"].startswith(f"_twite={newer};")


async def test_expired_click_is_not_kept_in_the_cookie(page):
    old = f"1.{NOW - 90 * DAY}.{CLICK}"

    answer = await beacon(page, a_message(), Cookie=f"_twite={old}")

    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("consent", "kept"),
    [
        (None, False),
        ({"ad_storage": "denied"}, False),
        ({"ad_storage": "granted", "ad_user_data": "granted"}, True),
    ],
)
async def test_click_cookie_is_not_set_before_required_consent(staged, store, consent, kept):
    page = await staged(**a_stage(store, a_shop(consent=ConsentPolicy(required=True))))

    answer = await beacon(page, a_message(click={"id": CLICK, "at": NOW}, consent=consent))

    assert ("set-cookie" in answer.headers) is kept


async def test_denial_suppresses_a_beacon_where_consent_is_optional(page, store):
    said = {"ad_storage": "denied"}

    answer = await beacon(
        page, a_message({"conversion_id": "order-1"}, click={"id": CLICK, "at": NOW}, consent=said)
    )

    (history,) = await histories_of(store)
    assert history.state is State.SUPPRESSED
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("said", "opted_out"), [("1", True), ("0", False), ("true", False)])
async def test_global_privacy_control_opts_out_only_with_the_value_1(page, store, said, opted_out):
    await beacon(page, a_message({"conversion_id": "order-1"}), Sec_GPC=said)

    (history,) = await histories_of(store)
    assert (history.state is State.SUPPRESSED) is opted_out


@pytest.mark.parametrize(
    ("consent", "taken"),
    [
        ({"ad_storage": "denied"}, True),
        ({"ad_storage": "denied", "ad_user_data": "granted"}, True),
        ({"ad_storage": "perhaps"}, False),
        (None, False),
    ],
)
async def test_denial_deletes_the_click_cookie(staged, store, consent, taken):
    page = await staged(**a_stage(store, a_shop(consent=ConsentPolicy(required=True))))

    answer = await beacon(
        page, a_message(consent=consent), Cookie=f"_twite=1.{NOW}.{CLICK}; twclid={CLICK}"
    )

    gone = "_twite=; Path=/; Max-Age=0; Domain=shop.example; Secure; SameSite=Lax"
    assert answer.headers.get("set-cookie") == (gone if taken else None)


async def test_source_sets_the_names_and_attributes_of_its_cookies(staged, store):
    wanted = ClickCookie(names=("_twite", "twclid"), days=30, http_only=True)
    page = await staged(**a_stage(store, a_shop(cookie=wanted)))

    raw = await page.say(
        b"POST /t?s=shop HTTP/1.1\r\nHost: t.shop.example\r\nConnection: close\r\n"
        b"Origin: https://shop.example\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body := a_message(click={"id": CLICK, "at": NOW})), body)
    )

    rest = b"; Path=/; Max-Age=2592000; Domain=shop.example; Secure; SameSite=Lax; HttpOnly"
    assert b"set-cookie: _twite=1.%d.%b%b\r\n" % (NOW, CLICK.encode(), rest) in raw
    assert b"set-cookie: twclid=%b%b\r\n" % (CLICK.encode(), rest) in raw


async def test_page_of_another_site_gets_no_cookie(staged, store):
    page = await staged(**a_stage(store, a_shop(origins=("https://blog.example",))))

    answer = await beacon(
        page, a_message(click={"id": CLICK, "at": NOW}), Origin="https://blog.example"
    )

    assert (answer.status, "set-cookie" in answer.headers) == (204, False)


async def test_beacon_from_an_unknown_origin_is_refused_with_a_message(page, store):
    answer = await beacon(page, a_message({}), Origin="https://attacker.example")

    assert (answer.status, answer.faults()) == (403, [("", "origin_wrong")])
    assert "https://attacker.example" in answer.json()["errors"][0]["message"]
    assert "access-control-allow-origin" not in answer.headers
    assert list(await store.balance()) == []


async def test_preflight_of_a_beacon_is_answered(page):
    answer = await page.ask(
        "OPTIONS",
        "/t?s=shop",
        key=None,
        headers={"Origin": SHOP, "Access-Control-Request-Method": "POST"},
    )

    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-max-age"] == "7200"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        (a_message(*[{}] * 21), 413, "too_many"),
        (b" " * (HttpLimits().page_body + 1), 413, "body_too_large"),
    ],
)
async def test_page_can_read_why_a_beacon_is_refused(page, body, status, code):
    answer = await beacon(page, body)

    assert (answer.status, answer.faults()[0][1]) == (status, code)
    assert answer.headers["access-control-allow-origin"] == SHOP


async def test_invalid_conversion_is_named_and_the_others_are_accepted(page, store):
    body = a_message(
        {"conversion_id": "order-1"},
        {"conversion_id": "order-2", "url": 5},
        {"conversion_id": "order-3", "event": "nothing_of_ours"},
        {"conversion_id": "order-4"},
    )

    answer = await beacon(page, body)

    said = {item["index"]: item["errors"][0] for item in answer.json()["rejected"]}
    assert answer.status == 200
    assert {index: (wrong["path"], wrong["code"]) for index, wrong in said.items()} == {
        1: ("url", "wrong_type"),
        2: ("event", "event_unknown"),
    }
    assert [len(await histories_of(store, f"order-{n}")) for n in range(1, 5)] == [1, 0, 0, 1]
    [account] = await store.balance()
    assert (account.received, account.rejected, account.balance) == (4, 2, 0)


async def test_unreadable_consent_signal_is_not_consent(page, store):
    await beacon(page, a_message({"conversion_id": "order-1"}, consent={"tcf": ["C"]}))

    (history,) = await histories_of(store)
    assert history.state is State.SUPPRESSED


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (a_message({}), 204),
        (a_message({"event": 5}), 200),
        (b"{", 400),
        (a_message(*[{}] * 21), 413),
        (b" " * (HttpLimits().page_body + 1), 413),
    ],
)
async def test_final_refusal_has_the_header_twite_verdict(page, body, status):
    answer = await beacon(page, body)

    assert (answer.status, answer.headers["twite-verdict"]) == (status, "final")
    assert answer.headers["access-control-expose-headers"] == "twite-verdict, twite-test"


async def test_refusal_that_may_be_retried_has_no_header_twite_verdict(staged, store):
    page = await staged(**a_stage(store, browser_rate=1))
    store.refuse = LedgerUnavailable(reason="disk full", retry_after=5)

    full = await beacon(page, a_message({}))
    fast = await beacon(page, a_message({}))

    assert [(answer.status, "twite-verdict" in answer.headers) for answer in (full, fast)] == [
        (503, False),
        (429, False),
    ]


async def test_failed_commit_of_a_beacon_is_answered_with_retry_after(page, store):
    store.refuse = LedgerUnavailable(reason="disk full", retry_after=5)

    answer = await beacon(page, a_message({}, click={"id": CLICK, "at": NOW}))

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "set-cookie" not in answer.headers


async def test_beacon_over_the_rate_limit_is_answered_with_retry_after(staged, store):
    page = await staged(**a_stage(store, browser_rate=2))
    for _ in range(2):
        await beacon(page, a_message())

    answer = await beacon(page, a_message({}))

    assert (answer.status, answer.headers["retry-after"]) == (429, "30")


async def test_beacon_route_refuses_methods_that_are_not_in_the_table(page):
    answer = await page.ask("PUT", "/t?s=shop", key=None, headers=PAGE)

    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, OPTIONS")


async def test_robots_and_values_above_the_limit_are_counted_and_not_sent(staged, store):
    page = await staged(**a_stage(store, a_shop(browser_value_limit=LIMIT)))

    await beacon(page, a_message({"value": "500.01", "currency": "EUR"}))
    await beacon(page, a_message({}), User_Agent="Examplebot/2.1")

    counted = [
        (tally.endpoint, tally.name, tally.reason)
        for tally in await store.answer(IgnoredQuery(since=0))
    ]
    assert counted == [("beacon", "purchase", "bot"), ("beacon", "purchase", "value_limit")]
    assert list(await store.balance()) == []


async def test_noscript_image_is_a_conversion(page, store):
    answer = await page.ask(
        "GET",
        f"/t?s=shop&event=purchase&conversion_id=order-1&twclid={CLICK}",
        key=None,
        headers={"Referer": f"{SHOP}/thanks", "User-Agent": AGENT},
    )

    assert (answer.status, answer.body) == (200, GIF)
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    assert len(await histories_of(store)) == 1


async def test_noscript_image_without_required_consent_is_suppressed(staged, store):
    page = await staged(**a_stage(store, a_shop(consent=ConsentPolicy(required=True))))

    await page.ask(
        "GET",
        f"/t?s=shop&event=purchase&conversion_id=order-1&twclid={CLICK}",
        key=None,
        headers={"Referer": f"{SHOP}/thanks", "User-Agent": AGENT},
    )

    (history,) = await histories_of(store)
    assert history.state is State.SUPPRESSED
