"""Pages of the console in Firefox: they open, fit, and look as in Chromium."""

import shutil

import pytest
import pytest_asyncio
from console_pages import busy, deliver, with_tag
from console_story import SWITCHES, play_story
from firefox import running_firefox

from twite_emulator.process import running_emulator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.journey]

PAGES = (
    "/console",
    "/console/conversions",
    "/console/match-keys",
    "/console/problems",
    "/console/alerts",
)
# Further pages whose tables are cards on a phone.
CARDS = ("/console/conversions?state=rejected", "/console/system/webhooks", "/console/sources")
WIDTHS = (1280, 390)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    with running_emulator(*SWITCHES) as emulator:
        stage = with_tag(tmp_path_factory.mktemp("firefox"), x=emulator.url)
        await stage.start()
        await busy(stage)
        await deliver(stage)
        await play_story(stage)
        yield stage
        await stage.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def firefox(stage):
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        pytest.skip("no Firefox: apt-get install firefox-esr")
    ada = await stage.signed_in("ada")
    async with running_firefox(path) as firefox:
        await firefox.keep_cookies(stage.url, ada.cookies)
        yield firefox


@pytest.mark.parametrize("width", WIDTHS)
async def test_pages_open_in_firefox_without_errors_or_horizontal_scrolling(stage, firefox, width):
    await firefox.resize(width, 844)

    wrong = {}
    for path in PAGES:
        await firefox.goto(stage.url + path)
        wide = await firefox.evaluate("document.documentElement.scrollWidth - innerWidth")
        is_page = await firefox.evaluate("Boolean(document.querySelector('nav a[aria-current]'))")
        if wide > 0 or not is_page:
            wrong[path] = (wide, is_page)

    assert wrong == {}
    assert firefox.errors == []


async def test_meters_have_the_length_and_colour_of_their_share_in_firefox(stage, firefox):
    await firefox.resize(1280, 844)
    await firefox.goto(f"{stage.url}/console/match-keys?pixel=o8z6j")

    meters = await firefox.evaluate(
        """[...document.querySelectorAll(".meter")].map((it) => {
          const [ground, bar] = [...it.children].map((rect) => rect.getBoundingClientRect().width);
          return [it.ariaLabel, 100 * bar / ground, getComputedStyle(it.lastElementChild).fill];
        })"""
    )

    assert meters
    for label, share, fill in meters:
        said = float(label.split(": ")[1].split("\N{NARROW NO-BREAK SPACE}")[0])
        assert share == pytest.approx(said, abs=0.1)
        tone = "ok" if share >= 70 else "warn" if share >= 30 else "bad"
        colour = {"ok": "47, 143, 91", "warn": "212, 154, 31", "bad": "200, 66, 63"}[tone]
        assert fill == f"rgb({colour})"


async def test_points_and_lines_of_a_chart_have_their_size_in_firefox(stage, firefox):
    await firefox.resize(1280, 844)
    await firefox.goto(f"{stage.url}/console?span=hour")

    points, lines, plots = await firefox.evaluate(
        """[".plot circle", ".plot .curve", ".plot"].map((it) =>
          [...document.querySelectorAll(it)].map((mark) => mark.getBoundingClientRect().width))"""
    )

    assert {round(width) for width in points} <= {6, 7}
    assert points
    # The lines of received and delivered conversions go from the first step to the last.
    assert lines[0] == pytest.approx(plots[0] * 29 / 30, rel=0.02)


@pytest.mark.parametrize("width", [360, 390, 402, 430])
async def test_titles_of_a_card_are_never_broken_in_firefox(stage, firefox, width):
    await firefox.resize(width, 844)

    broken = {}
    for path in (*PAGES, *CARDS):
        await firefox.goto(stage.url + path)
        # A pseudo-element has no boxes to count, so a real one takes its place.
        broken |= await firefox.evaluate(
            """Object.fromEntries([...document.querySelectorAll(".rows td[data-label]")]
              .filter((it) => it.checkVisibility() && !it.matches(".main"))
              .map((it) => {
                const look = getComputedStyle(it, "::before");
                const title = document.createElement("span");
                title.textContent = it.dataset.label;
                for (const name of ["fontSize", "marginRight", "whiteSpace", "display"])
                  title.style[name] = look[name];
                it.dataset.label = "";
                it.prepend(title);
                return [title.textContent, title.getBoundingClientRect().height];
              })
              .filter(([, height]) => height > 30))"""
        )

    assert broken == {}
