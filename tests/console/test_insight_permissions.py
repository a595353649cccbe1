"""The pages about conversions show only what the user may see."""

import asyncio
import re

import aiohttp
import pytest
import pytest_asyncio
from console_stage import PEOPLE, ConsoleStage

from twite.domain.people.users import Role
from twite_emulator.process import running_emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS = "a-source-key-of-some-length"
THEIRS = "another-source-key-of-some-length"
PATHS = (
    *("", "/conversions", "/match-keys", "/deduplication"),
    *("/problems", "/problems/amounts"),
)
# Traces of the other pixel: ids, source, pixel and event.
FOREIGN = ("secret-order", "o8z6j", "o8z6k", ">shop<")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory):
    """A gateway with conversions of two pixels, some of them dead."""
    with running_emulator("max_age=604800") as emulator:
        stage = ConsoleStage(tmp_path_factory.mktemp("seen"), x=emulator.url)
        await stage.start(people=PEOPLE | {"theirs": (Role.OPERATOR, ["o6dkt"])})
        await _post(stage, OURS, "secret-order")
        await _post(stage, THEIRS, "their-order")
        await _drained(stage)
        yield stage
        await stage.stop()


@pytest.mark.parametrize("path", PATHS)
async def test_conversions_of_hidden_pixels_are_on_no_page(both, path):
    client = await both.signed_in("client")

    page = await client.get(f"/console{path}")

    assert page.status == 200
    assert [text for text in FOREIGN if text in page.text] == []


@pytest.mark.parametrize(
    "query", ["pixel=o8z6j", "event=o8z6k", "source=shop", "state=dead", "id=secret-order-0"]
)
async def test_filter_cannot_show_a_hidden_pixel(both, query):
    client = await both.signed_in("client")

    page = await client.get(f"/console/conversions?{query}")

    # The search box and the filter repeat what was asked.
    assert "secret-order-" not in page.text.replace("secret-order-0", "")
    shown = re.findall(r'<a href="/console/conversions/\d+">([^<]+)', page.text)
    assert all(text.startswith("their-order-") for text in shown)


async def test_history_of_a_conversion_of_a_hidden_pixel_is_404(both):
    admin, client = await both.signed_in("ada"), await both.signed_in("client")
    found = await admin.get("/console/conversions?id=secret-order-0")

    assert (await admin.get(found.location)).status == 200
    assert (await client.get(found.location)).status == 404


async def test_operator_of_one_pixel_cannot_decide_about_another(both):
    operator, other = await both.signed_in("olga"), await both.signed_in("theirs")
    listed = await operator.get("/console/conversions?state=dead&pixel=o8z6j")
    number = listed.text.split('<a href="/console/conversions/')[1].split('"')[0]
    answer = await other.post("/console/problems/replays", {"delivery": number})

    assert answer.status == 409
    assert "Nothing was selected" in answer.text


async def test_viewer_can_neither_replay_nor_export(both):
    viewer = await both.signed_in("vic")

    for path in (
        "/console/problems/replays",
        "/console/problems/discard",
        "/console/conversions/export",
    ):
        assert (await viewer.post(path, {"state": "dead"})).status == 403


async def test_metrics_and_match_keys_page_show_the_same_errors(both):
    client = await both.signed_in("client")

    metrics = (await client.get("/metrics")).text.splitlines()
    page = (await client.get("/console/match-keys")).text

    whose = 'pixel="o6dkt",source="client"'
    assert f'twite_match_flaws_total{{code="phone_unusable",{whose}}} 3.0' in metrics
    assert f'twite_matchable_conversions_total{{keys="1",{whose}}} 3.0' in metrics
    assert re.search(r"not a phone number.*?>purchase<.*?>3<", page, re.DOTALL)


async def _post(stage, key, name):
    orders = [
        {
            "event": "purchase",
            "conversion_id": f"{name}-{number}",
            "email": "buyer@shop.de",
            "phone": "12",
            "value": "9.90",
            "currency": "EUR",
        }
        for number in range(3)
    ]
    orders[0]["time"] = "2020-01-01T00:00:00Z"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http,
        http.post(f"{stage.gateway.url}/v1/conversions", json={"conversions": orders}) as answer,
    ):
        assert answer.status == 202, await answer.text()


async def _drained(stage):
    for _ in range(300):
        pending = 0
        for key in (OURS, THEIRS):
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http,
                http.get(f"{stage.gateway.url}/v1/accounting") as answer,
            ):
                pending += (await answer.json())["pending"]
        if not pending:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the orders do not land")
