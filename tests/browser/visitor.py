"""A visitor with a browser: navigation, and the requests that leave the browser."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Error, Page, Playwright, Request
from shop import ShopSite

AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Safari/537.36"
)
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    # Otherwise the browser reports that it is automated.
    "--disable-blink-features=AutomationControlled",
    # Set by a flag, because requests that a page sends while it is being left ignore other
    # settings.
    f"--user-agent={AGENT}",
]
TWCLID = "2-3k9x0abcd1efgh2ijkl3mnop4q"
SHOPPER = ("shopper@", "shopper%40")
# Four digits alone may be part of a random id.
SHOPPERS_PHONE = re.compile(r"7946(?:%20|\W)*0958")


def bought(order: str) -> str:
    """Return the script call of a thank-you page, which is also a valid expression."""
    return f"""twite('purchase', {{order_id: '{order}', value: 49.9, currency: 'EUR',
      email: ' Shopper@Example.com ', phone: '020 7946 0958',
      contents: [{{id: 'SKU-1', name: 'Mug', price: 24.95, quantity: 2, group: 'mugs',
        type: 'kitchen'}}]}})"""


def left(conversion: str) -> str:
    """The queue entry of a conversion that could not be sent."""
    return f"JSON.stringify({{tries: 1, until: 0, one: {conversion}}})"


class Visitor:
    def __init__(self, context: BrowserContext, page: Page, site: ShopSite) -> None:
        self._context = context
        self.page = page
        self.site = site
        self.requests: list[Request] = []
        self.errors: list[str] = []
        # Whether a test may have changed more than storage, cookies and the page's URL.
        self.has_changed_context = False
        self.origins: set[str] = set()
        self.page_origins: set[str] = set()
        self._listeners = {
            "request": lambda request: self._note(request),  # noqa: PLW0108 - marks the function
            "weberror": lambda error: self.errors.append(str(error.error)),
        }
        for event, listener in self._listeners.items():
            context.on(event, listener)

    @property
    def context(self) -> BrowserContext:
        """The browser context. The test may change it, because no other test gets it."""
        self.has_changed_context = True
        return self._context

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        self.origins.add(origin)
        if request.is_navigation_request():
            self.page_origins.add(origin)

    def leaves(self) -> None:
        for event, listener in self._listeners.items():
            self._context.remove_listener(event, listener)

    @classmethod
    @asynccontextmanager
    async def in_context(
        cls, browser: Browser, site: ShopSite, **options: object
    ) -> AsyncIterator["Visitor"]:
        context = await browser.new_context(**options)
        try:
            yield cls(context, await context.new_page(), site)
        finally:
            await close(context)

    @classmethod
    @asynccontextmanager
    async def of_profile(
        cls, playwright: Playwright, chromium: str, site: ShopSite, folder: Path, *flags: str
    ) -> AsyncIterator["Visitor"]:
        """A visitor whose browser has its own profile folder with preferences."""
        context = await playwright.chromium.launch_persistent_context(
            folder, executable_path=chromium, args=[*FLAGS, *flags]
        )
        try:
            yield cls(context, context.pages[0], site)
        finally:
            await context.close()

    async def goes_to(self, path: str) -> None:
        await self.page.goto(self.site.shop.origin + path)

    async def other_tab(self) -> Page:
        return await self.context.new_page()

    async def does(self, script: str) -> object:
        return await self.page.evaluate(script)

    async def wait_until_settled(self) -> None:
        """Wait until the script has nothing left to send or to wait for."""
        await self.page.wait_for_load_state("networkidle")
        await self.wait_until_queue_is_empty()

    async def wait_until_queue_is_empty(self) -> None:
        """Wait until no conversion waits in the browser."""
        await self.page.wait_for_function(
            "() => Object.keys(localStorage).every((key) => !key.startsWith('twite:'))"
        )

    async def wait_for_responses(self) -> None:
        """Wait until the gateway has answered all requests."""
        await self.page.wait_for_function("() => localStorage['twite.click']")
        await self.page.wait_for_load_state("networkidle")
        await until(lambda: any("click" in said for said in self.beacons()))

    async def wait_until_idle(self) -> None:
        """Wait until the script runs and its timers have fired twice."""
        await self.page.wait_for_function("() => window.twite && twite.runs")
        await self.does(
            "new Promise((done) => requestIdleCallback(() => requestIdleCallback(done,"
            " {timeout: 2000}), {timeout: 2000}))"
        )

    async def waits_for_a_failure(self) -> None:
        """Wait until a request has failed and no response to it can arrive any more."""
        await self.page.wait_for_function(
            "() => Object.keys(localStorage).some((key) => /^twite:/.test(key) &&"
            " JSON.parse(localStorage[key]).tries)"
        )
        await asyncio.sleep(0.05)

    async def sends(self, count: int = 1) -> list[dict[str, object]]:
        """Wait until the browser has sent this many conversions, and return all it has sent."""
        await until(lambda: len(self.conversions()) >= count)
        return self.conversions()

    async def queued(self) -> list[str]:
        """The conversions queued in the browser."""
        keys = await self.does("Object.keys(localStorage)")
        return [key for key in keys if key.startswith("twite:")]  # type: ignore[attr-defined]

    def beacons(self) -> list[dict[str, object]]:
        """The script's messages to the gateway, in order."""
        return [
            json.loads(request.post_data or "{}")
            for request in self.requests
            if request.method == "POST" and request.url.startswith(f"{self.site.gateway_url}/t?")
        ]

    def conversions(self) -> list[dict[str, object]]:
        return [conversion for said in self.beacons() for conversion in said.get("conversions", [])]

    async def cookies(self) -> dict[str, str]:
        return {cookie["name"]: cookie["value"] for cookie in await self._context.cookies()}


class SharedTab:
    """One tab for many tests, until a test changes its context.

    A new context with a page costs half a second of CPU time. No visitor sees storage, cookies or
    cached files of the previous one.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._page: Page | None = None

    @asynccontextmanager
    async def visited(self, site: ShopSite) -> AsyncIterator[Visitor]:
        page = self._page or await (await self._browser.new_context()).new_page()
        # The browser may set a cookie of the last page only after that page has gone.
        await page.context.clear_cookies()
        visitor = Visitor(page.context, page, site)
        self._page = None
        try:
            yield visitor
        finally:
            visitor.leaves()
            if (
                visitor.has_changed_context
                or page.context.pages != [page]
                # Session storage is cleared only for the open page.
                or len(visitor.page_origins) > 1
            ):
                await close(page.context)
            else:
                await _forget(page, visitor.origins)
                self._page = page

    async def close(self) -> None:
        if self._page is not None:
            await close(self._page.context)


async def _forget(page: Page, origins: set[str]) -> None:
    """Leave the page without further requests, and clear the storage of its origins."""
    context = page.context
    await context.set_offline(True)
    with contextlib.suppress(Error):  # a page without storage
        await page.evaluate("sessionStorage.clear()")
    await page.goto("about:blank")
    devtools = await context.new_cdp_session(page)
    for origin in origins:
        await devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    await devtools.send("Network.clearBrowserCache")
    await devtools.detach()
    await context.set_offline(False)


async def close(context: BrowserContext) -> None:
    # A busy browser may never answer; ending the browser closes the context, too.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(context.close(), 30)


async def until(ready: Callable[[], bool], *, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while True:
        # The browser's events arrive here.
        await asyncio.sleep(0.02)
        if ready():
            return
        assert time.monotonic() < end, "it took too long"
