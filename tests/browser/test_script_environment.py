"""The script's environment: content security policies, no JavaScript, robots, prerendered pages."""

import base64
import hashlib
import urllib.request

import pytest
from visitor import TWCLID, Visitor, bought, until

from twite.http.script import script

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

BY_API = {"api": 1, "pixel": 0, "counted": 1}
ONCE = {"api": 1, "pixel": 1, "counted": 1}


def versioned(street) -> tuple[str, str]:
    """The URL of this version of the script, and its integrity hash."""
    body = script()
    address = f"{street.gateway_url}/twite.{hashlib.sha256(body).hexdigest()[:16]}.js"
    served = fetched(street, address)
    return address, "sha384-" + base64.b64encode(hashlib.sha384(served).digest()).decode()


def fetched(street, address: str) -> bytes:
    with urllib.request.urlopen(address.replace(street.gateway_url, street.gateway.url)) as answer:
        return answer.read()


def a_strict_page(street, integrity: str, address: str) -> None:
    policy = (
        f"default-src 'none'; script-src {street.shop.origin} {street.gateway_url}"
        f" {street.emulator.url}; connect-src {street.gateway_url}; img-src {street.emulator.url}"
    )
    street.shop.file("/shop.js", "document.title = 'The shop of a strict page';")
    tag = (
        f"<script src='{address}?s=page' integrity='{integrity}' crossorigin='anonymous'"
        " data-consent='optional' data-pixel='load' data-pixel-id='o8z6j'"
        f" data-pixel-url='{street.pixel_url}'"
        """ data-events='{"purchase": "tw-o8z6j-o8z6k"}'></script>"""
    )
    street.shop.page(
        "/", "", head=f"{tag}<script src='/shop.js'></script>", content_security_policy=policy
    )


async def test_script_works_with_a_strict_policy_and_integrity(visitor, street):
    address, integrity = versioned(street)
    a_strict_page(street, integrity, address)
    blocked = []
    visitor.page.on("console", lambda message: blocked.append(message.text))

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-p1"))
    await until(lambda: street.counted("order-p1") == ONCE)

    assert [text for text in blocked if "favicon" not in text and "404" not in text] == []


async def test_changed_script_is_refused_by_integrity(visitor, street):
    address, _ = versioned(street)
    other = "sha384-" + base64.b64encode(hashlib.sha384(b"another").digest()).decode()
    a_strict_page(street, other, address)

    await visitor.goes_to("/")

    assert await visitor.does("typeof window.twite") == "undefined"


async def test_versioned_script_is_the_usual_script_without_its_first_line(street):
    _, _, rest = fetched(street, f"{street.gateway_url}/twite.js?s=page").partition(b"\n")
    address, _ = versioned(street)

    assert rest == fetched(street, address)


async def test_page_without_a_consent_setting_waits_for_consent(visitor, street):
    address, integrity = versioned(street)
    tag = f"<script src='{address}?s=page' integrity='{integrity}' crossorigin></script>"
    street.shop.page("/", "", head=tag)

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-p2"))
    await visitor.idles()

    assert (visitor.beacons(), await visitor.kept()) == ([], [])


async def test_noscript_image_sends_the_conversion(browser, street):
    street.emulator.reset("received")
    image = (
        f"{street.gateway_url}/t?s=page&amp;event=purchase&amp;conversion_id=order-p3"
        f"&amp;value=49.90&amp;currency=EUR&amp;twclid={TWCLID}"
    )
    street.shop.page("/thanks", f"<noscript><img src='{image}' alt=''></noscript>")

    async with Visitor.in_context(browser, street, java_script_enabled=False) as visitor:
        await visitor.goes_to("/thanks")
        await until(lambda: street.counted("order-p3") == BY_API)

    [sent] = street.sent()
    assert (sent["value"], sent["identifiers"][0]["twclid"]) == ("49.90", TWCLID)


async def test_noscript_image_is_not_loaded_with_javascript(visitor, street):
    image = f"<noscript><img src='{street.gateway_url}/t?s=page&amp;event=purchase'></noscript>"
    street.shop.page("/", image, head=street.tag(data_pixel="off"))

    await visitor.goes_to("/")
    await visitor.page.wait_for_load_state("networkidle")

    assert [request.url for request in visitor.requests if "event=" in request.url] == []


async def test_automated_browser_is_counted_and_not_sent(visitor, street):
    await visitor.context.add_init_script(
        "Object.defineProperty(navigator, 'webdriver', {value: true})"
    )
    street.shop.page("/", "", head=street.tag(data_pixel="load"))

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-p4"))
    await until(lambda: len(visitor.beacons()) == 1)

    [said] = visitor.beacons()
    assert (said["ignored"], "conversions" in said, await visitor.cookies()) == (
        [{"name": "purchase", "reason": "bot"}],
        False,
        {},
    )


