"""Charts and tables of the console in a browser: text size, keyboard, forced colours, filters."""

import time

import pytest
import pytest_asyncio
from console_pages import ConsoleStage, busy, page_of_ada

from builders import a_submission, an_entry
from twite.domain.cause import DeliveryCause
from twite_emulator.process import running_emulator

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

PHONE = {"width": 390, "height": 844}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(chromium, tmp_path_factory):
    with running_emulator() as emulator:
        stage = ConsoleStage(tmp_path_factory.mktemp("charts"), x=emulator.url)
        await stage.start()
        await busy(stage)
        held = an_entry("held", held="zero", cause=DeliveryCause.AMOUNT_ZERO)
        now = time.time_ns() // 1_000_000
        await stage.store.record(a_submission(held, receipt="held", received_at=now))
        yield stage
        await stage.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser, stage, request):
    page = await page_of_ada(browser, stage, viewport=PHONE, **getattr(request, "param", {}))
    await page.goto(f"{stage.url}/console?span=hour")
    yield page
    await page.context.close()


async def test_text_of_charts_has_12_px_on_a_phone_and_stands_apart(page):
    texts = await page.evaluate(
        """[...document.querySelectorAll(".plot")].map((plot) =>
          [...plot.querySelectorAll("text")].filter((it) => it.checkVisibility()).map((it) => {
            const { left, right } = it.getBoundingClientRect();
            return [parseFloat(getComputedStyle(it).fontSize) * it.getScreenCTM().a, left, right];
          }))"""
    )

    assert len(texts) >= 2
    for labels in texts:
        assert len(labels) >= 2
        assert all(size >= 12 for size, _, _ in labels)
        ordered = sorted(labels, key=lambda label: label[1])
        ends = [right for _, _, right in ordered[:-1]]
        assert all(end < left for end, (_, left, _) in zip(ends, ordered[1:], strict=True))


async def test_labels_of_values_are_within_the_chart_however_long(page):
    outside = await page.evaluate(
        """[...document.querySelectorAll(".y-axis")].flatMap((axis) => {
          const label = axis.querySelector("text");
          const longest = [...axis.querySelectorAll("text")]
            .reduce((a, b) => (b.textContent.length > a.textContent.length ? b : a), label);
          longest.textContent = "1 min 30 s";
          axis.setAttribute("width", 7 * longest.textContent.length);
          const gap = longest.getBoundingClientRect().left
            - axis.closest("figure").getBoundingClientRect().left;
          return gap < 0 ? [gap] : [];
        })"""
    )

    assert outside == []


async def test_chart_is_one_stop_of_the_tab_key_and_arrows_lead_to_the_conversions(page, stage):
    plot = page.locator(".plot").first
    steps = plot.locator("a.step")
    assert await steps.count() == 30
    assert await plot.locator("a.step:not([tabindex='-1'])").count() == 1

    await plot.locator("a.step:not([tabindex='-1'])").focus()
    await page.keyboard.press("Home")
    await page.keyboard.press("End")
    said = await page.evaluate("document.activeElement.querySelector('title').textContent")
    await page.keyboard.press("ArrowLeft")
    before = await page.evaluate("document.activeElement.querySelector('title').textContent")
    await page.keyboard.press("End")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/conversions?**")

    assert said != before
    assert "delivered" in said
    assert "from=" in page.url
    assert "to=" in page.url


@pytest.mark.parametrize(
    ("path", "card", "steps"),
    [("?span=hour", "latency-chart", 30), ("/problems?kind=held", "by-day", 14)],
)
async def test_points_of_every_chart_are_reached_by_keyboard(page, stage, path, card, steps):
    await page.goto(f"{stage.url}/console{path}")
    if card == "by-day":
        await page.locator("td.main a").first.click()
    plot = page.locator(f"#{card} .plot")
    await plot.wait_for()
    stop = plot.locator("a.step:not([tabindex='-1'])")
    assert await plot.locator("a.step").count() == steps
    assert await stop.count() == 1

    await stop.focus()
    await page.keyboard.press("ArrowLeft")
    said, edge = await page.evaluate(
        """[document.activeElement.querySelector("title").textContent,
            parseFloat(getComputedStyle(document.activeElement.querySelector(".hit")).strokeWidth)]"""
    )
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/conversions?**")

    assert said
    assert edge >= 2


async def test_each_step_of_a_chart_is_a_link_whose_name_is_its_numbers(page):
    plot = page.locator(".plot").first
    titles = await plot.locator("a.step title").all_text_contents()

    named = plot.get_by_role("link", name="received")
    assert await named.count() == len(titles) == 30


async def test_table_beside_a_chart_has_the_same_numbers(page):
    figure = page.locator(".time-chart").first
    await figure.locator("summary").click()

    steps = await figure.locator("a.step title").all_text_contents()
    rows = await figure.locator("tbody tr").evaluate_all(
        """all => all.map((row) => {
          const [time, ...values] = [...row.cells].map((cell) => cell.innerText.trim());
          const named = values.map((it, i) => `${it} ${row.cells[i + 1].dataset.label}`);
          return `${time}: ${named.join(", ")}`.toLowerCase();
        })"""
    )

    assert rows == [step.lower() for step in reversed(steps)]


@pytest.mark.parametrize(
    "page", [{"forced_colors": "active", "color_scheme": "dark"}], indirect=True
)
async def test_each_series_of_a_chart_has_its_key_in_forced_colours(page):
    colours = await page.evaluate(
        """[...document.querySelectorAll(".time-chart .key")].map((key) => {
          const tone = key.className.match(/tone-\\w+/)[0];
          const mark = document.querySelector(`.plot .${tone}:not(.curve)`);
          const ground = getComputedStyle(document.body).backgroundColor;
          const fill = mark && getComputedStyle(mark).fill;
          return [getComputedStyle(key).backgroundColor, fill, ground];
        })"""
    )

    assert colours
    for key, mark, ground in colours:
        assert key != ground
        assert mark in {key, None}


async def test_filters_are_folded_on_a_phone_unless_one_is_wrong(page):
    path = page.url.partition("?")[0] + "/conversions"
    await page.goto(path)
    right = await page.locator("details.fold").get_attribute("open")
    await page.goto(f"{path}?from=2026-12-05&to=2026-12-01")

    assert right is None
    assert await page.get_by_text("The start of the time range is after its end.").is_visible()
