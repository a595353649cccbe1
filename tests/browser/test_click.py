"""Click ids: how the script finds them, which one it keeps, and where it stores it."""

import json
import time
from urllib.parse import quote

import pytest
from visitor import TWCLID, Visitor, bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

OTHER = "26l6412g5p4iyj65a2oic2ayg2"
NOW = int(time.time() * 1000)
HOUR = 3_600_000


def x_cookie(click: str, at: int) -> str:
    cookie = {"pixelVersion": "2.3.29", "timestamp": at, "twclid": click, "source": 1}
    return quote(json.dumps(cookie))


async def test_gateway_response_sets_the_click_cookie_for_the_whole_site(visitor, site):
    site.shop.page("/", "", head=site.tag())

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.wait_for_responses()
    [cookie] = [cookie for cookie in await visitor.context.cookies() if cookie["name"] == "_twite"]

    days = round((cookie["expires"] - time.time()) / 86_400)
    form, _, click = cookie["value"].split(".")
    assert (form, click, cookie["domain"], cookie["secure"], cookie["sameSite"], days) == (
        ("1", TWCLID, ".shop.localhost", True, "Lax", 90)
    )


async def test_click_cookie_can_be_http_only(visitor, site):
    site.shop.page("/", "", head=site.tag("hiding"))

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.wait_for_responses()
    [cookie] = [cookie for cookie in await visitor.context.cookies() if cookie["name"] == "_twite"]

    assert (cookie["httpOnly"], await visitor.does("document.cookie")) == (True, "")


async def test_click_id_is_sent_to_the_gateway_once(visitor, site):
    site.shop.page("/", "", head=site.tag())

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.wait_for_responses()
    for _ in range(2):
        await visitor.goes_to("/")
        await visitor.page.wait_for_load_state("networkidle")

    assert [said["click"]["id"] for said in visitor.beacons()] == [TWCLID]


async def test_script_stores_the_click_id_if_the_gateway_does_not_respond(visitor, site):
    await visitor.context.route("**/t?*", lambda route: route.abort())
    site.shop.page("/", "", head=site.tag())

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await until(lambda: len(visitor.beacons()) >= 1)
    cookies = await visitor.cookies()

    assert cookies["_twite"].endswith(f".{TWCLID}")


KEPT = [
    ({"_twite": f"1.{NOW - HOUR}.{TWCLID}"}, TWCLID),
    ({"_twclid": x_cookie(TWCLID, NOW - HOUR)}, TWCLID),
    ({"_twclid": TWCLID}, TWCLID),
    ({"twclid": TWCLID}, TWCLID),
    ({"_twite": f"1.{NOW - 2 * HOUR}.{OTHER}", "_twclid": x_cookie(TWCLID, NOW - HOUR)}, TWCLID),
    ({"_twite": f"1.{NOW - HOUR}.{TWCLID}", "_twclid": x_cookie(OTHER, NOW - 2 * HOUR)}, TWCLID),
    ({"_twclid": x_cookie(TWCLID, NOW - 2 * HOUR), "twclid": OTHER}, TWCLID),
    ({"_twclid": "%7Bbroken", "twclid": TWCLID}, TWCLID),
    ({"_twite": "1.abc.", "_twclid": "%%%", "twclid": "not a click!"}, None),
]


@pytest.mark.parametrize(("cookies", "click"), KEPT)
async def test_newest_click_id_of_all_cookies_is_sent(visitor, site, cookies, click):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    await visitor.context.add_cookies(
        [{"name": name, "value": value, "url": site.shop.origin} for name, value in cookies.items()]
    )

    await visitor.goes_to("/")
    await visitor.does("twite('purchase', {email: 'shopper@example.com'})")
    await visitor.sends()

    assert visitor.conversions()[0].get("twclid") == click


async def test_new_click_id_replaces_the_stored_one(visitor, site):
    site.shop.page("/", "", head=site.tag())

    for click in (OTHER, TWCLID):
        await visitor.goes_to(f"/?twclid={click}")
        await visitor.wait_for_responses()
    cookies = await visitor.cookies()

    assert cookies["_twite"].endswith(TWCLID)


