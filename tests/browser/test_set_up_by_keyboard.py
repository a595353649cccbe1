"""With the keyboard alone: keys, events, tests and client links are made, and orders awaited."""

import asyncio

import aiohttp
import pytest
import pytest_asyncio
from console_pages import KEY, PASSWORD, ConsoleStage, enter, press, sign_in_by_keyboard, tab_to
from playwright.async_api import expect

from twite_emulator.process import running_emulator

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path):
    with running_emulator() as emulator:
        stage = ConsoleStage(tmp_path, x=emulator.url)
        await stage.start()
        yield stage
        await stage.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser):
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


class Client:
    """A client that sends conversions one after another, with its present key."""

    def __init__(self, stage):
        self.key, self.statuses = KEY, []
        self._answered = asyncio.Condition()
        self._task = asyncio.create_task(self._send(f"{stage.gateway.url}/v1/conversions"))

    async def _send(self, url):
        async with aiohttp.ClientSession() as http:
            while True:
                order = {
                    "event": "purchase",
                    "conversion_id": f"order-{len(self.statuses)}",
                    "email": "a@shop.example",
                }
                headers = {"Authorization": f"Bearer {self.key}"}
                async with http.post(url, json=order, headers=headers) as answer:
                    self.statuses.append(answer.status)
                async with self._answered:
                    self._answered.notify_all()

    async def sends(self, more=5):
        target = len(self.statuses) + more
        async with self._answered:
            await self._answered.wait_for(lambda: len(self.statuses) >= target)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_key_is_rotated_without_a_lost_request(stage, page):
    async with Client(stage) as client:
        await client.sends()
        await sign_in_by_keyboard(page, stage.url, "ada", "/console/sources")

        await press(page, "shop")
        await expect(page.locator("h1")).to_have_text("Source shop")
        await enter(page, "own-key", PASSWORD)
        await press(page, "Create key")
        client.key = await page.locator("#text").inner_text()
        await client.sends()
        await press(page, "I have stored the key")
        await enter(page, "own-file", PASSWORD)
        await press(page, "Revoke")
        await expect(page.locator("#said")).to_contain_text("The key was revoked")
        await client.sends()

    assert client.key.startswith("tws_")
    assert set(client.statuses) == {202}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post(f"{stage.gateway.url}/v1/conversions", json={}) as answer,
    ):
        assert answer.status == 401


async def test_event_is_added_and_its_test_delivered(stage, page):
    await sign_in_by_keyboard(page, stage.url, "ada", "/console/pixels/o8z6j")

    await press(page, "Manage events at X")
    await enter(page, "name", "Newsletter")
    await press(page, "Create at X")
    await expect(page.locator("h1")).to_have_text("Newsletter")
    await enter(page, "ours", "newsletter")
    await press(page, "Show what would be written")
    await press(page, "Write")
    await expect(page.locator("#said")).to_contain_text("The gateway uses twite.toml as it is now")
    await expect(page.locator("dl.facts").first).to_contain_text("newsletter active")
    await enter(page, "email", "shopper@shop.example")
    await press(page, "Send and follow")

    await expect(page.locator(".steps")).to_contain_text("Delivered")


async def test_posted_conversion_arrives_and_turns_delivered(stage, page):
    await sign_in_by_keyboard(page, stage.url, "olga", "/console/pixels/o8z6j")
    await press(page, "Pause")
    await press(page, "Conversions")
    await page.wait_for_selector("[data-state=connected]")
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post(
            f"{stage.gateway.url}/v1/conversions",
            json={"event": "purchase", "conversion_id": "order-1", "email": "a@shop.example"},
        ) as answer,
    ):
        assert answer.status == 202
    row = page.locator("tr", has_text="order-1")
    await expect(row).to_contain_text("queued")

    await press(page, "order-1")
    await page.wait_for_selector("[data-state=connected]")
    ada = await stage.signed_in("ada")
    await ada.post("/console/pixels/o8z6j/resume")
    await expect(page.locator("main .badge").first).to_have_text("delivered")
    await press(page, "Conversions")
    await expect(row).to_contain_text("delivered")


async def test_client_opens_a_link_and_sees_only_its_pixel(stage, page, browser):
    await sign_in_by_keyboard(page, stage.url, "ada", "/console/people")
    await enter(page, "client_name", "acme")
    for _ in stage.settings.destinations():
        await tab_to(page, "pixel")
        if await page.evaluate("document.activeElement.value") == "o6dkt":
            await page.keyboard.press("Space")
            break
    await enter(page, "own-link", PASSWORD)
    await press(page, "Make link")
    link = await page.locator("#text").inner_text()

    context = await browser.new_context()
    clients_page = await context.new_page()
    await clients_page.goto(f"{stage.url}{link.removeprefix('https://t.shop.example')}")
    await press(clients_page, "Sign in")
    await clients_page.wait_for_selector("nav", state="attached")
    await press(clients_page, "Pixels")
    await expect(clients_page.locator("main table")).to_contain_text("o6dkt")
    await expect(clients_page.locator("main table")).not_to_contain_text("o8z6j")
    await expect(clients_page.locator("nav")).not_to_contain_text("People")
    await context.close()


async def test_ticked_pixel_chooses_only_and_all_pixels_removes_it(stage, page):
    await sign_in_by_keyboard(page, stage.url, "ada", "/console/people/keys")
    chosen = """[...document.querySelectorAll("[name=sees], [name=pixel]")]
      .filter((it) => it.checked).map((it) => it.value)"""

    await tab_to(page, "pixel")
    await page.keyboard.press("Space")
    ticked = await page.evaluate(chosen)
    await page.check("[name=sees][value=all]")

    assert ticked == ["some", "o8z6j"]
    assert await page.evaluate(chosen) == ["all"]
