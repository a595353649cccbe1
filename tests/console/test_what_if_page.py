"""The console shows what a mapping would have done, before it is written."""

import html
import re

import aiohttp
import pytest
import pytest_asyncio
from console_stage import ConsoleStage

from twite.app.what_if.beside import WhatIfProcess
from twite.gateway.what_if.report import WhatIfReport
from twite_emulator.process import running_emulator

EVENT = "/console/pixels/o8z6j/events/o8z6n"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path):
    with running_emulator() as emulator:
        stage = ConsoleStage(tmp_path, x=emulator.url)
        await stage.start()
        yield stage
        await stage.stop()


def words_of(page):
    text = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL).split("<main")[1]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


async def sell(stage, **order):
    (source,) = (each for each in stage.settings.sources() if each.name == "shop")
    headers = {"Authorization": f"Bearer {source.key.reveal()}"}
    url = f"{stage.url}/v1/conversions"
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, json=order) as answer,
    ):
        assert answer.status == 202, await answer.text()


async def test_page_shows_what_a_mapping_would_have_done_and_writes_nothing(stage):
    ada = await stage.signed_in("ada")
    await sell(stage, event="purchase", conversion_id="order-1", email="shopper@example.com")
    await sell(stage, event="sign_up", conversion_id="lead-1", email="shopper@example.com")
    before = stage.settings.path.read_text()
    fields = {"ours": "purchase", "which": "id"}

    preview = await ada.post(f"{EVENT}/map", fields)
    shown = await ada.post(f"{EVENT}/what-if", fields)

    assert f'formaction="{EVENT}/what-if"' in preview.text
    words = words_of(shown.text)
    assert shown.status == 200, shown.location
    assert "1 of 2 conversions since" in words
    assert "other event_id" in words
    assert "event_id: o8z6k → o8z6n" in words
    assert "shopper" not in shown.text
    assert stage.settings.path.read_text() == before


async def test_page_says_that_no_conversion_was_received(stage):
    ada = await stage.signed_in("ada")

    refused = await ada.post(f"{EVENT}/what-if", {"ours": "purchase", "which": "id"})
    words = words_of((await ada.get(refused.location)).text)

    assert (refused.status, refused.location) == (303, EVENT)
    assert "no stored conversion was received" in words


async def test_page_says_which_part_was_compared_within_the_time(stage, monkeypatch):
    report = WhatIfReport(
        since="2026-11-24T00:00:00.000Z",
        until="2026-11-26T00:00:00.000Z",
        conversions=3,
        unchanged=3,
        before={"sent": 3},
        after={"sent": 3},
        is_cut=True,
        skipped_from="2026-11-20T00:00:00.000Z",
    )

    async def run(self, *arguments):
        return report

    monkeypatch.setattr(WhatIfProcess, "_run", run)
    ada = await stage.signed_in("ada")
    words = words_of((await ada.post(f"{EVENT}/what-if", {"ours": "purchase", "which": "id"})).text)

    assert "from 2026-11-20 00:00:00 until 2026-11-24 00:00:00 was not read" in words
    assert "Conversions from 2026-11-26 00:00:00 on were not compared" in words
