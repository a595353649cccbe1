"""Pages of the console that keep themselves current, in a real browser."""

import asyncio
import time

import msgspec
import pytest
import pytest_asyncio
from console_pages import KEY, ConsoleStage, page_of_ada, sign_in

from builders import a_submission, an_entry
from twite.domain.alert import Acknowledgement, Alert, AlertKind
from twite.domain.cause import DeliveryCause
from twite_emulator.process import running_emulator

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

CONVERSIONS = "/console/conversions"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(chromium, tmp_path_factory):
    with running_emulator() as emulator:
        stage = ConsoleStage(tmp_path_factory.mktemp("live"), x=emulator.url)
        await stage.start()
        yield stage
        await stage.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser, stage):
    """A page of ada's, whose scripts report no error."""
    page = await page_of_ada(browser, stage)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    await page.context.close()
    assert [text for text in wrong if "Trusted" in text or "Content Security" in text] == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def zeros(stage):
    """Three conversions that are held for one reason."""
    held = [
        an_entry(f"zero-{number}", index=number, held="zero", cause=DeliveryCause.AMOUNT_ZERO)
        for number in (1, 2, 3)
    ]
    now = time.time_ns() // 1_000_000
    store = stage.store
    await store.record(a_submission(*held, receipt="zeros", received_at=now))


async def test_posted_conversion_arrives_and_turns_delivered_without_reloading(page, stage):
    await page.goto(f"{stage.url}{CONVERSIONS}")
    await page.wait_for_selector("[data-state=connected]")
    await page.evaluate("window.sameDocument = true")

    await post(page, stage, "order-arrives")
    row = page.locator("tr", has_text="order-arrives")
    await row.wait_for()
    await row.locator("text=delivered").wait_for()

    assert await page.evaluate("window.sameDocument")
    assert await row.count() == 1


async def test_page_of_a_conversion_turns_delivered_without_reloading(page, stage):
    await page.goto(f"{stage.url}/console/pixels/o8z6j")
    await page.click("text=Pause")
    await post(page, stage, "order-turns")
    await page.goto(f"{stage.url}{CONVERSIONS}?id=order-turns")
    await page.wait_for_selector("[data-state=connected]")
    waiting = await page.inner_text("main")
    other = await page.context.new_page()
    await other.goto(f"{stage.url}/console/pixels/o8z6j")
    await other.click("button:has-text('Resume')")

    await page.wait_for_selector("main .badge:has-text('delivered')")

    assert "queued" in waiting
    # Nothing changes any more, so the page no longer listens.
    await page.wait_for_selector("[data-state=settled]")


async def test_alert_opens_and_resolves_on_its_page_without_any_request(page, stage):
    await page.goto(f"{stage.url}/console/alerts")
    await page.wait_for_selector("[data-state=connected]")
    await page.evaluate("window.sameDocument = true")
    # As another gateway that shares the store would.
    store = stage.store
    now = time.time_ns() // 1_000_000
    alert = Alert(
        id="alert-live",
        kind=AlertKind.CREDENTIALS_REFUSED,
        subject="o6dkt",
        reason="X's response: 401",
        opened_at=now,
        reported_at=now,
        unsent_phase=None,
    )

    await store.put([alert])
    opened = page.locator("#alert-alert-live")
    await opened.wait_for()
    await opened.locator("select").select_option("7d")
    await store.put([Acknowledgement(alert=alert.id, at=now, who="olga")])
    await opened.locator("text=acknowledged by olga").wait_for()
    chosen = await opened.locator("select").input_value()
    await store.put([msgspec.structs.replace(alert, resolved_at=now + 1)])
    await page.locator("td", has_text="X's response: 401").wait_for()

    assert chosen == "7d"
    assert await opened.count() == 0
    assert await page.evaluate("window.sameDocument")


async def test_page_of_a_problem_shows_new_conversions_and_keeps_what_was_typed(page, stage):
    await post(page, stage, "order-wrong-1", event="purchse", status=422)
    await page.goto(f"{stage.url}/console/problems?kind=rejected")
    await page.locator("main h2 a, main td a").first.click()
    await page.wait_for_selector("[data-state=connected]")
    await page.evaluate("window.sameDocument = true")
    await page.locator("input[name=note]").first.fill("the shop is mending it")

    await post(page, stage, "order-wrong-2", event="purchse", status=422)
    await page.locator("td", has_text="order-wrong-2").wait_for()

    assert await page.locator("input[name=note]").first.input_value() == "the shop is mending it"
    assert await page.evaluate("window.sameDocument")


