"""With the keyboard alone: from the first page to an alert, its cause, its remedy, and a mute."""

import time

import pytest
import pytest_asyncio
from console_pages import PASSWORD, ConsoleStage, tab_to
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
    await stage.gateway._parts.store.put(alerts)  # noqa: SLF001 - the monitor resolves earlier ones
    yield stage
    await stage.stop()


async def test_alert_is_understood_acknowledged_and_muted_by_keyboard(browser, stage):
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{stage.url}/console/sign-in?next=/console")
    await page.focus("#name")
    await page.keyboard.type("olga")
    await tab_to(page, "password")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Home")

    await tab_to(page, "2 pixels: X refuses the credentials")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Alerts")
    alert = page.locator("#alert-refused-o6dkt, #alert-refused-o8z6j")
    await expect(alert).to_be_in_viewport()
    await expect(alert).to_contain_text("X's response: 401 UNAUTHORIZED_ACCESS")
    await expect(alert).to_contain_text("twite check tests each credential")

    await tab_to(page, "o6dkt")
    await tab_to(page, "Acknowledge")
    await page.keyboard.press("Enter")
    await expect(page.locator("#said")).to_contain_text("Acknowledged.")
    await expect(alert).to_contain_text("acknowledged by olga")

    await tab_to(page, "1 hour")
    await page.keyboard.type("8 hours")
    await tab_to(page, "Mute")
    await page.keyboard.press("Enter")
    await expect(page.locator("#said")).to_contain_text("Muted for 8 hours.")
    await expect(alert).to_contain_text("muted until")

    await tab_to(page, "o8z6j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{stage.url}/console/pixels/o8z6j")
    await context.close()
