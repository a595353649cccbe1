"""With the keyboard alone: an alert or a problem, its cause, its remedy, and a mute."""

import time

import aiohttp
import pytest
import pytest_asyncio
from console_pages import KEY, ConsoleStage, enter, press, sign_in_by_keyboard, tab_to
from playwright.async_api import expect

from twite.domain.alert import Alert, AlertKind
from twite.domain.times import HOUR

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path):
    stage = ConsoleStage(tmp_path)
    await stage.start()
    opened_at = time.time_ns() // 1_000_000 - HOUR
    alerts = [
        Alert(
            id=f"refused-{pixel}",
            kind=AlertKind.CREDENTIALS_REFUSED,
            subject=pixel,
            reason="X's response: 401 UNAUTHORIZED_ACCESS",
            opened_at=opened_at,
            reported_at=opened_at,
            unsent_phase=None,
        )
        for pixel in ("o8z6j", "o6dkt")
    ]
    await stage.store.put(alerts)
    yield stage
    await stage.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser, stage):
    """The first page, after olga has signed in."""
    context = await browser.new_context()
    page = await context.new_page()
    await sign_in_by_keyboard(page, stage.url, "olga", "/console")
    await expect(page.locator("h1")).to_have_text("Home")
    yield page
    await context.close()


async def test_alert_is_understood_acknowledged_and_muted_by_keyboard(page, stage):
    await press(page, "2 pixels: X refuses the credentials")
    await expect(page.locator("h1")).to_have_text("Alerts")
    alert = page.locator("#alert-refused-o6dkt, #alert-refused-o8z6j")
    await expect(alert).to_be_in_viewport()
    await expect(alert).to_contain_text("X's response: 401 UNAUTHORIZED_ACCESS")
    await expect(alert).to_contain_text("twite check tests each credential")

    await tab_to(page, "o6dkt")
    await press(page, "Acknowledge")
    await expect(page.locator("#said")).to_contain_text("Acknowledged.")
    await expect(alert).to_contain_text("acknowledged by olga")

    await enter(page, "1 hour", "8 hours")
    await press(page, "Mute")
    await expect(page.locator("#said")).to_contain_text("Muted for 8 hours.")
    await expect(alert).to_contain_text("muted until")

    await press(page, "o8z6j")
    await expect(page).to_have_url(f"{stage.url}/console/pixels/o8z6j")


async def test_problem_is_understood_muted_and_unmuted_by_keyboard(page, stage):
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post(
            f"{stage.gateway.url}/v1/conversions",
            json={"event": "purchse", "conversion_id": "order-1", "email": "a@shop.example"},
        ) as answer,
    ):
        assert answer.status == 422

    await press(page, "Problems")
    await press(page, "The event is not one of")
    await expect(page.locator("main")).to_contain_text("purchse")
    await enter(page, "for an hour", "for a week")
    await enter(page, "note", "the shop corrects its tag")
    await press(page, "Mute")
    await expect(page.locator("#said")).to_contain_text("Muted for a week.")
    await expect(page.locator("main")).to_contain_text("Muted by olga until")
    await press(page, "All problems")
    await expect(page.locator("main")).to_contain_text("No problems.")
    muted = page.get_by_role("region", name="Muted problems")
    await expect(muted).to_contain_text("the shop corrects its tag")

    await press(page, "The event is not one of")
    await press(page, "Unmute")
    await press(page, "All problems")
    await expect(page.get_by_role("region", name="Problems", exact=True)).to_contain_text(
        "event_unknown"
    )
    await expect(muted).to_have_count(0)
