"""A shop, a gateway and an emulator of X, each on its own socket, and a real browser."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright, async_playwright

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))
sys.path.insert(0, str(Path(__file__).parents[1] / "console"))

from shop import Shop, ShopSite, running_site
from visitor import FLAGS, SharedTab, Visitor

from twite_emulator.process import running_emulator

# It needs little more than half of Chromium's CPU, and ignores profile preferences.
HEADLESS = "chromium-headless-shell"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> str:
    found = os.environ.get("TWITE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: install it, or name one with TWITE_CHROMIUM")
    return found


@pytest.fixture(scope="session")
def site(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopSite]:
    with Shop() as shop, running_emulator() as emulator:
        folder = tmp_path_factory.mktemp("gateway")
        with running_site(folder, shop, emulator) as site:
            yield site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright_() -> AsyncIterator[Playwright]:
    async with async_playwright() as playwright:
        yield playwright


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(playwright_: Playwright, chromium: str) -> AsyncIterator[Browser]:
    shell = None if "TWITE_CHROMIUM" in os.environ else shutil.which(HEADLESS)
    browser = await playwright_.chromium.launch(executable_path=shell or chromium, args=FLAGS)
    yield browser
    await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tab(browser: Browser) -> AsyncIterator[SharedTab]:
    tab = SharedTab(browser)
    yield tab
    await tab.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(tab: SharedTab, site: ShopSite) -> AsyncIterator[Visitor]:
    """A visitor with an empty browser, and a shop without events."""
    # Late requests of the previous visitor do not count.
    await asyncio.to_thread(site.gateway.drained)
    site.emulator.reset("received")
    site.shop.clear()
    async with tab.visited(site) as visitor:
        yield visitor
