"""The figures on the pages about conversions, for a few orders of a shop."""

import asyncio
import html
import re
import time

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage

from twite_emulator.process import running_emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOP = "https://shop.example"
OURS = "a-source-key-of-some-length"
THEIRS = "another-source-key-of-some-length"
CLICK = "23opevjt88psuo13lu8d020qkn"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36"
PAGE = {"Origin": SHOP, "User-Agent": AGENT, "Content-Type": "text/plain"}
REFUSED = "400 INVALID_PARAMETER: conversion_time is too old"


def order(number, **said):
    return {"event": "purchase", "conversion_id": f"order-{number}", "twclid": CLICK} | said


# Of ten orders, four have one match key; one of these four lacks a second only because its phone
# number is bad.
ORDERS = [
    *(order(number, email=f"buyer{number}@shop.alt") for number in range(6)),
    *(order(number) for number in range(6, 9)),
    order(9, phone="12"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(tmp_path_factory):
    """A gateway with reports from pages, and orders of two pixels; X refuses one."""
    with running_emulator("max_age=604800") as emulator:
        settings = SETTINGS.replace(f'key = "{OURS}"', f'key = "{OURS}"\norigins = ["{SHOP}"]')
        stage = ConsoleStage(tmp_path_factory.mktemp("figures"), settings, x=emulator.url)
        await stage.start()
        await submit(stage, OURS, *ORDERS)
        await submit(stage, OURS, order("old", email="m@shop.alt", time="2020-01-01T00:00:00Z"))
        await submit(stage, OURS, {"event": "sign_up", "conversion_id": "ann", "twclid": CLICK})
        await submit(stage, THEIRS, {"event": "purchase", "conversion_id": "x", "twclid": CLICK})
        await beacon(stage, "order-0", pixel_call="loaded")
        await beacon(stage, "page-1", pixel_call="loaded")
        await wait_until_pending(stage, pending=0)
        yield stage
        await stage.stop()


async def submit(stage, key, *orders):
    url = f"{stage.gateway.url}/v1/conversions"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http,
        http.post(url, json={"conversions": orders}) as answer,
    ):
        assert answer.status == 202, await answer.text()


async def beacon(stage, conversion_id, *, pixel_call):
    now = time.time_ns() // 1_000_000
    conversion = order(0) | {"conversion_id": conversion_id, "pixel": pixel_call, "at": now}
    said = msgspec.json.encode({"v": 1, "sent": now, "conversions": [conversion]})
    async with (
        aiohttp.ClientSession(headers=PAGE) as http,
        http.post(f"{stage.gateway.url}/t?s=shop", data=said) as answer,
    ):
        assert answer.status == 204, await answer.text()


async def wait_until_pending(stage, *, pending):
    for _ in range(600):
        waiting = 0
        for key in (OURS, THEIRS):
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http,
                http.get(f"{stage.gateway.url}/v1/accounting") as answer,
            ):
                waiting += (await answer.json())["pending"]
        if waiting == pending:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the orders do not land")


async def text_of(stage, path):
    """Return the text of a page, without HTML tags."""
    admin = await stage.signed_in("ada")
    page = (await admin.get(f"/console{path}")).text
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("source=client", {"x"}),
        ("pixel=o6dkt", {"x"}),
        ("event=o8z6m", {"ann"}),
        ("state=dead", {"order-old"}),
        (f"reason={REFUSED.replace(' ', '+')}", {"order-old"}),
        ("source=shop&event=o8z6m&state=dead", set()),
    ],
)
async def test_list_applies_each_filter(day, query, ids):
    admin = await day.signed_in("ada")

    page = (await admin.get(f"/console/conversions?{query}")).text

    shown = re.findall(r'<a href="/console/conversions/\d+">([^<]+)', page)
    assert set(shown) == ids


async def test_match_keys_page_shows_shares_errors_and_possible_gains(day):
    text = await text_of(day, "/match-keys?pixel=o8z6j")

    # Eleven from the server and one from a page; seven have an email beside the click.
    assert "13 conversions 100.0 % key coverage 53.8 % with two keys or more" in text
    assert "click id 100.0 % email 53.8 % phone 0.0 %" in text
    assert "purchase 12 100.0 % 58.3 % 100.0 % 58.3 % 0.0 % 0.0 %" in text
    assert "shop 13 100.0 % 53.8 % 100.0 % 53.8 % 0.0 % 0.0 %" in text
    assert "not a phone number phone_unusable purchase 1 0 99 the latest" in text
    assert re.search(r"the latest .*? up to \+7\.7 points", text)
    assert "Key coverage by day" in text


async def page_of(stage, path):
    return (await (await stage.signed_in("ada")).get(f"/console{path}")).text


async def test_deduplication_page_shows_conversions_by_page_and_server(day):
    text = await text_of(day, "/deduplication")
    while "The report is being prepared" in text:
        text = await text_of(day, "/deduplication")

    # The page also reported its pixel's conversion to the gateway; the server's other conversions
    # came from no page.
    assert "15.4 % deduplicated = both ÷ 13 conversion ids" in text
    assert "purchase 12 16.7 % 2 0 10 0 1 0" in text
    assert "sign_up 1 0.0 % 0 0 1 0 0 0" in text


async def test_home_shows_delivery_times_and_no_forecast_without_a_backlog(day):
    before = await text_of(day, "")

    took = re.search(r"(\S+ \S+) p50 delivery time .* (\S+ \S+) p99 delivery time", before)
    assert took
    assert all(re.match(r"\d+ m?s", group) for group in took.groups())
    assert "Backlog and forecast" not in before


@pytest.mark.parametrize("span", ["hour", "day", "week", "month"])
async def test_chart_of_home_adds_up_for_each_time_span(day, span):
    page = await page_of(day, f"?span={span}")

    # Of the fifteen, one was a duplicate, and X refused another.
    said = r"(\d+) received, (\d+) delivered, (\d+) refused, (\d+) duplicate"
    steps = re.findall(rf"<title>[^<]+: {said}", page)
    assert [sum(map(int, counts)) for counts in zip(*steps, strict=True)] == [14, 13, 1, 1]


async def test_home_shows_a_forecast_for_a_backlog(tmp_path):
    stage = ConsoleStage(tmp_path, x="http://127.0.0.1:9")
    await stage.start()
    try:
        await submit(stage, OURS, *ORDERS)

        text = await text_of(stage, "")
    finally:
        await stage.stop()

    assert "10 pending now" in text
    backlog = text.split("Backlog and forecast")[1]
    assert re.search(r"o8z6j 10 (\d{4}-\d\d-\d\d \S+) [\d\s]+ \d{4}-\d\d-\d\d \S+ 0 ", backlog)


async def test_audit_page_shows_who_did_what(day):
    olga = await day.signed_in("olga")
    await olga.post("/console/conversions/export", {"state": "dead"})

    text = await text_of(day, "/people/audit")

    assert re.search(r"olga.{0,60}export", text)
