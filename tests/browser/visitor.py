"""Somebody with a browser: where they go, and what leaves their browser."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, Page, Request
from shop import Street

FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    # Else the browser says of itself that a program drives it.
    "--disable-blink-features=AutomationControlled",
]
AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Safari/537.36"
)
ADDRESS = "203.0.113.7"
TWCLID = "2-3k9x0abcd1efgh2ijkl3mnop4q"


class Visitor:
    def __init__(self, context: BrowserContext, page: Page, street: Street) -> None:
        self.context = context
        self.page = page
        self.street = street
        self.requests: list[Request] = []
        self.errors: list[str] = []
        context.on("request", lambda request: self.requests.append(request))  # noqa: PLW0108 - marks the function
        context.on("weberror", lambda error: self.errors.append(str(error.error)))

    @classmethod
    @asynccontextmanager
    async def in_context(
        cls, browser: Browser, street: Street, **options: object
    ) -> AsyncIterator["Visitor"]:
        given = {"user_agent": AGENT, "extra_http_headers": {"X-Forwarded-For": ADDRESS}}
        context = await browser.new_context(**given | options)
        try:
            yield cls(context, await context.new_page(), street)
        finally:
            await context.close()

    async def goes_to(self, path: str) -> None:
        await self.page.goto(self.street.shop.origin + path)

    async def other_tab(self) -> Page:
        return await self.context.new_page()

    async def does(self, script: str) -> object:
        return await self.page.evaluate(script)

    def beacons(self) -> list[dict[str, object]]:
        """What the script said to the gateway, in order."""
        return [
            json.loads(request.post_data or "{}")
            for request in self.requests
            if request.method == "POST" and request.url.startswith(f"{self.street.gateway_url}/t?")
        ]

    def conversions(self) -> list[dict[str, object]]:
        return [one for said in self.beacons() for one in said.get("conversions", [])]

    async def cookies(self) -> dict[str, str]:
        return {cookie["name"]: cookie["value"] for cookie in await self.context.cookies()}


async def until(ready: Callable[[], bool], *, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it took too long"
        await asyncio.sleep(0.02)