async def test_tick_stays_with_its_conversion_when_a_row_above_leaves(page, stage):
    unknown = [
        an_entry(f"order-{number}", index=number, held="404", cause=DeliveryCause.EVENT_UNKNOWN)
        for number in (1, 2, 3)
    ]
    now = time.time_ns() // 1_000_000
    store = stage.store
    await store.record(a_submission(*unknown, receipt="ticks", received_at=now))
    await page.goto(f"{stage.url}/console/problems")
    await page.click("text=X does not know the event")
    await page.wait_for_selector("[data-state=connected]")
    await page.check("input[aria-label='Select order-2']")
    # The focused element is kept in any case.
    await page.locator("h1").click()
    olga = await stage.signed_in("olga")
    form = {
        "problem": await page.locator("#decide input[name=problem]").input_value(),
        "which": "ticked",
        "delivery": await page.locator("input[aria-label='Select order-1']").input_value(),
        "note": "a test",
    }

    await olga.post("/console/problems/discard", form)
    # A discard tells open pages nothing; the next conversion does.
    await post(page, stage, "order-after-discard")
    await page.wait_for_selector("input[aria-label='Select order-1']", state="detached")

    shown = await page.evaluate(
        """[...document.getElementsByName("delivery")].map((tick) => {
            const link = tick.closest("tr").querySelector("a");
            const isOwn = link.href.endsWith(`/console/conversions/${tick.value}`);
            return [link.textContent, isOwn, tick.checked];
        })"""
    )
    assert shown == [["order-2", True, True], ["order-3", True, False]]


@pytest.mark.usefixtures("zeros")
async def test_tick_chooses_the_ticked_ones_and_the_question_names_how_many(page, stage):
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.on("dialog", lambda dialog: dialog.dismiss())
    await page.goto(f"{stage.url}/console/problems")
    await page.click("text=The amount is zero")
    discard = page.locator("button.danger", has_text="Discard")

    await discard.click()
    await page.check("input[aria-label='Select zero-1']")
    chosen = await page.locator("input[name=which]:checked").input_value()
    await discard.click()
    await page.check("input[name=which][value=all]")
    ticked = await page.locator("input[name=delivery]:checked").count()

    await page.goto(f"{page.url}?which=ticked")
    hint = page.get_by_text("none is selected yet")
    shown = [await hint.is_visible()]
    await page.check("input[aria-label='Select zero-1']")
    shown.append(await hint.is_visible())

    assert shown == [True, False]
    assert asked == [f"Discard {count} of 3 conversions permanently?" for count in (3, 1)]
    assert (chosen, ticked) == ("ticked", 0)


@pytest.mark.usefixtures("zeros")
async def test_form_that_was_refused_keeps_what_was_typed_when_the_page_changes(page, stage):
    await page.add_init_script(
        "addEventListener('morphed', () => (document.documentElement.dataset.morphed = ''), true)"
    )
    await page.goto(f"{stage.url}/console/problems")
    await page.click("text=The amount is zero")
    await page.select_option("#for", "7d")
    await page.fill("#note", " ")

    await page.locator("button", has_text="Mute").click()
    await page.wait_for_selector("text=Choose how long, and enter why.")
    # The page's policy forbids `wait_for_function`, which evaluates a text in it.
    await page.wait_for_selector("html[data-morphed]")

    assert await page.input_value("#for") == "7d"


async def test_focus_and_typed_text_survive_a_change(page, stage):
    await post(page, stage, "order-focus")
    await page.goto(f"{stage.url}{CONVERSIONS}")
    await page.wait_for_selector("[data-state=connected]")
    await page.locator("input[type=search]").first.fill("order-typed")
    link = page.locator("a", has_text="order-focus").first
    await link.focus()

    await post(page, stage, "order-while-focused")
    await page.locator("tr", has_text="order-while-focused").wait_for()

    assert await page.evaluate("document.activeElement.textContent") == "order-focus"
    assert await page.locator("input[type=search]").first.input_value() == "order-typed"


