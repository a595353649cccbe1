"""The demo's shop in a real browser: each order is sent by the page and by the server."""

import json
import sys
import urllib.error
import urllib.request

import pytest
import pytest_asyncio
from console_pages import enter, press
from playwright.async_api import expect
from visitor import TWCLID, until

import fork_server
from twite.cli.demo.processes import KEY, PIXEL, DemoProcesses

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]


@pytest_asyncio.fixture(loop_scope="session")
async def cast(tmp_path, monkeypatch):
    interpreter = tmp_path / "python"
    fork_server.write_command(interpreter, module="")
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with DemoProcesses(tmp_path) as cast:
        yield cast


async def test_demo_order_is_counted_once_and_shown(browser, cast):
    context = await browser.new_context()
    page = await context.new_page()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))

    await page.goto(f"{cast.shop.url}/?twclid={TWCLID}")
    await page.click("text=View the mug")
    await page.click("text=Buy it")
    await until(lambda: counts_of_the_order(cast) == {"api": 1, "pixel": 1, "counted": 1})
    await page.reload()
    await page.wait_for_load_state("networkidle")
    await page.goto(f"{cast.shop.url}/deduplication")
    rows = await page.locator("tr:has(td)").all_inner_texts()
    await context.close()

    seen = dict(row.split("\t")[:2] for row in rows)
    assert (seen["both"], seen["pixel only"], seen["server only"], seen["page and server"]) == (
        ("1", "0", "0", "1")
    )
    assert counts_of_the_order(cast) == {"api": 1, "pixel": 1, "counted": 1}
    assert [text for text in blocked if "Content Security Policy" in text] == []


async def test_key_is_rotated_and_event_added_in_the_demo_from_its_console(browser, cast):
    context = await browser.new_context()
    page = await context.new_page()
    user = cast.add_user()

    await page.goto(user.link)
    await press(page, "Sign in")
    await page.goto(f"{cast.gateway_url}/console/sources/shop")
    await enter(page, "own-key", user.password)
    await press(page, "Create key")
    key = await page.locator("#text").inner_text()
    await press(page, "I have stored the key")
    await enter(page, "own-file", user.password)
    await press(page, "Revoke")
    old, new = status_of_order(cast, KEY), status_of_order(cast, key)

    await page.goto(f"{cast.gateway_url}/console/pixels/{PIXEL}")
    await press(page, "Manage events at X")
    await enter(page, "name", "Newsletter")
    await press(page, "Create at X")
    await enter(page, "ours", "newsletter")
    await press(page, "Show what would be written")
    await press(page, "Write")
    await expect(page.locator("dl.facts").first).to_contain_text("newsletter active")
    await enter(page, "email", "shopper@shop.example")
    await press(page, "Send and follow")
    await expect(page.locator(".steps")).to_contain_text("Delivered")
    await context.close()

    assert (old, new) == (401, 202)


def status_of_order(cast: DemoProcesses, key: str) -> int:
    body = json.dumps({"event": "purchase", "conversion_id": "o-1", "email": "a@shop.example"})
    request = urllib.request.Request(
        f"{cast.gateway_url}/v1/conversions",
        body.encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


def counts_of_the_order(cast: DemoProcesses) -> dict[str, int]:
    """How often X received the order by API and by pixel, and how often X counted it."""
    events = cast.emulator.counted(ids=True)["pixels"].get("o8z6j", {}).get("events", {})
    tally = events.get("o8z6k", {}).get("ids", {}).get("shop-0001", {})
    return {name: tally.get(name, 0) for name in ("api", "pixel", "counted")}
