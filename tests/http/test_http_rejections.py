"""`GET /v1/rejections`: a source reads its own rejected conversions."""

import json

import pytest
from pages import a_stage

from twite.stores.sqlite import SQLiteStore


@pytest.fixture
async def page(staged, tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    yield await staged(**a_stage(store))
    await store.close()


async def submit(page, *conversions):
    body = json.dumps({"conversions": conversions}).encode()
    return await page.ask("POST", "/v1/conversions", body)


BAD = {"event": "bought", "conversion_id": "order-1", "email": "ada@shop.example"}
WORSE = {"event": "purchase", "conversion_id": "order-2", "twclid": "abc", "value": "-5",
         "currency": "EUR"}  # fmt: skip


async def test_list_of_rejections_has_code_path_value_and_reason(page):
    submitted = await submit(page, BAD)

    answer = await page.ask("GET", "/v1/rejections")

    (reported,) = answer.json()["rejections"]
    assert (answer.status, answer.json()["more"], submitted.status) == (200, False, 422)
    assert reported.pop("at")
    assert reported == {
        "source": "shop",
        "pixel": "o8z6j",
        "endpoint": "native",
        "receipt": submitted.json()["receipt"],
        "index": 0,
        "event": "bought",
        "conversion_id": "order-1",
        "errors": [submitted.json()["rejected"][0]["errors"][0] | {"value": "bought"}],
    }


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["order-2", "order-1"]),
        ("?code=event_unknown", ["order-1"]),
        ("?conversion_id=order-2", ["order-2"]),
        ("?conversion_id=order-3", []),
        ("?since=2020-01-01T00:00:00Z", ["order-2", "order-1"]),
    ],
)
async def test_list_of_rejections_can_be_filtered(page, query, ids):
    await submit(page, BAD, WORSE)

    answer = await page.ask("GET", f"/v1/rejections{query}")

    assert [rejection["conversion_id"] for rejection in answer.json()["rejections"]] == ids


@pytest.mark.parametrize(
    ("query", "fault"),
    [("?since=noon", ("since", "since")), ("?code=bad", ("code", "code"))],
)
async def test_invalid_filter_of_rejections_is_refused(page, query, fault):
    answer = await page.ask("GET", f"/v1/rejections{query}")

    assert (answer.status, answer.faults()) == (400, [fault])


async def test_list_of_rejections_requires_a_source_key(page):
    await submit(page, BAD)

    assert (await page.ask("GET", "/v1/rejections", key=None)).status == 401
