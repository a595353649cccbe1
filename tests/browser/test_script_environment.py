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


def versioned(site) -> tuple[str, str]:
    """The URL of this version of the script, and its integrity hash."""
    body = script()
    address = f"{site.gateway_url}/twite.{hashlib.sha256(body).hexdigest()[:16]}.js"
    served = fetched(site, address)
    return address, "sha384-" + base64.b64encode(hashlib.sha384(served).digest()).decode()


def fetched(site, address: str) -> bytes:
    with urllib.request.urlopen(address.replace(site.gateway_url, site.gateway.url)) as answer:
        return answer.read()


def a_strict_page(site, integrity: str, address: str) -> None:
    policy = (
        f"default-src 'none'; script-src {site.shop.origin} {site.gateway_url}"
        f" {site.emulator.url}; connect-src {site.gateway_url}; img-src {site.emulator.url}"
    )
    site.shop.file("/shop.js", site.stub())
    tag = (
        f"<script src='{address}?s=page' integrity='{integrity}' crossorigin='anonymous'"
        " data-consent='optional' data-pixel='load' data-pixel-id='o8z6j'"
        """ data-events='{"purchase": "tw-o8z6j-o8z6k"}'></script>"""
    )
    site.shop.page(
        "/", "", head=f"<script src='/shop.js'></script>{tag}", content_security_policy=policy
    )


async def test_script_works_with_a_strict_content_security_policy_and_integrity(visitor, site):
    address, integrity = versioned(site)
    a_strict_page(site, integrity, address)
    blocked = []
    visitor.page.on("console", lambda message: blocked.append(message.text))

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-p1"))
    await until(lambda: site.counted("order-p1") == ONCE)

    assert [text for text in blocked if "favicon" not in text and "404" not in text] == []


async def test_changed_script_is_refused_by_the_integrity_hash(visitor, site):
    address, _ = versioned(site)
    other = "sha384-" + base64.b64encode(hashlib.sha384(b"another").digest()).decode()
    a_strict_page(site, other, address)

    await visitor.goes_to("/")

    assert not await visitor.does("twite.runs")


async def test_versioned_script_is_the_same_script_without_its_first_line(site):
    _, _, rest = fetched(site, f"{site.gateway_url}/twite.js?s=page").partition(b"\n")
    address, _ = versioned(site)

    assert rest == fetched(site, address)


async def test_page_without_a_consent_setting_waits_for_consent(visitor, site):
    address, integrity = versioned(site)
    tag = f"<script src='{address}?s=page' integrity='{integrity}' crossorigin></script>"
    site.shop.page("/", "", head=tag)

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-p2"))
    await visitor.wait_until_idle()

    assert (visitor.beacons(), await visitor.queued()) == ([], [])


async def test_noscript_image_sends_the_conversion(browser, site):
    site.emulator.reset("received")
    image = (
        f"{site.gateway_url}/t?s=page&amp;event=purchase&amp;conversion_id=order-p3"
        f"&amp;value=49.90&amp;currency=EUR&amp;twclid={TWCLID}"
    )
    site.shop.page("/thanks", f"<noscript><img src='{image}' alt=''></noscript>")

    async with Visitor.in_context(browser, site, java_script_enabled=False) as visitor:
        await visitor.goes_to("/thanks")
        await until(lambda: site.counted("order-p3") == BY_API)

    [sent] = site.sent()
    assert (sent["value"], sent["identifiers"][0]["twclid"]) == ("49.90", TWCLID)


async def test_noscript_image_is_not_loaded_if_javascript_runs(visitor, site):
    image = f"<noscript><img src='{site.gateway_url}/t?s=page&amp;event=purchase'></noscript>"
    site.shop.page("/", image, head=site.tag(data_pixel="off"))

    await visitor.goes_to("/")
    await visitor.page.wait_for_load_state("networkidle")

    assert [request.url for request in visitor.requests if "event=" in request.url] == []


