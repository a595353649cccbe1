"""Every page of the console in a real browser: wide and narrow, light and dark.

The pages come from the route table, so new pages are tested, too.
"""

import json
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
import pytest_asyncio
from axe import AXE, violations_on
from console_pages import HOSTILE, busy, deliver, pages_of, sign_in, visit, with_tag
from console_story import SWITCHES, play_story

from twite.machine.seal import Argon2Passwords
from twite_emulator.process import running_emulator

# All pages are opened in the first test.
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.journey,
    pytest.mark.timeout(900),
]

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
# What a region of a page cuts off, beside code that scrolls.
CUT = """
() => [...document.querySelectorAll("main, main *")]
  .filter((it) => it.localName !== "pre" && getComputedStyle(it).overflowX !== "visible")
  .filter((it) => it.clientWidth > 1 && it.scrollWidth > it.clientWidth + 1)
  .map((it) => `${it.localName} ${it.ariaLabel}: ${it.scrollWidth - it.clientWidth}`)
"""
# A phone folds the filters.
UNFOLD = "for (const it of document.querySelectorAll('details')) it.open = true"
WIDE = "document.documentElement.scrollWidth - window.innerWidth"
# Links in running text are as high as a line: there are words beside them.
SMALL_TARGETS = """
() => [...document.querySelectorAll(
  "a[href]:not(.skip), button, select, summary, input:not([type=hidden])"
)].filter((it) => {
  if (it.localName !== "a" || it.matches("nav a, .button, .chips a, .segmented a")) return true;
  if (it.closest("svg")) return false;
  const words = [...it.parentElement.childNodes].filter((node) => node.nodeType === 3)
    .map((node) => node.data).join(" ").match(/[a-z]{2,}/gi) || [];
  return words.length < 2;
}).map((it) => it.matches("[type=checkbox], [type=radio]") ? it.closest("label") || it : it)
  .filter((it) => it.checkVisibility({ visibilityProperty: true }))
  .filter((it) => it.getBoundingClientRect().height < 43.9)
  .map((it) => it.outerHTML.slice(0, 120))
"""
CUT_CELLS = """
() => [...document.querySelectorAll("table.rows td")]
  .filter((cell) => cell.checkVisibility())
  .filter((cell) => {
    const { left, right } = cell.firstElementChild.getBoundingClientRect();
    const label = getComputedStyle(cell, "::before").content;
    const isTitle = label === `"${cell.dataset.label}"` || cell.matches(".main");
    return left < 0 || right > innerWidth || !isTitle;
  })
  .map((cell) => cell.outerHTML.slice(0, 120))
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(chromium, tmp_path_factory):
    with running_emulator(*SWITCHES) as emulator:
        folder = tmp_path_factory.mktemp("console")
        stage = with_tag(folder, x=emulator.url, passwords=Argon2Passwords())
        await stage.start()
        await busy(stage)
        await deliver(stage)
        await play_story(stage)
        await visit(stage)
        yield stage
        await stage.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def signed_in(browser, stage):
    """The cookies of ada, an admin; other tests cover sign-in."""
    context = await browser.new_context()
    page = await context.new_page()
    await sign_in(page, stage.url)
    state = await context.storage_state()
    await context.close()
    return state


async def opened(browser, state, size, scheme, **options):
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        storage_state=state,
        **options,
    )
    return context, await context.new_page()


class Looks(NamedTuple):
    """What was found on a page after one load, by size. Each list is empty on a right page."""

    wrong: dict[str, list[object]]
    cut: list[str]
    small: list[str]
    cut_cells: list[str]
    tables: int
    violations: dict[str, list[tuple[str, ...]]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def looks(browser, stage, signed_in):
    """All pages, by path: to load a page takes more than to look at it again in another size."""
    context, page = await opened(browser, signed_in, "desktop", "light", reduced_motion="reduce")
    said = []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"a dialog: {dialog.message}"))
    problems = []
    for kind in ("refused", "rejected", "amount"):
        await page.goto(f"{stage.url}/console/problems?kind={kind}")
        links = page.locator("td.main a")
        problems += [await link.get_attribute("href") for link in (await links.all())[:1]]
    assert len(problems) > 1
    found = {}
    for path in (*pages_of(stage), *problems, "/console/conversions/25"):
        said.clear()
        await resize(page, "desktop")
        answer = await page.goto(stage.url + path, wait_until="domcontentloaded")
        cut = await page.evaluate(CUT)
        await page.evaluate(UNFOLD)
        title = await page.title()
        wrong, violations = {}, {}
        for size in SIZES:
            await resize(page, size)
            wide = await page.evaluate(WIDE)
            is_right = answer.status == 200 and not said and title.endswith(" · Twite")
            wrong[size] = [] if is_right and wide <= 0 else [answer.status, *said, wide, title]
            violations[size] = await violations_on(page)
        found[path] = Looks(
            wrong=wrong,
            cut=cut,
            small=await page.evaluate(SMALL_TARGETS),
            cut_cells=await page.evaluate(CUT_CELLS),
            tables=await page.locator("table.rows").count(),
            violations=violations,
        )
    await context.close()
    return found


async def resize(page, size):
    width, height = SIZES[size]
    await page.set_viewport_size({"width": width, "height": height})


@pytest.mark.parametrize("size", SIZES)
async def test_every_page_opens_without_errors_or_horizontal_scrolling(looks, size):
    assert {path: look.wrong[size] for path, look in looks.items() if look.wrong[size]} == {}


async def test_no_page_cuts_a_table_on_a_small_laptop(looks):
    assert {path: look.cut for path, look in looks.items() if look.cut} == {}


@pytest.mark.parametrize("size", SIZES)
async def test_axe_finds_nothing_on_any_page_in_both_color_schemes(looks, size):
    if not AXE.exists():
        pytest.skip("no axe-core: make axe installs it, where there is npm")
    found = {path: look.violations[size] for path, look in looks.items() if look.violations[size]}

    assert found == {}, json.dumps(found, indent=1)


@pytest.mark.parametrize("size", SIZES)
async def test_axe_finds_nothing_on_pages_before_signing_in(browser, stage, size):
    if not AXE.exists():
        pytest.skip("no axe-core: make axe installs it, where there is npm")
    context, page = await opened(browser, None, size, "light", reduced_motion="reduce")
    found = {}

    for path in ("/console/sign-in", "/console/link/used", "/console/nowhere"):
        await page.goto(stage.url + path)
        found[path] = await violations_on(page)
    await page.goto(f"{stage.url}/console/sign-in")
    await page.fill("#name", "ada")
    await page.fill("#password", "not the password")
    await page.click("button.main")
    await page.wait_for_load_state()
    found["refused"] = await violations_on(page)
    title = await page.title()

    await context.close()
    assert "Sign in" in title
    assert {path: violations for path, violations in found.items() if violations} == {}


@pytest.mark.parametrize("size", SIZES)
async def test_page_that_does_not_exist_is_usable_and_leads_home(browser, stage, signed_in, size):
    context, page = await opened(browser, signed_in, size, "light", reduced_motion="reduce")
    await page.goto(f"{stage.url}/console/nowhere")
    violations = await violations_on(page)
    small = await page.evaluate(SMALL_TARGETS) if size == "phone" else []
    await page.get_by_role("main").get_by_role("link", name="Home").click()
    await page.wait_for_url(f"{stage.url}/console")

    await context.close()
    assert (violations, small) == ([], [])


async def test_what_a_finger_touches_on_a_phone_is_44_px_high(looks):
    small = {path: look.small for path, look in looks.items() if look.small}

    assert small == {}, json.dumps(small, indent=1)


async def test_each_cell_of_a_table_is_visible_on_a_phone_with_its_columns_title(looks):
    cut = {path: look.cut_cells for path, look in looks.items() if look.cut_cells}

    assert cut == {}, json.dumps(cut, indent=1)
    assert sum(look.tables for look in looks.values()) > 5


async def test_navigation_is_folded_on_a_phone_without_javascript(browser, stage, signed_in):
    context, page = await opened(browser, signed_in, "phone", "light", java_script_enabled=False)
    await page.goto(f"{stage.url}/console/conversions")
    folded = await page.locator("nav").is_visible()
    await page.click("a.menu")
    unfolded = await page.locator("nav a", has_text="Problems").is_visible()

    await context.close()
    assert (folded, unfolded) == (False, True)


DARK, LIGHT = "rgb(22, 21, 20)", "rgb(251, 250, 248)"


@pytest.mark.parametrize(
    "case", [("Dark", "light", DARK), ("Light", "dark", LIGHT), ("Auto", "dark", DARK)]
)
async def test_chosen_theme_wins_over_that_of_the_system(browser, stage, signed_in, case):
    theme, scheme, ground = case
    context, page = await opened(browser, signed_in, "desktop", scheme)
    await page.goto(f"{stage.url}/console/account")
    await page.click(f".themes button:text('{theme}')")
    await page.wait_for_selector(f".themes [aria-pressed]:text('{theme}')")

    color = await page.evaluate("getComputedStyle(document.body).backgroundColor")

    await context.close()
    assert color == ground


async def test_times_are_in_the_zone_of_the_browser_from_the_first_page_on(browser, stage):
    context = await browser.new_context(timezone_id="Australia/Eucla")
    page = await context.new_page()
    await sign_in(page, stage.url)
    await page.goto(f"{stage.url}/console/account")

    text = await page.inner_text("main")
    machine = await page.get_attribute("main time", "datetime")
    shown = await page.inner_text("main time")

    await context.close()
    assert "Times are in Australia/Eucla." in text
    ahead = datetime.fromisoformat(f"{shown}Z") - datetime.fromisoformat(machine)
    assert ahead == timedelta(hours=8, minutes=45)


async def test_every_console_page_works_without_javascript(browser, stage, signed_in):
    context, page = await opened(browser, signed_in, "phone", "light", java_script_enabled=False)

    hidden = []
    for path in pages_of(stage):
        await page.goto(stage.url + path)
        await page.get_by_role("link", name="Menu", exact=True).click()
        if not await page.locator("nav a").first.is_visible():
            hidden.append(path)

    await context.close()
    assert hidden == []


async def test_console_can_be_opened_and_signed_out_of_by_keyboard(browser, stage):
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{stage.url}/console/people/audit")
    await page.keyboard.press("Tab")
    for text in ("ada", "a sentence that does well"):
        await page.keyboard.press("Tab")
        await page.keyboard.type(text)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("nav", state="attached")

    await page.keyboard.press("Tab")
    skip = await page.evaluate("document.activeElement.textContent")
    await page.keyboard.press("Enter")
    main = await page.evaluate("document.activeElement.id")
    await page.locator("text=Sign out").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#password")

    await context.close()
    assert (skip, main) == ("Skip to content", "main")


async def test_history_page_of_a_conversion_escapes_hostile_text(browser, stage, signed_in):
    context, page = await opened(browser, signed_in, "desktop", "light")
    dialogs = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await page.goto(f"{stage.url}/console/pixels/o8z6j")
    await page.fill("#email", "shopper@shop.example")
    await page.fill("#value", "49.90")
    await page.fill("#currency", "EUR")
    await page.click("text=Send and follow")
    await page.wait_for_selector("li.done:has-text('Delivered')")

    await page.goto(f"{stage.url}/console/pixels/o8z6j/try/order-hostile")
    text = await page.inner_text("main")
    images = await page.locator("main img, main script").count()

    await context.close()
    assert (dialogs, images) == ([], 0)
    assert "<script>alert(2)</script>{{7*7}}" in text
    assert "\u202e" not in text


async def test_hostile_text_in_the_address_and_the_audit_log_is_escaped(browser, stage):
    context = await browser.new_context()
    page = await context.new_page()
    dialogs = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await page.goto(f"{stage.url}/console/sign-in?next={HOSTILE}")
    await page.fill("#name", HOSTILE[:60])
    await page.fill("#password", HOSTILE)
    await page.click("button.main")
    await page.wait_for_selector("[role=alert]")

    await context.close()
    assert dialogs == []


async def test_pixel_is_paused_and_resumed_by_a_user(browser, stage, signed_in):
    context, page = await opened(browser, signed_in, "phone", "dark")
    await page.goto(f"{stage.url}/console/pixels/o6dkt")
    await page.click("text=Pause")
    paused = await page.inner_text("main")
    await page.click("button:has-text('Resume')")
    resumed = await page.inner_text("main")

    await context.close()
    assert "paused by hand, by ada" in paused
    assert "o6dkt was resumed." in resumed
