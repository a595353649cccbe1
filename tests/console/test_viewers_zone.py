"""Times of pages, in the zone that the browser's cookie names."""

import asyncio
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from console_stage import ConsoleStage

from twite_emulator.process import running_emulator

EVENTS = "/console/pixels/o8z6j/events"
ORDER = {"event": "purchase", "conversion_id": "order-1", "email": "a@b.example"}
TIME = re.compile(r'<time datetime="([^"]+)" title="([^"]+) UTC, [^"]+">([^<]+)</time>')

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def times_of(person):
    page = (await person.get("/console/people/audit")).text
    found = TIME.findall(page)
    assert found
    return page, found


@pytest.mark.parametrize("name", ["Asia/Kathmandu", "America/Argentina/Ushuaia", "Etc/GMT+5"])
async def test_times_are_in_the_viewers_zone_and_in_utc_on_hover(stage, name):
    ada = await stage.signed_in("ada")
    ada.cookies["twite-zone"] = name

    page, times = await times_of(ada)

    assert f"Times are in {name}." in page
    for machine, hovered, visible in times:
        utc = datetime.fromisoformat(machine)
        assert hovered == utc.strftime("%Y-%m-%d %H:%M:%S")
        assert visible == utc.astimezone(ZoneInfo(name)).strftime("%Y-%m-%d %H:%M:%S")


async def test_times_that_are_texts_are_in_the_viewers_zone_too(tmp_path):
    """X says in ISO 8601 when it tracked an event, as a report says since when it counts."""
    with running_emulator("tracking_delay=0") as emulator:
        stage = ConsoleStage(tmp_path, x=emulator.url)
        await stage.start()
        ada = await stage.signed_in("ada")
        ada.cookies["twite-zone"] = "Asia/Kathmandu"
        async with (
            aiohttp.ClientSession(
                headers={"Authorization": "Bearer a-source-key-of-some-length"}
            ) as http,
            http.post(f"{stage.gateway.url}/v1/conversions", json=ORDER) as answer,
        ):
            assert answer.status == 202
        pages = {}
        fields = {"ours": "purchase", "which": "id"}
        for _ in range(200):
            pages["list"] = (await ada.get(EVENTS)).text
            if TIME.search(pages["list"]):
                break
            await asyncio.sleep(0.05)
        pages["one"] = (await ada.get(f"{EVENTS}/o8z6k")).text
        pages["what if"] = (await ada.post(f"{EVENTS}/o8z6n/what-if", fields)).text
        await stage.stop()

    for name, page in pages.items():
        words = page.partition("<main")[2]
        assert TIME.search(words), name
        assert not re.search(r">[^<]*\d{2}T\d{2}:\d{2}[^<]*<", words), name


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../../../etc/passwd", "Europe", "Europe/Berlin<b>", "x" * 4000]
)
async def test_unknown_zone_is_utc(stage, name):
    ada = await stage.signed_in("ada")
    ada.cookies["twite-zone"] = name

    page, times = await times_of(ada)

    assert "Times are in UTC." in page
    assert all(hovered == visible for _, hovered, visible in times)
