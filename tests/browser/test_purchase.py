"""A purchase on a page, and what X receives from its pixel and from the gateway."""

import pytest
from visitor import AGENT, SHOPPER, SHOPPERS_PHONE, TWCLID, bought, until

from twite.domain.normalize import email_digest, phone_digest

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

ONCE = {"api": 1, "pixel": 1, "counted": 1}
BY_API = {"api": 1, "pixel": 0, "counted": 1}
IDENTIFIERS = [
    {"twclid": TWCLID, "user_agent": AGENT},
    {"hashed_email": email_digest("shopper@example.com", path="")},
    {"hashed_phone_number": phone_digest("+442079460958", region=None, path="")},
]


async def test_purchase_three_pages_after_the_landing_page_is_counted_once(visitor, site):
    for path in ("/", "/mugs", "/basket", "/thanks"):
        site.shop.page(path, "", head=site.tag() + site.x_tag())

    await visitor.goes_to(f"/?twclid={TWCLID}")
    for path in ("/mugs", "/basket", "/thanks"):
        await visitor.goes_to(path)
    await visitor.does(bought("order-1"))
    await until(lambda: site.counted("order-1") == ONCE)

    [sent] = site.sent()
    identifiers = sent["identifiers"]
    del identifiers[0]["twpid"]
    assert identifiers == IDENTIFIERS


async def test_purchase_in_a_single_page_application_is_counted_once(visitor, site):
    site.shop.page("/", "", head=site.tag() + site.x_tag())

    await visitor.goes_to(f"/?twclid={TWCLID}")
    for path in ("/mugs", "/basket", "/thanks"):
        await visitor.does(f"history.pushState({{}}, '', '{path}')")
    await visitor.does(bought("order-spa"))
    await until(lambda: site.counted("order-spa") == ONCE)

    [sent] = site.sent()
    assert sent["identifiers"][0]["twclid"] == TWCLID
    assert sent["event_source_url"] == f"{site.shop.origin}/thanks"


async def test_thank_you_page_open_in_two_tabs_is_counted_once(visitor, site):
    buy = f"<script>{bought('order-thanked')}</script>"
    site.shop.page("/thanks", buy, head=site.tag() + site.x_tag())

    await visitor.goes_to(f"/thanks?twclid={TWCLID}")
    await until(lambda: site.counted("order-thanked") == ONCE)
    other = await visitor.other_tab()
    await other.goto(site.shop.origin + "/thanks")
    await other.wait_for_load_state("networkidle")

    assert site.counted("order-thanked") == ONCE


async def test_purchase_made_offline_is_counted_once(visitor, site):
    site.shop.page("/", "", head=site.tag() + site.x_tag())

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.page.wait_for_function("() => window.twq && twq.exe")
    await visitor.wait_for_responses()
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-away"))
    await visitor.waits_for_a_failure()
    await visitor.context.set_offline(False)
    await until(lambda: site.counted("order-away")["api"] == 1)

    # X's script was called with the id, too, but saving calls made while offline is up to X.
    assert site.counted("order-away")["counted"] == 1
    assert (await visitor.sends())[-1]["pixel"] == "loaded"


async def test_page_and_gateway_send_x_the_same_data(visitor, site):
    site.shop.page("/", "", head=site.tag() + site.x_tag())

    await visitor.goes_to("/")
    await visitor.does(bought("order-2"))
    await until(lambda: site.counted("order-2") == ONCE)

    [[sent], [hit]] = site.sent(), site.hits()
    assert (sent["value"], sent["price_currency"], sent["number_items"]) == ("49.90", "EUR", 2)
    assert hit == {
        "conversion_id": "order-2",
        "value": 49.9,
        "currency": "EUR",
        "email_address": IDENTIFIERS[1]["hashed_email"],
        "phone_number": IDENTIFIERS[2]["hashed_phone_number"],
        "num_items": 2,
        "contents": [
            {
                "content_id": "SKU-1",
                "content_name": "Mug",
                "content_price": 24.95,
                "content_type": "kitchen",
                "content_group_id": "mugs",
                "num_items": 2,
            }
        ],
    }


