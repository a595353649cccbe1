"""An event that the console writes into twite.toml is active at once, and can be tested."""

import html
import re

import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage

from twite_emulator.process import running_emulator

EVENTS = "/console/pixels/o8z6j/events"
FIELDS = {"name": "Newsletter", "type": "SIGN_UP", "click_window": "14", "view_window": "7"}
# A mistake: a second source of this name.
SECOND_SHOP = '\n[[source]]\nname = "shop"\npixel = "o8z6j"\n'

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path):
    with running_emulator() as emulator:
        stage = ConsoleStage(tmp_path, x=emulator.url)
        await stage.start()
        yield stage
        await stage.stop()


async def words_of(browser, path):
    page = re.sub(r"<(style|script).*?</\1>", "", (await browser.get(path)).text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.split("<main")[1])).split())


async def mapped(browser, name, *, before_write=lambda: None):
    """Create an event, confirm its mapping, and return the URL of its page."""
    made = await browser.post(EVENTS, FIELDS)
    fields = {"ours": name, "which": "id"}
    seen = await browser.post(f"{made.location}/map", fields)
    mark = re.search(r'name="seen" value="([^"]+)"', seen.text)[1]
    before_write()
    done = await browser.post(f"{made.location}/map", fields | {"seen": mark})
    assert (done.status, done.location) == (303, made.location)
    return made.location


async def test_mapped_event_is_active_at_once_and_its_test_is_delivered(stage):
    ada = await stage.signed_in("ada")

    path = await mapped(ada, "newsletter")
    words = await words_of(ada, path)
    sent = await ada.post(
        "/console/pixels/o8z6j/try",
        {
            "tag": path.rpartition("/")[2],
            "source": "shop",
            "event": "newsletter",
            "email": "a@b.example",
        },
    )
    for _ in range(200):
        followed = await words_of(ada, sent.location)
        if "Delivered" in followed:
            break

    assert "The gateway uses twite.toml as it is now" in words
    assert "newsletter active" in words
    assert "none yet" not in words
    assert "Delivered" in followed


async def test_page_of_events_names_those_that_the_account_does_not_have(stage, tmp_path):
    """X lists no event that it creates itself, such as gtm_visit; the stage has none to name."""
    more = 'sign_up = "o8z6m", lead = "o8z6x", visit = "gtm_visit"'
    settings = SETTINGS.replace('sign_up = "o8z6m"', more)
    ada = await stage.signed_in("ada")
    folder = tmp_path / "wrong"
    folder.mkdir()
    other = ConsoleStage(folder, settings, x=stage.settings.x.api_url)
    await other.start()

    right = await words_of(ada, EVENTS)
    visitor = await other.signed_in("ada")
    wrong, all_of_them = [
        await words_of(visitor, path) for path in (EVENTS, f"{EVENTS}?deleted=yes")
    ]
    await other.stop()

    warned = "twite.toml maps lead to o8z6x , but the account has no such event"
    assert "twite.toml maps" not in right
    for words in (wrong, all_of_them):
        assert warned in words
        assert words.count("twite.toml maps") == 1


async def test_refused_reload_says_why_and_what_stands_in_the_file(stage):
    ada = await stage.signed_in("ada")
    path_of_file = stage.settings.path
    path_of_file.write_text(path_of_file.read_text() + SECOND_SHOP)

    path = await mapped(ada, "letters")
    words = await words_of(ada, path)
    path_of_file.write_text(path_of_file.read_text().replace(SECOND_SHOP, ""))
    await ada.post(f"{path}/reload")
    after = await words_of(ada, path)

    assert "twite.toml was written, but the gateway kept its old settings" in words
    assert "source" in words.split("kept its old settings:")[1][:200]
    assert "letters in twite.toml, not active" in words
    assert "letters active" in after


async def test_refused_test_conversion_keeps_what_was_typed(stage):
    ada = await stage.signed_in("ada")

    path = await mapped(ada, "digest")
    refused = await ada.post(
        "/console/pixels/o8z6j/try",
        {"tag": path.rpartition("/")[2], "source": "shop", "event": "digest", "value": "free"},
    )
    page = (await ada.get(refused.location)).text

    assert refused.location == path
    assert "Not accepted" in page
    assert 'name="value" type="text" value="free"' in page
