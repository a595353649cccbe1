"""`make screenshots`: images of every console page, wide and light, narrow and dark."""

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

from console_pages import ASIDE, PARTS, ConsoleStage, busy, deliver, sign_in, with_tag
from console_story import SWITCHES, play_story
from playwright.async_api import Browser, async_playwright

from twite_emulator.process import running_emulator

FOLDER = Path(__file__).parents[2] / "docs/reference/console"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOOKS = (("desktop", 1_280, 860, "light"), ("phone", 390, 844, "dark"))
QUALITY = 55


def name_of(path: str) -> str:
    """Return the file name for a route: `/console/people/users/{name}` is `users-name`."""
    return "-".join(re.findall(r"\w+(?:-\w+)*", path.removeprefix("/console"))) or "home"


async def draw(*, ending: str = "webp") -> dict[str, bytes]:
    """Return all images by name."""
    drawn: dict[str, bytes] = {}
    chromium = os.environ.get("TWITE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)))
    with tempfile.TemporaryDirectory() as scratch, running_emulator(*SWITCHES) as emulator:
        stage = with_tag(Path(scratch), x=emulator.url)
        await stage.start()
        await busy(stage)
        await deliver(stage)
        await play_story(stage)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--hide-scrollbars"]
            )
            for look, width, height, scheme in LOOKS:
                drawn |= await _images_of_pages(
                    browser, stage, ending, (look, width, height, scheme)
                )
            await browser.close()
        await stage.stop()
    return drawn


async def _images_of_pages(
    browser: Browser, stage: ConsoleStage, ending: str, as_: tuple[str, int, int, str]
) -> dict[str, bytes]:
    look, width, height, scheme = as_
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
    await page.click("text=Plan the replay")
    # It is no main button if the plan changes nothing.
    await page.click("button:text-matches('Send .* again')")
    await page.wait_for_selector(".badge:has-text('done')")
    await take("problems-replays-replay")

    await context.close()
    return {f"{name}-{look}.{ending}": picture for name, picture in pictures.items()}


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    target.mkdir(exist_ok=True, parents=True)
    for file, drawn_ in asyncio.run(
        draw(ending=sys.argv[2] if len(sys.argv) > 2 else "webp")
    ).items():
        (target / file).write_bytes(drawn_)
