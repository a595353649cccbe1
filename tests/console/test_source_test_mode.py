"""The switch of a source's page: its conversions go to the emulator, and count apart."""

import asyncio
import csv
import html
import io
import re
import tomllib
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio
from console_stage import ConsoleStage

from twite_emulator.process import running_emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")
SHOP, CLIENT = "/console/sources/shop", "/console/sources/client"
KEYS = {"shop": "a-source-key-of-some-length", "client": "another-source-key-of-some-length"}


@pytest_asyncio.fixture(loop_scope="module")
async def x():
    with running_emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path, x):
    stage = ConsoleStage(tmp_path, x=x.url)
    await stage.start()
    yield stage
    await stage.stop()


async def send(stage, source, order):
    body = {"event": "purchase", "conversion_id": order, "email": "a@shop.example"}
    headers = {"Authorization": f"Bearer {KEYS[source]}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{stage.gateway.url}/v1/conversions", json=body) as answer,
    ):
        return await answer.json()


async def words_of(browser, path):
    page = (await browser.get(path)).text.split("<main")[1]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def words_with(browser, path, wanted):
    words = ""
    async with asyncio.timeout(60):
        while wanted not in words:
            words = await words_of(browser, path)
    return words


def written(stage):
    tables = tomllib.loads(stage.settings.path.read_text())["source"]
    return {table["name"] for table in tables if "test_until" in table}


async def test_switch_applies_at_once_is_audited_and_ends(stage, x):
    ada = await stage.signed_in("ada")

    on = await ada.post(f"{SHOP}/test", {"hours": "1"})
    told = await words_of(ada, SHOP)
    first = await send(stage, "shop", "order-1")
    seen = await words_with(ada, SHOP, "1 accepted by the emulator")
    in_file = written(stage)
    home = await words_of(ada, "/console")
    received = x.received()["entries"]
    off = await ada.post(f"{SHOP}/test", {"hours": "0"})
    second = await send(stage, "shop", "order-1")
    after = await words_of(ada, "/console")
    audit = await words_of(ada, "/console/people/audit")

    assert (on.status, off.status) == (303, 303)
    assert "Test mode is on" in told
    assert "Send to X again" in told
    assert (first["test"], first["accepted"]) == (True, 1)
    assert "1 test conversion ," in seen
    assert in_file == {"shop"}
    assert written(stage) == set()
    assert received == []
    assert "test:" not in home
    assert "Test mode: X gets no conversions of shop until" in home
    assert "X gets no conversions" not in after
    assert "test" not in second
    assert second["accepted"] == 1
    assert audit.count("source.test shop") == 2


async def test_tests_are_marked_in_lists_and_visible_to_users_of_the_pixel(stage):
    ada = await stage.signed_in("ada")
    await ada.post(f"{CLIENT}/test", {"hours": "4"})
    await send(stage, "client", "order-of-client")
    await ada.post(f"{SHOP}/test", {"hours": "4"})
    await send(stage, "shop", "order-of-shop")
    client = await stage.signed_in("client")

    listed = await words_with(client, "/console/conversions", "delivered test")
    path = re.search(r"/console/conversions/\d+", (await client.get("/console/conversions")).text)[
        0
    ]
    shown = await words_of(client, path)
    home = await words_of(client, "/console")
    by_pixel = await words_of(client, "/console/conversions?pixel=test:o6dkt")
    only_tests = await words_of(client, "/console/conversions?test=only")

    assert "order-of-client" in only_tests
    assert "order-of-shop" not in only_tests
    assert "test:o6dkt" in listed
    assert "delivered test" in listed
    assert "Test mode: X gets no conversions of client until" in home
    assert "order-of-client" in by_pixel
    assert "shop" not in listed
    assert "only the built-in emulator gets it" in shown
    assert "Sent to the emulator alone: delivered" in shown
    assert "The emulator\N{RIGHT SINGLE QUOTATION MARK}s answer" in shown
    assert "The body sent to the emulator" in shown
    assert "to X" not in shown.replace("X gets no conversions", "")
    assert "X\N{RIGHT SINGLE QUOTATION MARK}s" not in shown
    assert "test:" not in home


async def test_lists_and_exports_have_only_tests_or_none(stage):
    olga, ada = await stage.signed_in("olga"), await stage.signed_in("ada")
    await send(stage, "shop", "order-real")
    await ada.post(f"{SHOP}/test", {"hours": "4"})
    await send(stage, "shop", "order-test")
    await words_with(olga, "/console/conversions?pixel=test:o8z6j", "delivered")

    fields = [{}, {"test": "only"}, {"test": "without"}]
    fields += [{"test": "only", "pixel": "o8z6j", "source": "shop"}]
    listed, exported = [], []
    for each in fields:
        listed.append(await words_of(olga, f"/console/conversions?{urlencode(each)}"))
        answer = await olga.post("/console/conversions/export", each)
        rows = csv.DictReader(io.StringIO(answer.text))
        exported.append({(row["conversion_id"], row["test"], row["pixel"]) for row in rows})

    real, test = ("order-real", "false", "o8z6j"), ("order-test", "true", "o8z6j")
    assert exported == [{real, test}, {test}, {real}, {test}]
    names = [[name for name in ("order-real", "order-test") if name in page] for page in listed]
    assert names == [["order-real", "order-test"], ["order-test"], ["order-real"], ["order-test"]]


async def test_list_of_all_conversions_of_home_has_no_tests_as_its_number(stage):
    ada = await stage.signed_in("ada")
    await send(stage, "shop", "order-real")
    await ada.post(f"{SHOP}/test", {"hours": "4"})
    await send(stage, "shop", "order-test")
    await words_with(ada, "/console/conversions?pixel=test:o8z6j", "delivered")

    home = (await ada.get("/console")).text
    link = re.search(r'class="count"><a href="([^"]+)"', home)
    listed = await words_of(ada, html.unescape(link[1]))

    assert "order-real" in listed
    assert "order-test" not in listed


async def test_one_conversion_goes_to_the_emulator_or_to_x(stage, x):
    olga = await stage.signed_in("olga")
    fields = {"source": "shop", "event": "purchase", "email": "a@b.example"}

    test = await olga.post("/console/pixels/o8z6j/try", fields | {"to": "emulator"})
    tested = await words_with(olga, test.location, "Delivered")
    before = len(x.received()["entries"])
    real = await olga.post("/console/pixels/o8z6j/try", fields | {"to": "x"})
    sent = await words_with(olga, real.location, "Delivered")

    assert "Sent to the emulator" in tested
    assert "debug_id" in tested
    assert before == 0
    assert "Sent to X" in sent
    assert len(x.received()["entries"]) == 1


async def test_only_admins_switch(stage):
    olga, client = await stage.signed_in("olga"), await stage.signed_in("client")

    refused = [
        await olga.post(f"{SHOP}/test", {"hours": "1"}),
        await client.post(f"{CLIENT}/test", {"hours": "1"}),
    ]

    assert [answer.status for answer in refused] == [403, 403]
    assert written(stage) == set()