AGENTS = [
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
    ("Mozilla/5.0 (Linux) HeadlessChrome/156.0.0.0 Safari/537.36", True),
    ("Mozilla/5.0 (Linux; Android 9; CUBOT_X19) Chrome/156.0.0.0 Mobile Safari/537.36", False),
]


@pytest.mark.parametrize(("agent", "robot"), AGENTS)
async def test_robots_are_recognized_by_user_agent(browser, street, agent, robot):
    street.shop.page("/", "", head=street.tag(data_pixel="off"))

    async with Visitor.in_context(browser, street, user_agent=agent) as visitor:
        await visitor.goes_to("/")
        await visitor.does("twite('purchase', {email: 'shopper@example.com'})")
        await until(lambda: len(visitor.beacons()) == 1)

        assert ("ignored" in visitor.beacons()[0]) == robot


PRERENDERED = """
  let hidden = true;
  Object.defineProperty(document, 'prerendering', {get: () => hidden});
  window.look = () => { hidden = false; document.dispatchEvent(new Event('prerenderingchange')); };
"""


async def test_prerendered_page_sends_once_it_is_visible(visitor, street):
    await visitor.context.add_init_script(PRERENDERED)
    street.shop.page(
        "/", f"<script>{bought('order-p5')}</script>", head=street.tag(data_pixel="load")
    )

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await until(lambda: len(visitor.beacons()) == 1)
    early = [said.get("ignored") for said in visitor.beacons()], street.hits()
    await visitor.does("look()")
    await until(lambda: street.counted("order-p5") == ONCE)

    assert early == ([[{"name": "purchase", "reason": "prerender"}]], [])


async def test_really_prerendered_page_sends_only_when_visible(visitor, street):
    rules = '{"prerender": [{"urls": ["/thanks"], "eagerness": "immediate"}]}'
    street.shop.page(
        "/",
        "<a href='/thanks'>Thanks</a>",
        head=f"<script type='speculationrules'>{rules}</script>",
    )
    street.shop.page(
        "/thanks", f"<script>{bought('order-p6')}</script>", head=street.tag(data_pixel="off")
    )

    await visitor.goes_to("/")
    try:
        await until(lambda: "/thanks" in street.shop.asked)
    except AssertionError:
        pytest.skip("this browser prerenders nothing here")
    await visitor.page.wait_for_timeout(300)
    early = street.counted("order-p6")["api"]
    await visitor.page.click("a")

    await until(lambda: street.counted("order-p6") == BY_API)
    assert early == 0


async def test_script_loaded_twice_runs_once(visitor, street):
    tag = street.tag(data_pixel="off")
    street.shop.page("/", "", head=tag + tag)

    await visitor.goes_to("/")
    await visitor.page.wait_for_load_state("networkidle")
    await visitor.does(bought("order-p7"))
    await visitor.settles()

    assert len(await visitor.sends()) == 1


async def test_page_without_https_sends_sale_and_click_but_no_person(
    playwright_, chromium, street, tmp_path
):
    here = "--host-resolver-rules=MAP *.example 127.0.0.1, MAP shop.example 127.0.0.1"
    tag = street.tag(data_pixel="off").replace("t.shop.localhost", "t.shop.example")
    street.shop.page("/", "", head=tag)

    async with Visitor.of_profile(
        playwright_, chromium, street, tmp_path, here, "--no-proxy-server"
    ) as visitor:
        await visitor.page.goto(f"{street.shop.plain_origin}/?twclid={TWCLID}")
        offered = await visitor.does("[isSecureContext, !!crypto.subtle, !!navigator.locks]")
        await visitor.does(bought("order-plain"))
        await until(lambda: street.counted("order-plain") == BY_API)
        kept = (await visitor.cookies())["_twite"].rpartition(".")[2]

    [sent] = [
        conversion for conversion in street.sent() if conversion["conversion_id"] == "order-plain"
    ]
    told = {name for identifier in sent["identifiers"] for name in identifier}
    assert (offered, kept) == ([False, False, False], TWCLID)
    assert "twclid" in told
    assert not told & {"hashed_email", "hashed_phone_number"}


async def test_settings_made_at_run_time_are_used(visitor, street):
    address, integrity = versioned(street)
    street.shop.page(
        "/", "", head=f"<script src='{address}' integrity='{integrity}' crossorigin></script>"
    )

    await visitor.goes_to("/")
    await visitor.does("twite('config', {source: 'page', consent: 'optional', pixel: 'off'})")
    await visitor.does(bought("order-p8"))

    await until(lambda: street.counted("order-p8") == BY_API)
