"""A printed page of the console is dark text on white paper, without what only a screen needs."""

import pytest
import pytest_asyncio
from console_pages import ConsoleStage, page_of_ada

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

HIDDEN = (".top", "nav", "#live", ".find", "[data-fold]")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(chromium, tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("print"))
    await stage.start()
    yield stage
    await stage.stop()


@pytest.mark.parametrize("theme", ["auto", "dark"])
async def test_printed_page_has_dark_text_and_no_navigation(browser, stage, theme):
    page = await page_of_ada(browser, stage, color_scheme="dark")
    await page.goto(f"{stage.url}/console/conversions?state=dead")
    await page.wait_for_selector("[data-state=connected]")
    await page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    on_screen = [await page.is_visible(each) for each in HIDDEN]
    await page.emulate_media(media="print")

    colours = await page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    shown = [each for each in HIDDEN if await page.is_visible(each)]
    text = await page.inner_text("main")
    await page.context.close()

    assert all(on_screen)
    ground, ink = ([int(part) for part in each[4:-1].split(",")] for each in colours)
    assert min(ground) > 240
    assert max(ink) < 60
    assert shown == []
    # What the list was filtered by is still said.
    assert "dead letters" in text