async def test_going_back_to_a_landing_page_does_not_restore_its_old_click_id(visitor, site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))

    for click in (OTHER, TWCLID):
        await visitor.goes_to(f"/?twclid={click}")
        await visitor.wait_for_responses()
    await visitor.page.go_back()
    await visitor.does("twite('purchase', {email: 'shopper@example.com'})")
    await visitor.sends()

    assert visitor.conversions()[0]["twclid"] == TWCLID


@pytest.mark.parametrize("step", ["pushState", "replaceState"])
async def test_click_id_in_a_url_set_without_loading_a_page_is_found(visitor, site, step):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))

    await visitor.goes_to("/")
    await visitor.does(f"history.{step}({{}}, '', '/mugs?twclid={TWCLID}')")
    await visitor.does(f"history.{step}({{}}, '', '/thanks')")
    await visitor.does("twite('purchase', {email: 'shopper@example.com'})")
    await visitor.sends()

    [conversion] = visitor.conversions()
    assert (conversion["twclid"], conversion["url"].endswith("/thanks")) == (TWCLID, True)


async def test_going_back_in_an_application_restores_no_old_click_id(visitor, site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))

    await visitor.goes_to(f"/?twclid={OTHER}")
    await visitor.wait_for_responses()
    await visitor.does(f"history.pushState({{}}, '', '/mugs?twclid={TWCLID}')")
    await visitor.does(
        "new Promise((done) => { addEventListener('popstate', done); history.back(); })"
    )
    await visitor.does("twite('purchase', {email: 'shopper@example.com'})")
    await visitor.sends()

    assert visitor.conversions()[0]["twclid"] == TWCLID


async def test_click_id_is_kept_if_the_visitor_goes_back_at_once(visitor, site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))

    await visitor.goes_to(f"/?twclid={OTHER}")
    await visitor.wait_for_responses()
    await visitor.does(
        "new Promise((done) => { addEventListener('popstate', done);"
        f" history.pushState({{}}, '', '/mugs?twclid={TWCLID}'); history.back(); }})"
    )
    await visitor.does("twite('purchase', {email: 'shopper@example.com'})")
    await visitor.sends()

    assert visitor.conversions()[0]["twclid"] == TWCLID


async def test_purchase_is_counted_once_with_cookies_blocked(playwright_, chromium, site, tmp_path):
    (tmp_path / "Default").mkdir()
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default/Preferences").write_text(json.dumps(blocked))
    site.shop.page("/", "", head=site.tag() + site.x_tag())
    site.shop.page("/thanks", "", head=site.tag() + site.x_tag())

    async with Visitor.of_profile(playwright_, chromium, site, tmp_path) as visitor:
        await visitor.goes_to(f"/?twclid={TWCLID}")
        await visitor.goes_to("/thanks")
        await visitor.does(bought("order-blocked"))
        await until(lambda: site.counted("order-blocked")["api"] == 1)
        found = site.counted("order-blocked"), await visitor.context.cookies()

    assert found == ({"api": 1, "pixel": 1, "counted": 1}, [])


async def test_click_ids_of_other_networks_are_kept_if_the_source_says_so(visitor, site):
    site.shop.page("/", "", head=site.tag(data_click_ids='["gclid","ttclid"]'))

    await visitor.goes_to("/?gclid=Cj0-a_1&ttclid=E.C.P.x&fbclid=IwAR1")
    await visitor.wait_until_idle()

    assert await visitor.cookies() == {"_twite_gclid": "Cj0-a_1", "_twite_ttclid": "E.C.P.x"}
    assert visitor.beacons() == []


async def test_click_ids_of_other_networks_follow_consent(visitor, site):
    site.shop.page("/", "", head=site.tag(data_consent="required", data_click_ids='["gclid"]'))

    await visitor.goes_to("/?gclid=Cj0-a_1")
    await visitor.wait_until_idle()
    before = await visitor.cookies()
    await visitor.does("twite('consent', {ad_storage: 'granted', ad_user_data: 'granted'})")
    await visitor.wait_until_idle()
    granted = await visitor.cookies()
    await visitor.does("twite('consent', {ad_storage: 'denied'})")
    await visitor.wait_until_idle()

    assert (before, granted, await visitor.cookies()) == ({}, {"_twite_gclid": "Cj0-a_1"}, {})
