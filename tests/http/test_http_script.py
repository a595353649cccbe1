import gzip
import hashlib
import re

import msgspec
import pytest
import zstandard
from pages import a_shop, a_stage

from builders import NOW, a_destination
from memory_store.store import MemoryStore
from twite.domain.destination import ClickCookie, Destination, PixelToken
from twite.domain.secret import Secret
from twite.http.script import settings_line


@pytest.fixture
async def page(staged):
    return await staged(**a_stage(MemoryStore()))


async def test_script_contains_the_settings_of_its_source(page):
    answer = await page.ask("GET", "/twite.js?s=shop", key=None)

    line, script = answer.body.decode().split("\n", 1)
    settings = msgspec.json.decode(line.removeprefix("self.twiteSettings=").removesuffix(";"))
    assert answer.status == 200
    assert settings == {
        "source": "shop",
        "pixel_id": "o8z6j",
        "events": {"purchase": "tw-o8z6j-o8z6k", "sign_up": "tw-o8z6j-o8z6m"},
        "consent": "optional",
        "phone": ["44", "0"],
    }
    assert script
    assert {name: answer.headers.get(name) for name in ("content-type", "cache-control")} == {
        "content-type": "text/javascript; charset=utf-8",
        "cache-control": "public, max-age=300",
    }
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in answer.headers


async def test_script_of_a_source_in_test_mode_leaves_xs_pixel_alone(staged):
    stage = await staged(**a_stage(MemoryStore(), a_shop(test_until=NOW + 1)))

    answer = await stage.ask("GET", "/twite.js?s=shop", key=None)

    line = answer.body.decode().split("\n", 1)[0]
    settings = msgspec.json.decode(line.removeprefix("self.twiteSettings=").removesuffix(";"))
    assert (settings["source"], settings["pixel"]) == ("shop", "off")


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?s=shop&debug=1", {}),
        ("?s=shop", {"Referer": "http://localhost:3000/"}),
        ("?s=shop", {"Referer": "http://127.0.0.1/cart"}),
    ],
)
async def test_page_that_debugs_gets_a_call_of_the_debugger_before_the_script(page, query, headers):
    usual = await page.ask("GET", "/twite.js?s=shop", key=None)

    answer = await page.ask("GET", f"/twite.js{query}", key=None, headers=headers)

    line, script = usual.body.split(b"\n", 1)
    assert answer.body.startswith(line + b"\n")
    assert b'unshift(["debug"])' in answer.body
    assert answer.body.endswith(script)
    assert answer.headers["cache-control"] == "no-store"
    assert b"unshift" not in usual.body


async def test_debugger_is_a_file_that_pages_of_any_origin_may_import(page):
    answer = await page.ask("GET", "/twite.debug.js", key=None)

    assert (answer.status, b"did you mean" in answer.body) == (200, True)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=300"


@pytest.mark.parametrize(
    "referer", ["https://shop.example/?next=http://localhost/", "https://localhost.example/", ""]
)
async def test_other_pages_do_not_get_the_debugger(page, referer):
    usual = await page.ask("GET", "/twite.js?s=shop", key=None)

    answer = await page.ask("GET", "/twite.js?s=shop", key=None, headers={"Referer": referer})

    assert answer.body == usual.body


async def test_versioned_script_keeps_its_content_on_the_developers_machine(page):
    whole = await page.ask("GET", "/twite.js?s=shop", key=None)
    script = whole.body.split(b"\n", 1)[1]
    path = f"/twite.{hashlib.sha256(script).hexdigest()[:16]}.js?debug=1"

    answer = await page.ask("GET", path, key=None, headers={"Referer": "http://localhost/"})

    assert answer.body == script


async def test_script_without_settings_has_its_content_hash_in_the_url(page):
    whole = await page.ask("GET", "/twite.js?s=shop", key=None)
    script = whole.body.split(b"\n", 1)[1]
    name = hashlib.sha256(script).hexdigest()[:16]

    answer = await page.ask("GET", f"/twite.{name}.js", key=None)

    assert (answer.status, answer.body) == (200, script)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("taken", "encoding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("gzip;q=0, zstd; q=0.0", None),
        ("br", None),
        ("", None),
    ],
)
async def test_script_is_sent_in_the_best_accepted_encoding(page, taken, encoding):
    plain = await page.ask("GET", "/twite.js?s=shop", key=None)

    answer = await page.ask("GET", "/twite.js?s=shop", key=None, headers={"Accept-Encoding": taken})

    inflate = {"gzip": gzip.decompress, "zstd": zstandard.decompress, None: bytes}[encoding]
    assert answer.headers.get("content-encoding") == encoding
    assert inflate(answer.body) == plain.body
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (answer.headers["etag"] == plain.headers["etag"]) is (encoding is None)


async def test_script_with_a_matching_etag_is_304(page):
    first = await page.ask("GET", "/twite.js?s=shop", key=None)
    tags = f'"another", W/{first.headers["etag"]}'

    answer = await page.ask("GET", "/twite.js?s=shop", key=None, headers={"If-None-Match": tags})

    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == first.headers["etag"]
    assert "content-length" not in answer.headers


async def test_head_response_of_the_script_has_no_body(page):
    answer = await page.ask("HEAD", "/twite.js?s=shop", key=None)

    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 100


@pytest.mark.parametrize(
    "path", ["/twite.js", "/twite.js?s=", "/twite.js?s=nobody", "/twite.0123456789abcdef.js"]
)
async def test_script_with_an_unknown_hash_is_404(page, path):
    answer = await page.ask("GET", path, key=None)

    assert (answer.status, answer.faults()) == (404, [("", "route")])


async def test_post_to_the_script_is_405(page):
    answer = await page.ask("POST", "/twite.js?s=shop", key=None)

    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_settings_cannot_close_the_script_element():
    hostile = "</script>\u2028\u2029"
    destination = Destination(
        pixel="o8z6j",
        credentials=PixelToken(token=Secret("token")),
        events={hostile: "o8z6k", "auto": "gtm_purchase"},
    )

    line = settings_line(a_shop(cookie=ClickCookie(days=30, http_only=True)), destination)

    said = msgspec.json.decode(line.removeprefix("self.twiteSettings=").removesuffix(";"))
    assert not re.search("[<\u2028\u2029]", line)
    assert said["events"] == {hostile: "tw-o8z6j-o8z6k"}
    assert (said["cookie_days"], said["http_only"]) == (30, True)


def test_region_of_the_source_sets_the_phone_prefix():
    destination = a_destination()
    of_italy, of_nowhere = (
        settings_line(a_shop(region=region), destination) for region in ("IT", None)
    )

    assert '"phone":["39",""]' in of_italy
    assert "phone" not in of_nowhere


def test_script_gets_the_click_ids_that_its_source_keeps():
    source = a_shop(keep_click_ids=("gclid", "fbclid"))

    assert '"click_ids":["gclid","fbclid"]' in settings_line(source, a_destination())
