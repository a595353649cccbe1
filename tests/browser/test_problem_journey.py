"""With the keyboard only: yesterday's refused conversions are found, fixed, and followed."""

import sqlite3
from contextlib import closing

import pytest
import pytest_asyncio
from axe import violations_on
from console_pages import ConsoleStage, press, sign_in_by_keyboard, tab_to
from console_stage import SETTINGS
from console_story import send_held

from twite.domain.times import DAY
from twite_emulator.process import running_emulator

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

CORRECT = 'purchase = "o8z6k", sign_up'
WRONG = 'purchase = "o8zzz", sign_up'


@pytest_asyncio.fixture(loop_scope="session")
async def corrected(chromium, tmp_path):
    """A gateway whose event id was wrong yesterday, so that X refused three orders."""
    with running_emulator() as emulator:
        before = ConsoleStage(tmp_path, SETTINGS.replace(CORRECT, WRONG), x=emulator.url)
        await before.start()
        await send_held(before, "purchase")
        await before.stop()
        with closing(sqlite3.connect(before.settings.store.path)) as store, store:
            store.execute(f"UPDATE outbox SET rested_at = rested_at - {DAY}")  # noqa: S608
        after = ConsoleStage(tmp_path, x=emulator.url)
        await after.start(people={})
        yield after
        await after.stop()


@pytest.mark.parametrize("width", [1440, 390])
async def test_refused_conversions_of_yesterday_are_fixed_by_keyboard(browser, corrected, width):
    context = await browser.new_context(
        viewport={"width": width, "height": 900}, bypass_csp=True, reduced_motion="reduce"
    )
    page = await context.new_page()
    await sign_in_by_keyboard(page, corrected.url, "ada", "/console")
    found = {}
    if width < 800:
        await tab_to(page, "Menu")
        await page.keyboard.press("Enter")
    await press(page, "Problems")
    found["list"] = await violations_on(page)
    if width < 800:
        await tab_to(page, "Filters")
        await page.keyboard.press("Enter")
    await tab_to(page, "when")
    await page.keyboard.type("Yesterday")
    await press(page, "Apply")
    assert "when=yesterday" in page.url
    await press(page, "X does not know the event")
    found["problem"] = await violations_on(page)
    await press(page, "Plan the replay")
    found["plan"] = await violations_on(page)
    assert await page.locator("td:has-text('o8zzz')").count() == 3
    await press(page, "Send 3 again")
    await page.wait_for_selector(".badge:has-text('done')")
    found["replay"] = await violations_on(page)

    figures = await page.locator("#progress .figure").all_inner_texts()
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    await context.close()
    assert figures[0].split() == ["3", "delivered"]
    assert wide <= 0
    assert found == {"list": [], "problem": [], "plan": [], "replay": []}