async def test_conversion_of_an_automated_browser_is_counted_and_not_sent(visitor, site):
    await visitor.context.add_init_script(
        "Object.defineProperty(navigator, 'webdriver', {value: true})"
    )
    site.shop.page("/", "", head=site.tag(data_pixel="load"))

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
async def test_robots_are_recognized_by_user_agent(browser, site, agent, robot):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))

    async with Visitor.in_context(browser, site, user_agent=agent) as visitor:
        await visitor.goes_to("/")
        await visitor.does("twite('purchase', {email: 'shopper@example.com'})")
        await until(lambda: len(visitor.beacons()) == 1)

        assert ("ignored" in visitor.beacons()[0]) == robot


PRERENDERED = """
  let hidden = true;
  Object.defineProperty(document, 'prerendering', {get: () => hidden});
  window.look = () => { hidden = false; document.dispatchEvent(new Event('prerenderingchange')); };
"""


async def test_prerendered_page_sends_after_it_becomes_visible(visitor, site):
    await visitor.context.add_init_script(PRERENDERED)
    site.shop.page("/", f"<script>{bought('order-p5')}</script>", head=site.tag(data_pixel="load"))

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await until(lambda: len(visitor.beacons()) == 1)
    early = [said.get("ignored") for said in visitor.beacons()], site.hits()
    await visitor.does("look()")
    await until(lambda: site.counted("order-p5") == ONCE)

    assert early == ([[{"name": "purchase", "reason": "prerender"}]], [])


async def test_page_prerendered_by_chromium_sends_only_when_visible(visitor, site):
    rules = '{"prerender": [{"urls": ["/thanks"], "eagerness": "immediate"}]}'
    site.shop.page(
        "/",
        "<a href='/thanks'>Thanks</a>",
        head=f"<script type='speculationrules'>{rules}</script>",
    )
    site.shop.page(
        "/thanks", f"<script>{bought('order-p6')}</script>", head=site.tag(data_pixel="off")
    )

    await visitor.goes_to("/")
    try:
        await until(lambda: "/thanks" in site.shop.asked)
    except AssertionError:
        pytest.skip("this browser prerenders nothing here")
    await visitor.page.wait_for_timeout(300)
    early = site.counted("order-p6")["api"]
    await visitor.page.click("a")

    await until(lambda: site.counted("order-p6") == BY_API)
    assert early == 0


async def test_script_loaded_twice_sends_a_conversion_once(visitor, site):
    tag = site.tag(data_pixel="off")
    site.shop.page("/", "", head=tag + tag)

    await visitor.goes_to("/")
    await visitor.page.wait_for_load_state("networkidle")
    await visitor.does(bought("order-p7"))
    await visitor.wait_until_settled()

    assert len(await visitor.sends()) == 1


async def test_page_without_https_sends_no_hashed_identifiers(
    playwright_, chromium, site, tmp_path
):
    here = "--host-resolver-rules=MAP *.example 127.0.0.1, MAP shop.example 127.0.0.1"
    tag = site.tag(data_pixel="off").replace("t.shop.localhost", "t.shop.example")
    site.shop.page("/", "", head=tag)

    async with Visitor.of_profile(
        playwright_, chromium, site, tmp_path, here, "--no-proxy-server"
    ) as visitor:
        await visitor.page.goto(f"{site.shop.plain_origin}/?twclid={TWCLID}")
        offered = await visitor.does("[isSecureContext, !!crypto.subtle, !!navigator.locks]")
        await visitor.does(bought("order-plain"))
        await until(lambda: site.counted("order-plain") == BY_API)
        kept = (await visitor.cookies())["_twite"].rpartition(".")[2]

    [sent] = [
        conversion for conversion in site.sent() if conversion["conversion_id"] == "order-plain"
    ]
    reported = {name for identifier in sent["identifiers"] for name in identifier}
    assert (offered, kept) == ([False, False, False], TWCLID)
    assert "twclid" in reported
    assert not reported & {"hashed_email", "hashed_phone_number"}


async def test_settings_made_after_the_script_loaded_are_used(visitor, site):
    address, integrity = versioned(site)
    site.shop.page(
        "/", "", head=f"<script src='{address}' integrity='{integrity}' crossorigin></script>"
    )

    await visitor.goes_to("/")
    await visitor.does("twite('config', {source: 'page', consent: 'optional', pixel: 'off'})")
    await visitor.does(bought("order-p8"))

    await until(lambda: site.counted("order-p8") == BY_API)