async def test_paused_page_changes_only_after_it_is_resumed(page, stage):
    await page.goto(f"{stage.url}{CONVERSIONS}")
    await page.wait_for_selector("[data-state=connected]")
    await page.locator("#live [role=switch]").focus()
    await page.keyboard.press("Space")
    paused = await page.inner_text("#live [role=status]")
    asked = requests(page)
    await post(page, stage, "order-while-paused")
    # Another page shows it: the store has changed.
    other = await page.context.new_page()
    await other.goto(f"{stage.url}{CONVERSIONS}")
    await other.locator("tr", has_text="order-while-paused").wait_for()
    before = (list(asked), await page.locator("tr", has_text="order-while-paused").count())

    await page.keyboard.press("Space")
    await page.locator("tr", has_text="order-while-paused").wait_for()

    assert (paused, before) == ("Paused", ([], 0))


async def test_hidden_tab_asks_for_nothing_until_it_is_shown(page, stage):
    await page.goto(f"{stage.url}{CONVERSIONS}")
    await page.wait_for_selector("[data-state=connected]")
    await page.wait_for_function("performance.getEntriesByType('resource').length > 3")
    await show(page, hidden=True)
    asked = requests(page)
    await post(page, stage, "order-while-hidden")
    other = await page.context.new_page()
    await other.goto(f"{stage.url}{CONVERSIONS}")
    await other.locator("tr", has_text="order-while-hidden").wait_for()
    # Longer than a second, after which an open stream would say that the store has changed.
    await asyncio.sleep(1.5)
    before = list(asked)

    await show(page, hidden=False)
    await page.locator("tr", has_text="order-while-hidden").wait_for()

    assert before == []
    assert len(asked) >= 2


async def test_page_says_that_the_user_is_signed_out_and_stops(browser, stage):
    context = await browser.new_context()
    page, other = await context.new_page(), await context.new_page()
    await sign_in(page, stage.url)
    await page.goto(f"{stage.url}{CONVERSIONS}")
    await page.wait_for_selector("[data-state=connected]")
    await other.goto(f"{stage.url}/console/account")
    await other.click("text=Sign out")
    await post(page, stage, "order-after-sign-out")

    await page.wait_for_selector("[data-state=signed-out]")
    said = await page.inner_text("#live")
    asked = requests(page)
    await asyncio.sleep(1.5)
    await page.click("#live a")
    await page.wait_for_selector("#password")
    to_sign_in = list(asked)

    await context.close()
    assert "Signed out. This page no longer changes. Sign in" in said
    assert [path for path in to_sign_in if "changes" in path] == []


async def test_interruption_is_shown_until_the_gateway_answers_again(page, stage):
    await page.route("**/console/changes", lambda route: route.abort())
    await page.goto(f"{stage.url}{CONVERSIONS}")
    await page.wait_for_selector("[data-state=reconnecting]")

    await page.unroute("**/console/changes")

    await page.wait_for_selector("[data-state=connected]")


async def test_tag_preview_shows_new_requests_and_keeps_open_parts_open(browser, tmp_path):
    from console_pages import preview, with_tag  # noqa: PLC0415

    with running_emulator() as emulator:
        stage = with_tag(tmp_path, x=emulator.url)
        await stage.start()
        context = await browser.new_context()
        page = await context.new_page()
        await sign_in(page, stage.url)
        await preview(stage)
        await page.goto(f"{stage.url}/console/tags/latest")
        await page.wait_for_selector("[data-state=connected]")
        await page.locator("summary", has_text="Request and response").first.click()
        before = await page.locator("section.previewed").count()
        session = stage.gateway.feature.previews.named("latest", who="ada")
        await page.request.post(
            f"{stage.gateway.url}/v1/conversions",
            data={"event": "purchase", "conversion_id": "order-seen", "currency": "GBP"},
            headers={
                "Authorization": f"Bearer {KEY}",
                "X-Gtm-Server-Preview": session.token.reveal(),
            },
        )
        await page.wait_for_function(
            "count => document.querySelectorAll('section.previewed').length > count", arg=before
        )
        still_open = await page.locator("details[open]").count()
        stage.gateway.feature.previews.close(session)
        await page.wait_for_selector("[data-state=ended]")
        await context.close()
        await stage.stop()

    assert still_open == 1


def requests(page):
    """Return the paths that a page requests from now on."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


async def show(page, *, hidden):
    """Hide or show the tab, as the browser reports it."""
    await page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


async def post(page, stage, conversion_id, *, event="purchase", status=202):
    answer = await page.request.post(
        f"{stage.gateway.url}/v1/conversions",
        data={"event": event, "conversion_id": conversion_id, "email": "a@shop.example"},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert answer.status == status
