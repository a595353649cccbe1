"""The theme snippet and the custom pixel for Shopify, in a browser."""

import asyncio
import base64
import hmac
import json
import re
import urllib.request

import pytest
from shop import Shop, running_site
from shopify_sandbox import CHECKOUT, GRANTED, page_with_pixel, storefront
from visitor import TWCLID, until

from shopify_orders import ORDER

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

ID = CHECKOUT["order"]["id"]
ALLOWED = {"marketing": True, "sale": True}
FORM = re.compile(rf"1\.\d{{13}}\.{TWCLID}")


async def written(visitor):
    """Return what the page has written into the cart, once it is quiet."""
    await visitor.page.wait_for_load_state("networkidle")
    return await visitor.page.evaluate("attributes")


async def completed(visitor, checkout):
    event = {"id": "1", "name": "checkout_completed", "data": {"checkout": checkout}}
    await visitor.page.evaluate(f"publish('checkout_completed', {json.dumps(event)})")


async def opened(visitor, site, privacy=GRANTED, path="/thanks"):
    site.shop.page("/thanks", page_with_pixel(site.pixel_url, privacy))
    await visitor.goes_to(path)
    await visitor.page.evaluate("ready")


async def asked_for_script(visitor):
    """Return whether X's script was requested."""
    await visitor.page.wait_for_load_state("networkidle")
    return any(request.url.endswith("/uwt.js") for request in visitor.requests)


async def test_sandbox_of_the_tests_has_no_cookies_and_no_storage(visitor, site):
    await opened(visitor, site)
    frame = visitor.page.frames[1]

    for name in ("document.cookie", "localStorage", "parent.document"):
        failed = await frame.evaluate(f"(() => {{try {{{name}}} catch (e) {{return e.name}}}})()")
        assert failed == "SecurityError", name


async def test_completed_checkout_reaches_xs_pixel_with_the_orders_id(visitor, site):
    await opened(visitor, site)
    await completed(visitor, CHECKOUT)
    await until(lambda: site.counted(ID)["pixel"] == 1)

    (event, *_) = site.hits()
    assert (event["conversion_id"], event["value"], event["currency"]) == (ID, 403, "USD")
    assert event["contents"][0]["content_id"] == "MUG-1"


async def test_click_of_the_shops_cookie_reaches_xs_pixel(visitor, site):
    await opened(visitor, site)
    await visitor.page.evaluate(f"document.cookie = '_twite=1.1795600000000.{TWCLID};path=/'")
    await completed(visitor, CHECKOUT)
    await until(lambda: site.counted(ID)["pixel"] == 1)

    hits = [hit["parameters"] for hit in site.emulator.hits()["hits"]]
    assert {hit["twclid"] for hit in hits} == {TWCLID}
    cookies = await visitor.page.evaluate("document.cookie")
    assert "_twpid=" in cookies


async def test_global_id_of_the_order_is_its_number(visitor, site):
    order = {"order": {"id": f"gid://shopify/Order/{ID}"}}
    await opened(visitor, site)
    await completed(visitor, CHECKOUT | order)

    await until(lambda: site.counted(ID)["pixel"] == 1)


@pytest.mark.parametrize(
    "denied", ["marketingAllowed", "saleOfDataAllowed", None], ids=["marketing", "sale", "unknown"]
)
async def test_nothing_is_loaded_or_sent_without_permission(visitor, site, denied):
    privacy = None if denied is None else GRANTED | {denied: False}
    await opened(visitor, site, privacy)
    await completed(visitor, CHECKOUT)

    assert not await asked_for_script(visitor)
    assert site.counted(ID)["pixel"] == 0


async def test_consent_on_the_page_sends_the_waiting_checkout(visitor, site):
    await opened(visitor, site, GRANTED | {"marketingAllowed": False})
    await completed(visitor, CHECKOUT)
    assert not await asked_for_script(visitor)

    event = json.dumps({"customerPrivacy": GRANTED})
    await visitor.page.evaluate(f"publish('visitorConsentCollected', {event})")

    await until(lambda: site.counted(ID)["pixel"] == 1)


async def test_checkout_without_a_total_has_no_value(visitor, site):
    await opened(visitor, site)
    await completed(visitor, CHECKOUT | {"totalPrice": None, "lineItems": []})
    await until(lambda: site.counted(ID)["pixel"] == 1)

    (event, *_) = site.hits()
    assert {"value", "currency"}.isdisjoint(event)


