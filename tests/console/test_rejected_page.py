"""The page of rejected conversions lists exactly those, with filters."""

import aiohttp
import pytest
import pytest_asyncio
from console_stage import ConsoleStage

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS = "a-source-key-of-some-length"
THEIRS = "another-source-key-of-some-length"
# In spoken form: no email and no phone number may be on the page.
PERSON = "ada@shop.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("rejected"))
    await stage.start()
    bad = {"event": "<b>bought</b>", "email": PERSON}
    negative = {"event": "purchase", "email": PERSON, "value": "-5.00", "currency": "EUR"}
    async with aiohttp.ClientSession() as http:
        for key, name in ((OURS, "ours"), (THEIRS, "theirs")):
            reported = {"conversions": [bad | {"conversion_id": f"{name}-1"},
                                    negative | {"conversion_id": f"{name}-2"}]}  # fmt: skip
            headers = {"Authorization": f"Bearer {key}"}
            url = f"{stage.gateway.url}/v1/conversions"
            async with http.post(url, json=reported, headers=headers) as answer:
                assert answer.status == 422
    yield stage
    await stage.stop()


async def test_all_rejected_conversions_are_listed_without_persons(stage):
    ada = await stage.signed_in("ada")

    page = await ada.get("/console/rejected")

    for text in ("ours-1", "theirs-2", "event_unknown", "-5.00", "the amount is negative"):
        assert text in page.text
    assert "<b>bought" not in page.text
    assert PERSON not in page.text


@pytest.mark.parametrize(
    ("query", "there", "away"),
    [
        ("code=amount_negative", ["ours-2", "theirs-2"], ["ours-1"]),
        ("id=ours-1", ["ours-1"], ["ours-2", "theirs-1"]),
        ("source=shop", ["ours-1"], ["theirs-1"]),
        ("pixel=o6dkt", ["theirs-1"], ["ours-1"]),
        ("id=nothing", ["No match."], ["ours-1"]),
    ],
)
async def test_list_of_rejected_conversions_can_be_filtered(stage, query, there, away):
    page = await (await stage.signed_in("ada")).get(f"/console/rejected?{query}")

    assert [text for text in there if text not in page.text] == []
    assert [text for text in away if f">{text}<" in page.text] == []


@pytest.mark.parametrize("query", ["", "?pixel=o8z6j", "?source=shop", "?id=ours-1"])
async def test_rejected_conversions_of_hidden_pixels_are_not_listed(stage, query):
    page = await (await stage.signed_in("client")).get(f"/console/rejected{query}")

    assert page.status == 200
    assert "ours-2" not in page.text
    assert ">ours-1<" not in page.text


async def test_rejected_conversion_is_found_by_id(stage):
    ada, client = await stage.signed_in("ada"), await stage.signed_in("client")

    found, hidden = [
        (await user.get("/console/conversions?id=ours-1")).text for user in (ada, client)
    ]

    assert '<span class="badge bad">rejected</span>' in found
    assert '<span class="badge bad">rejected</span>' not in hidden
