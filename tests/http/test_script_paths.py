"""Other paths for the script and its beacon."""

import pytest
from pages import a_stage

from memory_store.store import MemoryStore
from twite.config.values import TAKEN_PATHS, page_path
from twite.domain.errors import SettingsError
from twite.http.route_table import ROUTES


async def test_script_and_beacon_have_their_own_paths_and_the_usual_ones(staged):
    page = await staged(**a_stage(MemoryStore()), script_path="/shop-7f.js", beacon_path="/s7")

    moved = await page.ask("GET", "/shop-7f.js?s=shop", key=None)
    usual = await page.ask("GET", "/twite.js?s=shop", key=None)
    image = "?s=shop&event=purchase&conversion_id=o-1&email=shopper@shop.example"
    headers = {"referer": "https://shop.example/"}
    sent = [
        await page.ask("GET", f"/{path}{image}", key=None, headers=headers) for path in ("s7", "t")
    ]

    assert b'"beacon":"s7"' in moved.body.split(b"\n")[0]
    assert moved.body == usual.body
    assert [answer.status for answer in sent] == [200, 200]


def test_first_parts_of_all_paths_are_taken():
    parts = {route.path.split("/")[1] for route in ROUTES}

    assert {part for part in parts if part and "{" not in part} - {
        "-",
        "t",
        "twite.js",
    } <= TAKEN_PATHS


@pytest.mark.parametrize(
    "text", ["/metrics", "/v1", "t", "/a/b", "/", "/é", "/a.js", f"/{'a' * 41}"]
)
def test_path_that_is_taken_or_has_several_parts_is_refused(text):
    with pytest.raises(SettingsError, match=r"server\.beacon_path"):
        page_path(text, "server.beacon_path")


def test_path_of_the_script_ends_in_js():
    assert page_path("/shop-7f.js", "server.script_path", suffix=".js") == "/shop-7f.js"
    with pytest.raises(SettingsError, match=r'and "\.js"'):
        page_path("/shop-7f", "server.script_path", suffix=".js")
