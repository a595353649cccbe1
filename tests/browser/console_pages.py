"""A console with content on each page, for tests and screenshots."""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from playwright.async_api import Browser, Page

sys.path.insert(0, str(Path(__file__).parents[1] / "console"))

from console_stage import PASSWORD, SETTINGS, ConsoleStage

from twite.gateway.ports.directory import Passwords

KEY: Final = "a-source-key-of-some-length"
SHOP: Final = "https://shop.example"
PIXEL: Final = "o8z6j"
EVENTS: Final = 'purchase = "o8z6k"'
# An event that X does not know, so that its conversions are held until it is mapped.
CARTS: Final = ', add_to_cart = "o8zzz"'
# Values for path parameters.
PARTS: Final[Mapping[str, str]] = {
    "name": "vic",
    "pixel": PIXEL,
    "source": "shop",
    "event": "o8z6k",
    "conversion_id": "order-3",
    "delivery": "1",
    "session": "latest",
}
# The callback from X, streams, and pages that need a link or a problem: other tests open them.
ASIDE: Final = {
    "/console/problems/{problem}",
    "/console/problems/replays/{replay}",
    "/console/connect/callback",
    "/console/changes",
    "/console/tags/{session}/changes",
    "/console/link/{token}",
}
MOST_TABS: Final = 150
# What is said of the focused element; a region that scrolls contains other elements.
FOCUSED: Final = """(() => {
  const it = document.activeElement;
  return [it.matches("div, main, body") ? "" : it.innerText, it.name, it.id].join(" ");
})()"""
# Text that must have no effect wherever it is shown.
HOSTILE: Final = (
    "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}\u202egnp.exe =1+1"
)


# A tag that fires only for previewed orders, so it shows only on the preview page.
TAG: Final = """
[[tag]]
name = "ads"
template = "ads.tpl"
events = ["purchase"]
when = [{{ field = "currency", operator = "equals", value = "GBP" }}]
fields = {{ endpoint = "https://ads.example/events", currency = "{{{{{{{{currency}}}}}}}}" }}
"""
# A webhook that needs no signature, so that the content of its page is easily sent.
WEBHOOK: Final = """
[[webhook]]
name = "crm"
kind = "generic"
secret = "a-secret-in-the-path"
source = "shop"
authentication = "path"
ignore = {{ refund = "type == 'order.refunded'" }}
map = {{ conversion_id = "id", value = "total", currency = "'EUR'", email = "mail" }}
"""
TEMPLATE: Final = Path(__file__).parents[1] / "tags/templates/ad_cookies.tpl"


def with_tag(
    folder: Path, *, x: str, passwords: Passwords | None = None, more_events: str = ""
) -> ConsoleStage:
    """Return a gateway with a tag that fires for `preview`. `more_events` are those of o8z6j."""
    shutil.copy(TEMPLATE, folder / "ads.tpl")
    settings = SETTINGS.replace(f'key = "{KEY}"', f'key = "{KEY}"\norigins = ["{SHOP}"]')
    settings = settings.replace(EVENTS, EVENTS + more_events)
    return ConsoleStage(folder, settings + TAG + WEBHOOK, passwords=passwords, x=x)


async def preview(stage: ConsoleStage) -> None:
    """Open a preview session for ada, and send an order in it."""
    session = stage.gateway.feature.previews.open("ada", sends_nothing=True)
    headers = {
        "Authorization": f"Bearer {KEY}",
        "X-Gtm-Server-Preview": session.token.reveal(),
    }
    order = {
        "event": "purchase",
        "conversion_id": "order-previewed",
        "value": "24.90",
        "currency": "GBP",
        "email": "shopper@shop.example",
        "description": HOSTILE,
        "url": "https://shop.example/thanks",
    }
    url = f"{stage.gateway.url}/v1/conversions"
    async with aiohttp.ClientSession(headers=headers) as http:
        for event in ("sign_up", "purchase"):
            async with http.post(url, json=order | {"event": event}) as answer:
                assert answer.status == 202
    for _ in range(100):
        if all(run.outcome != "running" for seen in session.requests for run in seen.runs):
            return
        await asyncio.sleep(0.1)


