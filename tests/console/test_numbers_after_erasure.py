"""Numbers stay equal to their lists after a person is erased."""

import re

import pytest
from agency_stage import ROW, agency_stage, page_of
from test_linked_numbers import counted, linked_numbers

from twite.app.erase import EraseRequest, PayloadReader, erase, look
from twite.domain.people.erasure import asked

pytestmark = pytest.mark.asyncio


async def test_numbers_of_today_are_those_of_their_lists_after_an_erasure(tmp_path):
    async with agency_stage(tmp_path) as stage:
        people = [
            asked("email", f"{name}@shop.alt", region=None)
            for name in ("taken", "repeated", "old", "bad")
        ]
        request = EraseRequest(asked=tuple(people), pixel=None, returns=False, who="ada")
        opened = PayloadReader(stage.settings).opened
        traces = await look(stage.settings, request, opened=opened)
        store = stage.store
        await erase(stage.settings, request, traces, opened=opened, store=store)
        pages = {
            path: linked_numbers(await page_of(stage, path))
            for path in ("/console", "/console?pixel=q1", "/console/sources/agency")
        }
        found = {
            path: {(url, await counted(stage, url)) for url, _ in links}
            for path, links in pages.items()
        }
        listed = await page_of(stage, "/console/conversions?state=rejected&pixel=q1")

    assert found == pages
    assert len(ROW.findall(listed)) == 1
    assert "erased-" in listed
    assert "bad-q1" not in re.sub(r"<[^>]+>", "", listed)