SEEN = {
    "bci", "dv", "eci", "event", "event_id", "integration", "p_id", "p_user_id", "pl_id", "pt",
    "tw_document_href", "tw_engaged_ms", "tw_iframe_status", "tw_pid_src", "tw_session_count",
    "tw_session_id", "twclid", "clid_src", "twpid", "txn_id", "type", "version",
}  # fmt: skip


async def test_simulated_pixel_script_behaves_like_xs(visitor, site):
    site.shop.page("/", "", head=site.tag() + site.x_tag())

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-seen"))
    await until(lambda: len(site.hits()) == 1)
    hits = [hit["parameters"] for hit in site.emulator.hits()["hits"]]

    assert [set(hit) for hit in hits] == [SEEN, SEEN]
    assert [hit["txn_id"] for hit in hits] == ["o8z6j", "o8z6k"]
    assert [(hit["clid_src"], hit["tw_pid_src"]) for hit in hits] == [("1", "1"), ("1", "2")]


async def test_gateway_copy_is_counted_if_xs_script_is_blocked(visitor, site):
    await visitor.context.route("**/uwt.js", lambda route: route.abort("blockedbyclient"))
    site.shop.page("/", "", head=site.tag() + site.x_tag())

    await visitor.goes_to("/")
    await visitor.does(bought("order-3"))
    await until(lambda: site.counted("order-3") == BY_API)

    assert [send["pixel"] for send in await visitor.sends()] == ["blocked"]


async def test_script_can_load_the_pixel(visitor, site):
    site.shop.page("/", "", head=site.tag(data_pixel="load"))

    await visitor.goes_to("/")
    await visitor.does(bought("order-4"))
    await until(lambda: site.counted("order-4") == ONCE)

    assert [send["pixel"] for send in await visitor.sends()] == ["loaded"]


async def test_script_waits_for_a_pixel_that_loads_later(visitor, site):
    site.shop.page("/", "", head=site.tag())

    await visitor.goes_to("/")
    await visitor.does(bought("order-5"))
    await visitor.does(site.x_stub())
    await until(lambda: site.counted("order-5") == ONCE)

    assert [send["pixel"] for send in await visitor.sends()] == ["loaded"]


async def test_pixel_loaded_after_the_tab_was_hidden_is_called(visitor, site):
    site.shop.page("/", "", head=site.tag())
    hide = (
        "Object.defineProperty(document, 'hidden', {get: () => true});"
        " document.dispatchEvent(new Event('visibilitychange'))"
    )

    await visitor.goes_to("/")
    await visitor.wait_until_idle()
    await visitor.does(
        f"{bought('order-hidden')};"
        # The page hides after hashing is done; X's script loads after everything has been sent.
        f" setTimeout(() => {{ {hide} }}, 300); setTimeout(() => {{ {site.x_stub()} }}, 700)"
    )
    await until(lambda: site.counted("order-hidden") == ONCE)
    await visitor.wait_until_settled()

    assert len(await visitor.sends()) == 1


@pytest.mark.parametrize(
    ("setting", "value"), [("data_pixel", "off"), ("data_events", '{"sign_up":"tw-o8z6j-o8z6m"}')]
)
async def test_pixel_is_not_called_if_it_is_switched_off(visitor, site, setting, value):
    site.shop.page("/", "", head=site.tag(**{setting: value}) + site.x_tag())

    await visitor.goes_to("/")
    await visitor.does(bought(f"order-6-{setting}"))
    await until(lambda: site.counted(f"order-6-{setting}") == BY_API)

    assert ["pixel" in send for send in await visitor.sends()] == [False]


