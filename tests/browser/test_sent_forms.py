"""What each form of the console answers, examined by axe in two sizes and both color schemes.

The forms come from the pages themselves. Each button of a form is pressed once for each route.
"""

import json
import re

import pytest
import pytest_asyncio
from axe import AXE, violations_on
from console_pages import CARTS, busy, deliver, page_of_ada, pages_of, visit, with_tag
from console_stage import PASSWORD
from console_story import SWITCHES, play_story, send_held

from twite_emulator.process import running_emulator

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.journey,
    pytest.mark.timeout(600),
]

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
# Forms that answer with a file, a redirect to where one was, or a page of another test.
ELSEWHERE = {
    "/console/conversions/export",
    "/console/sign-in",
    "/console/sign-out",
    "/console/theme",
    "/console/link/{token}",
}
# Forms that these pages do not show: they need a code of an authenticator, an application of X, an
# alert webhook, a changed file, or a plan (see test_problem_journey).
ABSENT = {
    "/console/account/codes/off",
    "/console/alerts/test",
    "/console/connect/pin",
    "/console/people/users/{name}/codes",
    "/console/pixels/{pixel}/connect/begin",
    "/console/pixels/{pixel}/connect/forget",
    "/console/pixels/{pixel}/events/{event}/reload",
    "/console/problems/replays",
    "/console/problems/replays/{replay}/cancel",
}
# [action, index of the form, index of its button] of all forms that are sent by POST.
FORMS = """
() => [...document.forms].flatMap((form, at) => form.method !== "post" ? [] :
  [...form.elements].filter((it) => it.type === "submit").map((button, which) => {
    const to = button.hasAttribute("formaction") ? button.formAction : form.action;
    return [new URL(to).pathname, at, which];
  }))
"""
# Every field gets a value that the browser accepts; the gateway may refuse it, with a page.
SEND = """
([[, at, which], password]) => {
  const form = document.forms[at];
  form.noValidate = true;
  for (const it of form.elements) {
    if (it.type === "radio") it.checked = true;
    else if (it.type === "checkbox") it.checked = form.querySelector(`[name="${it.name}"]`) === it;
    else if (it.name === "own") it.value = password;
    else if (it.value || it.type === "hidden") continue;
    else if (it.matches("input, textarea")) it.value = "some-text-of-a-user";
    else if (it.localName === "select") it.selectedIndex = it.options.length - 1;
  }
  form.requestSubmit([...form.elements].filter((it) => it.type === "submit")[which]);
}
"""
WIDE = "document.documentElement.scrollWidth - window.innerWidth"


@pytest_asyncio.fixture(loop_scope="session")
async def stage(chromium, tmp_path):
    with running_emulator(*SWITCHES) as emulator:
        stage = with_tag(tmp_path, x=emulator.url, more_events=CARTS)
        await stage.start()
        await busy(stage)
        await deliver(stage)
        await play_story(stage)
        await visit(stage)
        await send_held(stage, "add_to_cart")
        yield stage
        await stage.stop()


async def test_axe_finds_nothing_on_what_a_form_answers(browser, stage):
    if not AXE.exists():
        pytest.skip("no axe-core: make axe installs it, where there is npm")
    page = await page_of_ada(browser, stage, reduced_motion="reduce", bypass_csp=True)
    page.on("dialog", lambda dialog: dialog.accept())
    routes = {
        route.path: re.compile(re.sub(r"\\{.+?\\}", "[^/]+", re.escape(route.path)))
        for route in stage.routes
        if route.method == "POST" and route.path not in ELSEWHERE
    }
    sent, found = set(), {}

    async def unsent():
        """Return the next form of the open page that was not sent."""
        for form in await page.evaluate(FORMS):
            path, _, which = form
            for route, pattern in routes.items():
                if pattern.fullmatch(path) and (key := (route, which)) not in sent:
                    sent.add(key)
                    return route, form
        return None

    pages = await _pages_with_forms(page, stage)
    for path in pages * 2:  # what a form made has forms, too
        await page.goto(stage.url + path)
        while (found_form := await unsent()) is not None:
            # An answer can have forms of its own, such as a plan.
            while found_form is not None:
                route, form = found_form
                async with page.expect_navigation() as answer:
                    await page.evaluate(SEND, [form, PASSWORD])
                assert (await answer.value).status < 500, route
                found |= await _faults(page, f"{route}, button {form[2]}, from {path}")
                found_form = await unsent()
            await page.goto(stage.url + path)

    await page.context.close()
    assert routes.keys() - {route for route, _ in sent} <= ABSENT
    assert found == {}, json.dumps(found, indent=1)


async def _pages_with_forms(page, stage):
    problems = set()
    for kind in ("refused", "held", "rejected", "amount"):
        await page.goto(f"{stage.url}/console/problems?kind={kind}")
        problems |= set(await page.locator("td.main a").evaluate_all(
            "links => links.map((it) => it.getAttribute('href'))"
        ))  # fmt: skip
    await page.goto(f"{stage.url}/console/conversions?state=held")
    held = await page.locator("td.main a").first.get_attribute("href")
    return [held, *sorted(problems), *pages_of(stage)]


async def _faults(page, name):
    faults = {}
    for size, (width, height) in SIZES.items():
        await page.set_viewport_size({"width": width, "height": height})
        if (wide := await page.evaluate(WIDE)) > 0:
            faults[f"{name}, {size}"] = f"{wide} px too wide"
        if violations := await violations_on(page):
            faults[f"{name}, {size}"] = violations
    return faults
