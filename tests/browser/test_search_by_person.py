"""The search box hashes emails and phone numbers before they leave the page."""

import re
from urllib.parse import parse_qs

import aiohttp
import pytest
import pytest_asyncio
from console_pages import KEY, ConsoleStage, sign_in
from playwright.async_api import expect
from visitor import SHOPPERS_PHONE

from twite.gateway.operations.search_term import NO_PERSON, search_term

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

CONVERSIONS = "/console/conversions"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(chromium, tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("search"))
    await stage.start()
    order = {"event": "purchase", "conversion_id": "by-person", "email": "shopper@example.org",
             "phone": "+44 20 7946 0958"}  # fmt: skip
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession() as http:
        url = f"{stage.gateway.url}/v1/conversions"
        async with http.post(url, json=order, headers=headers) as answer:
            assert answer.status == 202
    yield stage
    await stage.stop()


@pytest.mark.parametrize(
    "term",
    [
        " Shopper@Example.ORG ",
        "shopper@example.org\u200b",
        "+44 (20) 7946-0958",
        "+44 (0)20 7946 0958",
        "+44 20\u20117946\u20110958",
        "0044 20 7946 0958",
    ],
)
async def test_person_is_found_and_never_sent_in_plain_text(browser, stage, term):
    context = await browser.new_context()
    page = await context.new_page()
    await sign_in(page, stage.url)
    await page.goto(f"{stage.url}{CONVERSIONS}")
    sent = []
    page.on("request", lambda request: sent.append((request.url, request.post_data or "")))

    await page.fill("input[name=term]", term)
    await page.press("input[name=term]", "Enter")
    await page.wait_for_url("**/conversions?digest=*")

    (form,) = [parse_qs(body) for url, body in sent if url.endswith("/search")]
    assert form["term"] == [search_term(term).digest]
    assert not [
        text for pair in sent for text in pair if "hopper" in text or SHOPPERS_PHONE.search(text)
    ]
    assert await page.locator("tr", has_text="by-person").count() == 1
    await context.close()


async def test_order_number_that_begins_with_zeros_is_no_phone_number(browser, stage):
    context = await browser.new_context()
    page = await context.new_page()
    await sign_in(page, stage.url)
    await page.goto(f"{stage.url}{CONVERSIONS}")

    await page.fill("input[name=term]", "0012345678")
    await page.press("input[name=term]", "Enter")

    await expect(page).to_have_url(re.compile("id=0012345678"))
    await context.close()


@pytest.mark.parametrize("term", ["shopper@example", "tel:+442079460958", "+44 20"])
async def test_term_that_cannot_be_hashed_is_not_sent(browser, stage, term):
    context = await browser.new_context()
    page = await context.new_page()
    await sign_in(page, stage.url)
    await page.goto(f"{stage.url}{CONVERSIONS}")
    sent = []
    page.on("request", lambda request: sent.append(request.url))

    await page.fill("input[name=term]", term)
    await page.press("input[name=term]", "Enter")
    await expect(page.locator("input[name=term]:invalid")).to_have_count(1)
    said = await page.locator("input[name=term]").evaluate("it => it.validationMessage")
    await page.fill("input[name=term]", "by-person")
    await page.press("input[name=term]", "Enter")
    await expect(page.locator("main")).to_contain_text("by-person")

    assert said == NO_PERSON
    assert [url for url in sent if url.endswith("/search")] == [f"{stage.url}{CONVERSIONS}/search"]
    await context.close()