async def test_page_can_read_the_errors_of_its_calls(visitor, site):
    throws = "<script>throw new Error('the page is at fault')</script>"
    handler = "<script>window.seen = []; window.onerror = (text) => { seen.push(text); };</script>"
    broken = "<script>window.dataLayer = {push: 7}; window.__tcfapi = () => { throw 1 };</script>"
    tag = site.tag(data_pixel="off")
    site.shop.page("/", throws, head=handler + throws + broken + tag + site.x_tag() + throws)

    await visitor.goes_to("/")
    await visitor.does("delete window.__tcfapi")
    await visitor.does("twite(); twite(null, 7); twite({}); twite('consent'); twite('config', 'x')")
    await visitor.does("twite('purchase', {contents: 7}); twite('purchase', 'nothing')")
    await visitor.does("window.dataLayer = []")
    seen = await visitor.does("seen")

    assert seen == ["Uncaught Error: the page is at fault"] * 3


async def test_unavailable_gateway_causes_no_error_on_the_page(visitor, site):
    driven = "Object.defineProperty(navigator, 'webdriver', {get: () => window.driven})"
    await visitor.context.add_init_script(driven)
    await visitor.context.route("**/t?*", lambda route: route.abort())
    site.shop.page("/", "", head=site.tag(data_pixel="off"))

    await visitor.goes_to("/")
    for robot in ("true", "false"):
        await visitor.does(f"driven = {robot}; {bought('order-driven')}; 0")
    await until(lambda: len(visitor.beacons()) >= 2)
    await visitor.does("dispatchEvent(new Event('pagehide'))")
    await visitor.wait_until_idle()

    # Reported by the browser: pages do not see rejected promises of cross-origin scripts.
    assert visitor.errors == []


async def test_purchase_on_a_page_with_script_errors_is_sent(visitor, site):
    throws = "<script>throw new Error('the page is at fault')</script>"
    site.shop.page("/", throws, head=throws + site.tag() + site.x_tag())

    await visitor.goes_to("/")
    await visitor.does(bought("order-7"))

    await until(lambda: site.counted("order-7") == ONCE)


async def test_calls_before_the_script_loads_are_sent(visitor, site):
    early = f"<script>{bought('order-8')}</script>"
    site.shop.page("/", early, head=site.tag() + site.x_tag())

    await visitor.goes_to("/")

    await until(lambda: site.counted("order-8") == ONCE)


async def test_invalid_call_before_the_script_loads_does_not_drop_other_calls(visitor, site):
    early = "window.seen = []; window.onerror = (text) => { seen.push(text); };"
    early += f" twite.q = [null, 7, {{}}, ['consent', null]]; {bought('order-early')}"
    site.shop.page("/", f"<script>{early}</script>", head=site.tag(data_pixel="off"))

    await visitor.goes_to("/")
    await until(lambda: site.counted("order-early") == BY_API)

    assert await visitor.does("seen") == []


@pytest.mark.parametrize("how", ["order_id", "transaction_id", "conversion_id"])
async def test_reloaded_thank_you_page_sends_nothing_new(visitor, site, how):
    buy = f"<script>{bought(f'order-9-{how}').replace('order_id', how)}</script>"
    site.shop.page("/thanks", buy, head=site.tag() + site.x_tag())

    await visitor.goes_to("/thanks")
    await until(lambda: site.counted(f"order-9-{how}") == ONCE)
    await visitor.page.reload()
    await visitor.goes_to("/thanks")
    await visitor.wait_until_settled()

    assert (len(await visitor.sends()), len(site.hits())) == (1, 1)


async def test_purchase_without_an_order_id_is_sent_once_on_a_reloaded_page(visitor, site):
    buy = "<script>twite('purchase', {value: 1, currency: 'EUR', email: 'a@example.com'})</script>"
    site.shop.page("/thanks", buy, head=site.tag() + site.x_tag())

    await visitor.goes_to("/thanks")
    await until(lambda: len(site.hits()) == 1 and len(site.sent()) == 1)
    await visitor.page.reload()
    await visitor.wait_until_settled()

    assert (len(await visitor.sends()), len(site.hits())) == (1, 1)


BASKETS = ["null", "[null, {id: 'SKU-1'}]", "{id: 'SKU-1'}", "'SKU-1'", "7"]


