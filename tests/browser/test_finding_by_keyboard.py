"""With the keyboard alone: an order by its receipt or email, one with two ids, and an export."""

import csv
import io
import sqlite3
import time
from contextlib import closing

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from console_pages import KEY, ConsoleStage, enter, press, sign_in_by_keyboard, tab_to
from console_stage import SETTINGS
from playwright.async_api import expect

from twite.domain.times import DAY

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

SHOP = "https://shop.example"
WITH_PAGES = SETTINGS.replace('pixel = "o8z6j"', f'pixel = "o8z6j"\norigins = ["{SHOP}"]', 1)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
PERSON = "anna@shop.de"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(chromium, tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("finding"), WITH_PAGES)
    await stage.start()
    yield stage
    await stage.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def receipt(stage):
    """Send an order by server, and by its page under another id; return the server's receipt."""
    twin = {"event": "purchase", "value": "49.90", "currency": "EUR", "email": PERSON}
    now = time.time_ns() // 1_000_000
    page = {"conversion_id": "page-77", "pixel": "loaded", "at": now}
    message = {"v": 1, "sent": now, "conversions": [twin | page]}
    headers = {"Origin": SHOP, "User-Agent": AGENT, "Content-Type": "text/plain"}
    async with aiohttp.ClientSession() as http:
        async with http.post(
            f"{stage.gateway.url}/v1/conversions",
            json=twin | {"conversion_id": "order-77"},
            headers={"Authorization": f"Bearer {KEY}"},
        ) as answer:
            assert answer.status == 202
            made = (await answer.json())["receipt"]
        async with http.post(
            f"{stage.gateway.url}/t?s=shop", data=msgspec.json.encode(message), headers=headers
        ) as answer:
            assert answer.status == 204
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser, stage, receipt):
    context = await browser.new_context()
    page = await context.new_page()
    await sign_in_by_keyboard(page, stage.url, "ada", "/console/conversions")
    yield page
    await context.close()


@pytest.mark.parametrize("by", ["receipt", "id"])
async def test_order_is_found_by_its_receipt_or_id(page, receipt, by):
    await enter(page, "term", receipt if by == "receipt" else "order-77")
    await page.keyboard.press("Enter")

    await expect(page.locator("h1")).to_have_text("order-77")
    await expect(page.locator("main")).to_contain_text(receipt)


async def test_orders_are_found_by_an_email_that_no_url_shows(page):
    await enter(page, "term", f" {PERSON.upper()} ")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/conversions?digest=*")

    await expect(page.locator("main table")).to_contain_text("order-77")
    await expect(page.locator("main table")).to_contain_text("page-77")
    assert "anna" not in page.url.lower()


async def test_order_with_two_ids_leads_from_one_to_the_other(page):
    await press(page, "Deduplication")
    await page.locator("a", has_text="page-77").first.wait_for()
    await press(page, "page-77")
    await expect(page.locator("main")).to_contain_text("X probably counts this order twice")
    await press(page, "order-77")

    await expect(page.locator("h1")).to_have_text("order-77")
    await expect(page.locator("main")).to_contain_text("also sent as page-77")


@pytest_asyncio.fixture(loop_scope="session")
async def with_last_week(chromium, tmp_path):
    """A gateway that received order-old last week, and order-new now."""
    before = ConsoleStage(tmp_path, SETTINGS)
    await before.start()
    await _send(before, "order-old")
    await before.stop()
    with closing(sqlite3.connect(before.settings.store.path)) as store, store:
        for table in ("submission", "outbox"):
            store.execute(f"UPDATE {table} SET received_at = received_at - {7 * DAY}")  # noqa: S608
    after = ConsoleStage(tmp_path, SETTINGS)
    await after.start(people={})
    await _send(after, "order-new")
    yield after
    await after.stop()


async def _send(stage, name):
    order = {"event": "purchase", "conversion_id": name, "value": "49.90", "currency": "EUR"}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        url = f"{stage.gateway.url}/v1/conversions"
        async with http.post(url, json=order | {"email": PERSON}) as answer:
            assert answer.status == 202


async def test_numbers_of_last_week_are_exported(browser, with_last_week):
    context = await browser.new_context()
    page = await context.new_page()
    await sign_in_by_keyboard(page, with_last_week.url, "ada", "/console/conversions")
    await tab_to(page, "when")
    await page.keyboard.type("Last week")
    await press(page, "Apply")
    assert "when=last-week" in page.url
    await tab_to(page, "Export as CSV")
    async with page.expect_download() as download:
        await page.keyboard.press("Enter")

    file = await (await download.value).path()
    rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    await context.close()
    assert [(row["conversion_id"], row["value"], row["currency"]) for row in rows] == [
        ("order-old", "49.90", "EUR")
    ]
    assert PERSON not in str(rows)
