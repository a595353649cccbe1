"""`make screenshots`: images of every console page, wide and narrow, light and dark."""

import asyncio
import base64
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from console_pages import ASIDE, CARTS, PARTS, ConsoleStage, busy, deliver, sign_in, with_tag
from console_story import SWITCHES, play_story, send_held
from playwright.async_api import Browser, async_playwright

from twite_emulator.process import running_emulator

FOLDER = Path(__file__).parents[2] / "docs/reference/console"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOOKS = (
    ("desktop", 1_440, 900, "light"),
    ("desktop-dark", 1_440, 900, "dark"),
    ("phone", 390, 844, "dark"),
    ("phone-light", 390, 844, "light"),
)
QUALITY = 55


def name_of(path: str) -> str:
    """Return the file name for a route: `/console/people/users/{name}` is `users-name`."""
    return "-".join(re.findall(r"\w+(?:-\w+)*", path.removeprefix("/console"))) or "home"


async def draw(*, ending: str = "webp") -> dict[str, bytes]:
    """Return all images by name."""
    drawn: dict[str, bytes] = {}
    chromium = os.environ.get("TWITE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)))
    with tempfile.TemporaryDirectory() as scratch, running_emulator(*SWITCHES) as emulator:
        stage = with_tag(Path(scratch), x=emulator.url, more_events=CARTS)
        await stage.start()
        await busy(stage)
        await deliver(stage)
        await play_story(stage)
        await send_held(stage, "add_to_cart")
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--hide-scrollbars"]
            )
            replay = await _replayed(browser, stage)
            for look in LOOKS:
                drawn |= await _images_of_pages(browser, stage, ending, look, replay)
            await browser.close()
        await stage.stop()
    return drawn


async def _replayed(browser: Browser, stage: ConsoleStage) -> str:
    """Send the conversions of a problem again, and return the URL of the replay when it is done."""
    context = await browser.new_context()
    page = await context.new_page()
    await sign_in(page, stage.url)
    await page.goto(f"{stage.url}/console/problems?kind=held")
    await page.click("main tbody a")
    await page.click("text=Plan the replay")
    # It is no main button if the plan changes nothing.
    await page.click("button:text-matches('Send .* again')")
    await page.wait_for_selector(".badge:has-text('done')")
    url = page.url
    await context.close()
    return url


async def _images_of_pages(
    browser: Browser,
    stage: ConsoleStage,
    ending: str,
    look: tuple[str, int, int, str],
    replay: str,
) -> dict[str, bytes]:
    name_of_look, width, height, scheme = look
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme
    )
    page = await context.new_page()
    await page.goto(f"{stage.url}/console/sign-in")
    protocol = await context.new_cdp_session(page)
    pictures = {}

    async def take(name: str) -> None:
        answer = await protocol.send(
            "Page.captureScreenshot",
            {"format": ending} | ({"quality": QUALITY} if ending != "png" else {}),
        )
        pictures[name] = base64.b64decode(answer["data"])

    await take("sign-in")
    await sign_in(page, stage.url)
    for route in stage.routes:
        if route.method == "GET" and route.path not in {"/console/sign-in", *ASIDE}:
            await page.goto(stage.url + route.path.format_map(PARTS), wait_until="domcontentloaded")
            if route.path == "/console/system":
                await page.click("button:has-text('Run checks')")
                await page.wait_for_selector(".findings")
            await page.wait_for_timeout(150)
            await take(name_of(route.path))
    await page.goto(f"{stage.url}/console/problems?kind=refused")
    await page.click("main tbody a")
    await take("problems-problem")
    await page.goto(replay)
    await take("problems-replays-replay")

    await context.close()
    return {f"{name}-{name_of_look}.{ending}": picture for name, picture in pictures.items()}


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    target.mkdir(exist_ok=True, parents=True)
    for file, drawn_ in asyncio.run(
        draw(ending=sys.argv[2] if len(sys.argv) > 2 else "webp")
    ).items():
        (target / file).write_bytes(drawn_)
