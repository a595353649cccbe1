"""The console's pages about conversions, in a real browser, on a day at a shop."""

import csv
import io
import re

import pytest
import pytest_asyncio
from console_pages import ConsoleStage, sign_in
from console_story import BIDI, FORMULA, IMAGE, REFUSED, SCRIPT, SWITCHES, play_story

from twite_emulator.process import running_emulator

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(chromium, tmp_path_factory):
    with running_emulator(*SWITCHES) as emulator:
        stage = ConsoleStage(tmp_path_factory.mktemp("insight"), x=emulator.url)
        await stage.start()
        await play_story(stage)
        yield stage
        await stage.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def console_page(browser, shop):
    """An admin's page, with its scripts running."""
    context = await browser.new_context(accept_downloads=True)
    page = await context.new_page()
    alive = []
    page.on("dialog", lambda dialog: alive.append(dialog.message))
    page.on("pageerror", lambda error: alive.append(str(error)))
    await sign_in(page, shop.url)
    yield page, alive
    await context.close()


@pytest.fixture
def page(console_page):
    """A page of ada's, which reports injected markup."""
    page, alive = console_page
    yield page
    assert alive == []


def at(shop, path):
    return f"{shop.url}/console{path}"


async def test_home_says_how_many_conversions_wait_for_a_decision(page, shop):
    await page.goto(at(shop, ""))

    label = await page.locator("svg.flow").get_attribute("aria-label")
    assert re.search(rf"{REFUSED} dead, 0 rejected, 0 suppressed", label)
    assert "2 duplicate copies were dropped" in " ".join((await page.inner_text("#all")).split())


@pytest.mark.parametrize("span", ["hour", "day", "week", "month"])
async def test_chart_shows_received_and_delivered_conversions(page, shop, span):
    await page.goto(at(shop, f"?span={span}"))

    steps = await page.locator("#traffic-chart .step title").all_text_contents()

    said = [re.findall(r"(\d+) (?:received|delivered|refused|dupl)", step) for step in steps]
    received, delivered, refused, unsent = (
        sum(map(int, counts)) for counts in zip(*said, strict=True)
    )
    assert delivered > 0
    assert (received - delivered, refused, unsent) == (REFUSED, REFUSED, 2)


async def test_conversion_list_can_be_filtered(page, shop):
    await page.goto(at(shop, "/conversions"))
    await page.select_option("select[name=state]", "dead")
    await page.click("button:has-text('Apply')")

    ids = await page.locator("td.id").all_inner_texts()

    assert sorted(ids) == [f"order-{1400 + number}" for number in range(REFUSED)]


async def test_history_shows_all_steps_from_the_submission_to_the_response_of_x(page, shop):
    await page.goto(at(shop, "/conversions"))
    await page.fill("input[name=term]", "order-1000")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("h1:has-text('order-1000')")

    text = await page.inner_text("main")

    assert "1, not sent again" in text
    assert "conversions_processed" in text
    assert "buyer0" not in text
    rows = await page.locator("table tr").all_inner_texts()
    assert any(re.match(r"email_sha256\s+\w{8}…\s+hashed_email\s+\w{8}…", row) for row in rows)
    assert "203.0.113.…" in text


async def test_match_keys_page_explains_invalid_identifiers_without_showing_them(page, shop):
    await page.goto(at(shop, "/match-keys?pixel=o8z6j"))

    text = await page.inner_text("main")

    for code in ("phone_unusable", "email_placeholder", "double_hash", "upper_case_hash",
                 "click_stale", "ip_private"):  # fmt: skip
        assert code in text
    assert "xxxxxxx@xxxx.xx" in text
    assert "noreply@shop" not in text
    assert "up to +" in text


@pytest.mark.parametrize("text", [SCRIPT, FORMULA, IMAGE, f"order{BIDI}"])
async def test_hostile_conversion_ids_are_escaped_on_every_page(page, shop, text):
    await page.goto(at(shop, "/conversions"))
    await page.fill("input[name=term]", text)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("h2:has-text('Timeline')")

    shown = await page.inner_text("main")

    assert await page.locator("main script, main img, main svg[onload]").count() == 0
    assert await page.title() != "taken"
    assert "\u202e" not in shown
    assert text.replace("\u202e", "⟨U+202E⟩").replace("\u202c", "⟨U+202C⟩")[:20] in shown


async def test_export_contains_no_formula_and_is_audited(page, shop):
    await page.goto(at(shop, "/conversions"))
    async with page.expect_download() as coming:
        await page.click("text=Export as CSV")
    path = await (await coming.value).path()
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8"))))
    await page.goto(at(shop, "/people/audit"))

    ids = rows[0].index("conversion_id")
    named = [row[ids] for row in rows]
    assert f"'{FORMULA}" in named
    assert SCRIPT in named
    assert not [cell for row in rows for cell in row if cell[:1] in "=+-@" and cell]
    assert "export" in await page.inner_text("main")