async def test_checkout_without_an_order_is_not_sent(visitor, site):
    await opened(visitor, site)
    await completed(visitor, CHECKOUT | {"order": None})

    assert not await asked_for_script(visitor)


async def test_click_and_consent_are_written_into_the_cart(visitor, site):
    site.shop.page("/", storefront(ALLOWED))

    await visitor.goes_to(f"/?twclid={TWCLID}")

    [(address, attributes)] = await written(visitor)
    assert address == "/en/cart/update.js"
    assert FORM.fullmatch(attributes["_twite_click"])
    assert attributes["_twite_consent"] == "granted"


async def test_click_is_kept_for_later_pages_and_written_once(visitor, site):
    site.shop.page("/", storefront(ALLOWED))
    await visitor.goes_to(f"/?twclid={TWCLID}")
    [(_, first)] = await written(visitor)
    click = first["_twite_click"]
    site.shop.page("/mugs", storefront(ALLOWED))
    site.shop.page("/basket", storefront(ALLOWED, click=click, consent="granted"))

    await visitor.goes_to("/mugs")
    [(_, later)] = await written(visitor)
    await visitor.goes_to("/basket")

    assert later["_twite_click"] == click
    assert await written(visitor) == []


@pytest.mark.parametrize(
    ("allowed", "attributes"),
    [
        ({"marketing": False, "sale": True}, {"_twite_click": "", "_twite_consent": "denied"}),
        (
            {"marketing": True, "sale": False},
            {
                "_twite_click": "",
                "_twite_consent": "ad_storage=granted,ad_user_data=granted,gpc=1",
            },
        ),
    ],
)
async def test_denial_is_written_and_stores_no_click(visitor, site, allowed, attributes):
    query = "" if allowed["marketing"] else f"?twclid={TWCLID}"
    site.shop.page("/", storefront(allowed))

    await visitor.goes_to(f"/{query}")

    assert await written(visitor) == [["/en/cart/update.js", attributes]]
    assert await visitor.page.evaluate("document.cookie") == ""


async def test_denial_replaces_the_click_in_the_cart(visitor, site):
    site.shop.page("/", storefront(ALLOWED))
    await visitor.goes_to(f"/?twclid={TWCLID}")
    await written(visitor)

    await visitor.page.evaluate(
        "allowed.marketing = false; document.dispatchEvent(new Event('visitorConsentCollected'))"
    )

    attributes = [each for _, each in await written(visitor)]
    assert attributes[1:] == [{"_twite_click": "", "_twite_consent": "denied"}]
    assert await visitor.page.evaluate("document.cookie") == ""


async def test_without_the_privacy_api_nothing_is_stored_or_written(visitor, site):
    site.shop.page("/", storefront(None))

    await visitor.goes_to(f"/?twclid={TWCLID}")

    assert await written(visitor) == []
    assert await visitor.page.evaluate("document.cookie") == ""


def deliver(site, attributes):
    """Send the order as Shopify does, with the attributes of its cart."""
    rows = [{"name": name, "value": value} for name, value in attributes.items()]
    order = ORDER | {
        "note_attributes": rows,
        "processed_at": None,
        "created_at": None,
        "updated_at": None,
    }
    body = json.dumps(order | {"landing_site": "/"}).encode()
    signature = base64.b64encode(hmac.digest(b"hush", body, "sha256")).decode()
    headers = {"X-Shopify-Topic": "orders/paid", "X-Shopify-Hmac-SHA256": signature}
    request = urllib.request.Request(f"{site.gateway.url}/webhooks/orders", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


async def test_order_of_the_webhook_and_of_the_pixel_count_once(tab, tmp_path, site):
    webhook = '[[webhook]]\nname = "orders"\nkind = "shopify"\nsecret = "hush"\nsource = "shop"\n'
    with Shop() as shop, running_site(tmp_path, shop, site.emulator, extra=webhook) as own:
        site.emulator.reset("received")
        async with tab.visited(own) as visitor:
            shop.page("/", storefront(ALLOWED))
            await visitor.goes_to(f"/?twclid={TWCLID}")
            [(_, attributes)] = await written(visitor)
            await opened(visitor, own)
            await completed(visitor, CHECKOUT)
            answer = await asyncio.to_thread(deliver, own, attributes)
            await until(lambda: own.counted(ID)["api"] == 1 and own.counted(ID)["pixel"] == 1)

        assert answer["accepted"] == 1
        assert own.counted(ID)["counted"] == 1
        [sent] = own.sent()
        assert sent["identifiers"][0]["twclid"] == TWCLID
