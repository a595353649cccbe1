"""The pages Connect and Events Manager, with an emulated X."""

import html
import re
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
from console_stage import PASSWORD, ConsoleStage

from twite.app.store_access import open_records
from twite_emulator.process import running_emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVENTS = "/console/pixels/o8z6j/events"
FIELDS = {
    "name": "Newsletter",
    "type": "SIGN_UP",
    "click_window": "14",
    "view_window": "7",
    "retargeting": "yes",
}


@pytest.fixture(scope="module")
def emulator():
    with running_emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(emulator, tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("with-x"), x=emulator.url)
    await stage.start()
    yield stage
    await stage.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def ada(stage, emulator):
    emulator.reset()
    emulator.add(
        apps=[{"id": "3213", "callbacks": [f"{stage.browser().url}/console/connect/callback"]}],
        pixels=[{"id": "o9a7k", "account": "18ce54d4x5t"}],
    )
    return await stage.signed_in("ada")


def allow(page: str) -> tuple[str, str]:
    """Authorize at X as the form on its page does; return the redirect and the page."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args):
            return None

    token = parse_qs(urlsplit(page).query)["oauth_token"][0]
    form = urlencode({"oauth_token": token, "answer": "allow", "cancel": ""}).encode()
    try:
        with urllib.request.build_opener(Stay).open(page.partition("?")[0], form) as answer:
            return "", answer.read().decode()
    except urllib.error.HTTPError as redirect:
        return redirect.headers["Location"], ""


def link_to_x(page: str) -> str:
    found = re.search(r'<a class="button main"\s+href="([^"]+)"', page)
    assert found, page[-2_000:]
    return html.unescape(found[1])


def mark_of(page: str) -> str:
    found = re.search(r'name="seen" value="([^"]+)"', page)
    assert found, page[-2_000:]
    return found[1]


async def audit_events(stage):
    """Return who did what, oldest first."""
    async with open_records(stage.settings) as records:
        entries = await records.people.audit(limit=1_000)
    reported = [entry.audit_event for entry in reversed(entries)]
    return [(entry.who, entry.what, entry.subject, entry.detail) for entry in reported]


async def message_on(person, path):
    page = (await person.get(path)).text
    return html.unescape(re.sub(r"<[^>]+>", "", page.split('<p class="said')[1].split("</p>")[0]))


async def test_event_is_created_at_x_mapped_and_shown_with_its_snippets(stage, emulator, ada):
    made = await ada.post(EVENTS, FIELDS)
    page = (await ada.get(made.location)).text
    seen = await ada.post(f"{made.location}/map", {"ours": "newsletter", "which": "id"})
    before = stage.settings.path.read_text()
    written = await ada.post(
        f"{made.location}/map",
        {"ours": "newsletter", "which": "id", "seen": mark_of(seen.text)},
    )

    id_ = made.location.rpartition("/")[2]
    assert "Newsletter" in page
    assert "UNVERIFIED" in page
    assert f'+events = {{ purchase = "o8z6k", sign_up = "o8z6m", newsletter = "{id_}" }}' in (
        html.unescape(re.sub(r"<[^>]+>", "", seen.text))
    )
    assert "newsletter" not in before
    assert written.status == 303
    assert f'newsletter = "{id_}"' in stage.settings.path.read_text()


async def test_settings_file_changed_meanwhile_is_shown_again_before_it_is_replaced(stage, ada):
    fields, path = {"ours": "lead", "which": "id"}, stage.settings.path
    seen = await ada.post(f"{EVENTS}/o8z6n/map", fields)
    path.write_text(path.read_text().replace("events = {", 'events = { lead = "o8z6q",', 1))
    theirs = path.read_text()

    again = await ada.post(f"{EVENTS}/o8z6n/map", fields | {"seen": mark_of(seen.text)})
    between = path.read_text()
    done = await ada.post(f"{EVENTS}/o8z6n/map", fields | {"seen": mark_of(again.text)})

    assert (again.status, "has changed since you loaded the preview" in again.text) == (200, True)
    assert "has changed since you loaded the preview" not in seen.text
    shown = html.unescape(re.sub(r"<[^>]+>", "", again.text))
    assert '-events = { lead = "o8z6q",' in shown
    assert '+events = { lead = "o8z6n",' in shown
    assert between == theirs
    assert done.status == 303
    assert path.read_text() == theirs.replace('lead = "o8z6q"', 'lead = "o8z6n"')


async def test_confirmation_of_one_change_does_not_confirm_another(stage, ada):
    before = stage.settings.path.read_text()
    seen = await ada.post(f"{EVENTS}/o8z6n/map", {"ours": "one", "which": "id"})

    other = await ada.post(
        f"{EVENTS}/o8z6p/map", {"ours": "one", "which": "id", "seen": mark_of(seen.text)}
    )
    any_ = await ada.post(f"{EVENTS}/o8z6n/map", {"ours": "one", "which": "id", "seen": "yes"})

    assert (other.status, any_.status) == (200, 200)
    assert stage.settings.path.read_text() == before


async def test_changes_of_events_are_audited(stage, ada):
    before = len(await audit_events(stage))
    made = await ada.post(EVENTS, FIELDS)
    id_ = made.location.rpartition("/")[2]
    await ada.post(f"{made.location}/update", FIELDS | {"name": "Letters"})
    seen = await ada.post(f"{made.location}/map", {"ours": "letters", "which": "id"})
    await ada.post(
        f"{made.location}/map", {"ours": "letters", "which": "id", "seen": mark_of(seen.text)}
    )
    await ada.post(f"{made.location}/delete", {"name": "Letters"})

    rest = "type: SIGN_UP, click_window: 14, view_through_window: 7, retargeting_enabled: True"
    assert (await audit_events(stage))[before:] == [
        ("ada", "event.create", "o8z6j", f"name: Newsletter, {rest}"),
        ("ada", "event.update", f"o8z6j {id_}", f"name: Letters, {rest}"),
        ("ada", "event.map", f"o8z6j {id_}", "letters"),
        ("ada", "event.delete", f"o8z6j {id_}", "Letters"),
    ]


async def test_view_window_longer_than_the_click_window_is_refused(ada):
    await ada.post(EVENTS, FIELDS | {"click_window": "1", "view_window": "7"})

    assert "longer than the click window" in await message_on(ada, EVENTS)


async def test_event_can_be_updated_and_deleted_by_name(ada):
    made = await ada.post(EVENTS, FIELDS)
    await ada.post(f"{made.location}/update", FIELDS | {"name": "Letters", "click_window": "30"})
    changed = (await ada.get(made.location)).text
    wrong = await ada.post(f"{made.location}/delete", {"name": "letters"})
    await ada.post(f"{made.location}/delete", {"name": "Letters"})

    listed = (await ada.get(EVENTS)).text
    deleted = (await ada.get(f"{EVENTS}?deleted=yes")).text
    assert "<h1>Letters</h1>" in changed
    assert wrong.location == made.location
    assert "Letters" not in listed.split("<table")[1]
    assert "Letters" in deleted.split("<table")[1]


async def test_snippets_for_pages_are_omitted_on_request(ada):
    every = (await ada.get(f"{EVENTS}/o8z6k")).text
    servers = (await ada.get(f"{EVENTS}/o8z6k?for=servers")).text

    assert "snippet-pixel" in every
    assert "snippet-curl" in every
    assert "snippet-pixel" not in servers


async def test_sign_in_at_x_with_a_callback_connects_the_pixel(ada):
    begun = await ada.post("/console/pixels/o9a7k/connect/begin", {"way": "callback"})

    back, _ = allow(link_to_x(begun.text))
    callback = urlsplit(back)
    await ada.get(f"{callback.path}?{callback.query}")

    assert callback.path == "/console/connect/callback"
    assert "o9a7k is connected" in await message_on(ada, "/console/pixels/o9a7k")


async def test_connecting_x_and_forgetting_its_credentials_are_audited(stage, ada):
    before = len(await audit_events(stage))
    begun = await ada.post("/console/pixels/o9a7k/connect/begin", {"way": "callback"})
    back = urlsplit(allow(link_to_x(begun.text))[0])
    await ada.get(f"{back.path}?{back.query}")
    await ada.post("/console/pixels/o9a7k/connect/paste", {"token": "not-a-token-of-x"})
    await ada.post("/console/pixels/o9a7k/connect/forget", {"kind": "oauth", "own": PASSWORD})

    reported = (await audit_events(stage))[before:]
    assert [(who, what, subject) for who, what, subject, _ in reported] == [
        ("ada", "connect.begin", "o9a7k"),
        ("ada", "connect.done", "o9a7k"),
        ("ada", "connect.paste", "o9a7k"),
        ("ada", "connect.forget", "o9a7k"),
    ]
    assert "not-a-token-of-x" not in str(reported)


async def test_callback_in_another_session_does_not_connect_the_pixel(stage, ada):
    begun = await ada.post("/console/pixels/o9a7k/connect/begin", {"way": "callback"})
    back = urlsplit(allow(link_to_x(begun.text))[0])
    other = await stage.signed_in("ada")

    await other.get(f"{back.path}?{back.query}")

    assert "connected" not in await message_on(other, "/console/pixels/o9a7k")


async def test_sign_in_at_x_with_a_pin_connects_the_pixel(ada):
    begun = await ada.post("/console/pixels/o9a7k/connect/begin", {"way": "pin"})
    _, shown = allow(link_to_x(begun.text))
    token = re.search(r'name="token" value="([^"]+)"', begun.text)[1]
    pin = re.search(r"\b(\d{7})\b", shown)[1]

    await ada.post("/console/connect/pin", {"token": token, "pin": f" {pin[:3]} {pin[3:]} "})

    assert "o9a7k is connected" in await message_on(ada, "/console/pixels/o9a7k")


async def test_pixel_token_that_x_refuses_is_explained_and_not_stored(ada):
    await ada.post("/console/pixels/o9a7k/connect/paste", {"token": "not-a-token-of-x"})

    words = await message_on(ada, "/console/pixels/o9a7k")
    assert "X refused this pixel token" in words
    assert "not-a-token-of-x" not in words


async def test_forgetting_credentials_requires_the_users_password(ada):
    begun = await ada.post("/console/pixels/o9a7k/connect/begin", {"way": "callback"})
    back = urlsplit(allow(link_to_x(begun.text))[0])
    await ada.get(f"{back.path}?{back.query}")
    await ada.get("/console/pixels/o9a7k")

    await ada.post("/console/pixels/o9a7k/connect/forget", {"kind": "oauth", "own": "wrong"})
    refused = await message_on(ada, "/console/pixels/o9a7k")
    await ada.post("/console/pixels/o9a7k/connect/forget", {"kind": "oauth", "own": PASSWORD})

    assert "Nothing was changed" in refused
    assert "no longer has signed-in credentials" in await message_on(ada, "/console/pixels/o9a7k")


async def test_diagnostics_page_shows_the_findings_of_twite_check(ada):
    # Earlier tests of this file may have used the same gateway.
    await ada.post("/console/pixels/o9a7k/connect/forget", {"kind": "oauth", "own": PASSWORD})

    page = (await ada.post("/console/system/checks")).text

    assert "failed: conversions will not reach X" in page
    assert ">passed</span>" in page
    assert "pixel o9a7k: no user has signed in" in page
    assert "twite login --pixel o9a7k" in page
    assert "emulator-pixel-token" not in page