async def busy(stage: ConsoleStage) -> None:
    """Submit orders: good ones, and one with hostile text in every text field."""
    orders: list[dict[str, object]] = [
        {
            "event": "purchase" if number % 4 else "sign_up",
            "conversion_id": f"order-{number}",
            "value": f"{19 + number}.90",
            "currency": "EUR",
            "email": f"shopper{number}@shop.example",
            "phone": "+44 20 7946 0958",
            "twclid": "23opevjt88psuo13lu8d020qkn",
        }
        for number in range(24)
    ]
    orders.append(
        {
            "event": "purchase",
            "conversion_id": "order-hostile",
            "email": "shopper@shop.example",
            "description": HOSTILE,
            "search": HOSTILE,
            "contents": [{"id": "SKU", "name": HOSTILE}],
        }
    )
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        url = stage.gateway.url
        async with http.post(f"{url}/v1/conversions", json={"conversions": orders}) as answer:
            said = json.loads(await answer.read())
            assert said["rejected"] == [], said
        for _ in range(200):
            async with http.get(f"{url}/v1/accounting") as answer:
                if json.loads(await answer.read())["pending"] == 0:
                    await preview(stage)
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("the orders do not land")


async def deliver(stage: ConsoleStage) -> None:
    """Send messages to the webhook: conversions, a refund, and requests with a wrong secret."""
    order: dict[str, object] = {"type": "order.paid", "total": 49.90, "mail": "a@shop.example"}
    messages: list[tuple[str, dict[str, object]]] = [
        ("a-wrong-secret", order),
        ("a-wrong-secret", order),
        ("a-secret-in-the-path", order | {"id": "crm-1"}),
        ("a-secret-in-the-path", order | {"id": "crm-1"}),
        ("a-secret-in-the-path", order | {"type": "order.refunded", "id": "crm-1"}),
        ("a-secret-in-the-path", order | {"id": "crm-2", "total": None}),
        ("a-secret-in-the-path", order | {"type": HOSTILE, "id": "crm-3"}),
    ]
    async with aiohttp.ClientSession() as http:
        for secret, message in messages:
            url = f"{stage.gateway.url}/webhooks/crm/{secret}"
            async with http.post(url, json=message) as answer:
                assert answer.status in {200, 401}


async def visit(stage: ConsoleStage) -> None:
    """Report conversions of pages, for the deduplication report, and wait until it is counted."""
    headers = {"Origin": SHOP, "Content-Type": "text/plain"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for name, pixel_call in (("page-1", "loaded"), ("page-2", "blocked")):
            now = time.time_ns() // 1_000_000
            conversion = {
                "event": "purchase",
                "conversion_id": name,
                "email": "shopper@shop.example",
                "pixel": pixel_call,
                "at": now,
            }
            said = json.dumps({"v": 1, "sent": now, "conversions": [conversion]})
            async with http.post(f"{stage.gateway.url}/t?s=shop", data=said) as answer:
                assert answer.status == 204, await answer.text()
    ada = await stage.signed_in("ada")
    for _ in range(200):
        if "The report is being prepared" not in (await ada.get("/console/deduplication")).text:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the deduplication report is not counted")


# Pages that differ with a query.
VARIANTS: Final = (
    f"/console?pixel={PIXEL}",
    f"/console/match-keys?pixel={PIXEL}",
    f"/console/deduplication?pixel={PIXEL}",
    "/console/conversions?state=dead&when=today",
    "/console/conversions?state=suppressed&from=nonsense",
)


def pages_of(stage: ConsoleStage) -> list[str]:
    """Return the URL of every page: all GET routes, and some of them with a query."""
    pages = [
        route.path.format_map(PARTS)
        for route in stage.routes
        if route.method == "GET" and route.path not in ASIDE
    ]
    return [*pages, *VARIANTS]


async def sign_in(page: Page, url: str, name: str = "ada") -> None:
    await page.goto(f"{url}/console/sign-in")
    await page.fill("#name", name)
    await page.fill("#password", PASSWORD)
    await page.click("button.main")
    await page.wait_for_selector("nav", state="attached")


async def page_of_ada(browser: Browser, stage: ConsoleStage, **options: Any) -> Page:
    """Open a page whose context has the cookies of ada; other tests sign in in the browser."""
    ada = await stage.signed_in("ada")
    context = await browser.new_context(**options)
    await context.add_cookies(
        [{"name": name, "value": value, "url": stage.url} for name, value in ada.cookies.items()]
    )
    return await context.new_page()


async def tab_to(page: Page, text: str) -> None:
    """Press Tab until an element with a text, a name or an id has the focus."""
    for _ in range(MOST_TABS):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(FOCUSED)
        if text in focused:
            return
    raise AssertionError(f"the keyboard does not reach {text!r}")


async def enter(page: Page, field: str, text: str) -> None:
    """Type into the field with this name or id."""
    await tab_to(page, field)
    await page.keyboard.type(text)


async def press(page: Page, text: str) -> None:
    """Press the button or follow the link with this text."""
    await tab_to(page, text)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def sign_in_by_keyboard(page: Page, url: str, name: str, path: str) -> None:
    """Sign in with the keyboard, and open a page."""
    await page.goto(f"{url}/console/sign-in?next={path}")
    await enter(page, "name", name)
    await enter(page, "password", PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("nav", state="attached")
