"""Times of pages, in the zone that the browser's cookie names."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def times_of(person):
    page = (await person.get("/console/people/audit")).text
    found = re.findall(r'<time datetime="([^"]+)" title="([^"]+) UTC, [^"]+">([^<]+)</time>', page)
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


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../../../etc/passwd", "Europe", "Europe/Berlin<b>", "x" * 4000]
)
async def test_unknown_zone_is_utc(stage, name):
    ada = await stage.signed_in("ada")
    ada.cookies["twite-zone"] = name

    page, times = await times_of(ada)

    assert "Times are in UTC." in page
    assert all(hovered == visible for _, hovered, visible in times)
