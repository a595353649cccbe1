"""Words on pages of an agency: whole in tables and lists, also where long values share a row."""

import msgspec
import pytest
import pytest_asyncio
from agency_stage import agency_stage, an_order
from console_pages import page_of_ada

from builders import an_entry
from twite.domain.cause import DeliveryCause
from twite.domain.stats.value_guard import ValueFlag

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

# Short words that continue on the next line; long ids and URLs may.
BROKEN = """
() => [...document.querySelectorAll("main td, main th, main li, main dd")]
  .filter((it) => it.checkVisibility())
  .flatMap((it) => {
    const texts = document.createTreeWalker(it, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) {
      for (const word of texts.currentNode.data.matchAll(/[a-z0-9_]{2,10}/gi)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, word.index);
        range.setEnd(texts.currentNode, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
        if (lines.size > 1) found.push(word[0]);
      }
    }
    return found;
  })
"""
WIDE = "document.documentElement.scrollWidth - window.innerWidth"
PAGES = ("alerts", "problems", "conversions", "match-keys?pixel=q1", "pixels")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(tmp_path_factory):
    flawed = [
        an_order(pixel, "flawed", email="a@b", phone="12", ip="10.0.0.7") for pixel in ("q1",)
    ]
    # A long id, an unusual amount and a reason leave little space to the pixel.
    long = [
        msgspec.structs.replace(
            an_entry(
                "order-" + "long-" * 12,
                held="404 NOT_FOUND: event_id (o8z6k) does not belong to provided account",
                cause=DeliveryCause.EVENT_UNKNOWN,
            ),
            key_set=0,
            flag=ValueFlag(kind="minor_units", value="250000", currency="EUR", usual="50 EUR"),
        )
    ]
    async with agency_stage(
        tmp_path_factory.mktemp("words"), orders_more=flawed, entries_more=long
    ) as stage:
        yield stage


async def test_no_short_word_is_broken_and_pixels_stand_apart_from_sources(browser, stage):
    page = await page_of_ada(browser, stage, viewport={"width": 1440, "height": 900})
    broken = {}
    for name in PAGES:
        await page.goto(f"{stage.url}/console/{name}", wait_until="domcontentloaded")
        broken[name] = await page.evaluate(BROKEN)
    await page.goto(f"{stage.url}/console/problems")
    where = await page.locator("tr:has-text('ISO 4217') td:has(code)").last.inner_text()

    await page.context.close()
    assert {name: words for name, words in broken.items() if words} == {}
    assert "and 2 more agency" in " ".join(where.split())


async def test_page_of_a_conversion_fits_a_tablet(browser, stage):
    page = await page_of_ada(browser, stage)
    await page.goto(f"{stage.url}/console/conversions?id=taken-q1")
    wide = {}
    for width in (1024, 900, 768):
        await page.set_viewport_size({"width": width, "height": 900})
        wide[width] = await page.evaluate(WIDE)

    await page.context.close()
    assert {width: by for width, by in wide.items() if by > 0} == {}
