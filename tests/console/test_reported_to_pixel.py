"""A history shows whether the page reported the same conversion to X's pixel."""

import time

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOP = "https://shop.example"
CLICK = "23opevjt88psuo13lu8d020qkn"
PAGE = {
    "Origin": SHOP,
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36",
    "Content-Type": "text/plain",
}
HOUR = 3_600_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reported(tmp_path_factory):
    """A gateway that gets reports from the pages of one pixel, but not from the other's."""
    key = 'key = "a-source-key-of-some-length"'
    settings = SETTINGS.replace(key, f'{key}\norigins = ["{SHOP}"]')
    stage = ConsoleStage(tmp_path_factory.mktemp("reported"), settings)
    await stage.start()
    now = time.time_ns() // 1_000_000
    pixel_calls = {"met": "loaded", "alone": "absent", "kept-out": "blocked"}
    await _beacon(
        stage, [_bought(name, pixel_call, now) for name, pixel_call in pixel_calls.items()], now
    )
    # The server's copy arrives first, 49 hours after the page reported the conversion to the pixel.
    await _submit(stage, "a-source-key-of-some-length", "late")
    await _beacon(stage, [_bought("late", "loaded", now - 49 * HOUR)], now)
    await _submit(stage, "another-source-key-of-some-length", "unwatched")
    yield stage
    await stage.stop()


@pytest.mark.parametrize(
    ("conversion_id", "sentence"),
    [
        ("met", "so X drops one of the two"),
        ("alone", "not seen: pages report their calls"),
        ("kept-out", "copy is the only one"),
        ("late", "more than 48 hours, so X counts both"),
        ("unwatched", "no source of this pixel has"),
    ],
)
async def test_history_shows_what_the_page_reported_to_the_pixel(reported, conversion_id, sentence):
    admin = await reported.signed_in("ada")
    found = await admin.get(f"/console/conversions?id={conversion_id}")

    page = await admin.get(found.location)

    assert sentence in page.text


def _bought(conversion_id, pixel_call, at):
    return {
        "event": "purchase", "conversion_id": conversion_id, "twclid": CLICK, "pixel": pixel_call,
        "at": at,
    }  # fmt: skip


async def _beacon(stage, conversions, now):
    url = f"{stage.gateway.url}/t?s=shop"
    said = {"v": 1, "sent": now, "conversions": conversions}
    async with (
        aiohttp.ClientSession(headers=PAGE) as http,
        http.post(url, data=msgspec.json.encode(said)) as answer,
    ):
        assert answer.status == 204, await answer.text()


async def _submit(stage, key, conversion_id):
    order = {"event": "purchase", "conversion_id": conversion_id, "twclid": CLICK}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http,
        http.post(f"{stage.gateway.url}/v1/conversions", json=order) as answer,
    ):
        assert answer.status == 202, await answer.text()