@pytest.mark.parametrize("basket", BASKETS)
async def test_purchase_with_invalid_contents_is_sent(visitor, site, basket):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    order = f"order-b{BASKETS.index(basket)}"

    await visitor.goes_to("/")
    await visitor.does(
        f"twite('purchase', {{order_id: '{order}', email: 'a@example.com', contents: {basket}}})"
    )

    await until(lambda: site.counted(order) == BY_API)


async def test_two_equal_events_on_one_page_are_two_conversions(visitor, site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    add = "twite('purchase', {value: 1, currency: 'EUR', email: 'a@example.com'});"

    await visitor.goes_to("/")
    await visitor.does(add + add)
    await until(lambda: len(site.sent()) == 2)

    assert len({conversion["conversion_id"] for conversion in site.sent()}) == 2


PERSONS = [
    ("email", " Shopper@Example.com "),
    ("email", "shopper+news@example.com"),
    ("email", "J\u00f6rg@example.com"),
    ("email", "\u200bshopper@example.com\ufeff"),
    ("email", "5F4DCC3B5AA765D61D8327DEB882CF995F4DCC3B5AA765D61D8327DEB882CF99"),
    ("email", "not an address"),
    ("email", ""),
    ("phone", "+1 (415) 555-0100"),
    ("phone", "0044 20 7946 0958"),
    ("phone", "+44 (0)20 7946 0958"),
    ("phone", "(020) 7946 0958"),
    ("phone", "tel:+44-20-7946-0958"),
    ("phone", "+44 020 7946 0958"),
    ("phone", "call me"),
    ("phone", "12"),
]


async def test_page_and_gateway_hash_identifiers_equally(visitor, site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    calls = [f"twite('purchase', {{{kind}: {text!r}}})" for kind, text in PERSONS]

    await visitor.goes_to("/")
    for call in calls:
        await visitor.does(call)
        await visitor.wait_until_settled()
    sent = await visitor.sends(len(PERSONS))
    found = [
        conversion.get("email_sha256") or conversion.get("phone_sha256") for conversion in sent
    ]

    read = {
        "email": lambda text: email_digest(text, path=""),
        "phone": lambda text: phone_digest(text, region="GB", path=""),
    }
    expected = [read[kind](text) for kind, text in PERSONS]
    assert found == [digest if isinstance(digest, str) else None for digest in expected]


async def test_without_web_crypto_a_purchase_is_sent_without_the_person(visitor, site):
    await visitor.context.add_init_script(
        "Object.defineProperty(crypto, 'subtle', {value: undefined})"
    )
    site.shop.page("/", "", head=site.tag(data_pixel="off"))

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-http"))
    await until(lambda: site.counted("order-http") == BY_API)

    [conversion] = await visitor.sends()
    assert [name for name in conversion if "sha256" in name or name in ("email", "phone")] == []


async def test_without_web_crypto_a_given_hash_is_sent(visitor, site):
    await visitor.context.add_init_script(
        "Object.defineProperty(crypto, 'subtle', {value: undefined})"
    )
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    known = phone_digest("+442079460958", region=None, path="")

    await visitor.goes_to("/")
    await visitor.does(f"twite('purchase', {{email: 'a@example.com', phone_sha256: '{known}'}})")
    [conversion] = await visitor.sends()

    assert (conversion.get("email_sha256"), conversion["phone_sha256"]) == (None, known)


async def test_no_raw_identifier_leaves_the_browser(visitor, site):
    site.shop.page("/thanks", "", head=site.tag() + site.x_tag())

    await visitor.goes_to("/thanks?to=shopper%40example.com&mail=shopper@example.com&size=2")
    await visitor.does(bought("order-10"))
    await until(lambda: site.counted("order-10") == ONCE)
    [conversion] = await visitor.sends()
    said = str(visitor.beacons()).lower()

    assert [text for text in SHOPPER if text in said] == []
    assert SHOPPERS_PHONE.search(said) is None
    assert conversion["url"].endswith("/thanks?to=&mail=&size=2")
