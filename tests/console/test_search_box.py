"""The search box finds conversions by id, receipt, email and phone, without a person in a URL."""

import hashlib

import msgspec
import pytest
import pytest_asyncio
from console_stage import ConsoleStage

from builders import a_submission, an_entry
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMAIL = "shopper@example.com"
PHONE = "+442079460958"
RECEIPT = "0193f0a1-7c1e-7000-8000-000000000001"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("searched"))
    store = await SQLiteStore.open(str(stage.settings.store.path))
    for name, person in (("by-email", EMAIL), ("by-phone", PHONE), ("nobody", "x")):
        body = b'{"identifiers":[{"hashed":"%s"}]}' % sha256(person).encode()
        entry = msgspec.structs.replace(an_entry(name), body=body)
        await store.record(a_submission(entry, receipt=f"r-{name}"))
    both = (an_entry("order-1"), an_entry("order-2", index=1))
    await store.record(a_submission(*both, receipt=RECEIPT))
    await store.close()
    await stage.start()
    yield stage
    await stage.stop()


@pytest.mark.parametrize(
    ("term", "found"),
    [
        (" Shopper@Example.com", {"by-email"}),
        ("+44 20 7946 0958", {"by-phone"}),
        (sha256(PHONE), {"by-phone"}),
        (RECEIPT, {"order-1", "order-2"}),
    ],
)
async def test_search_box_lists_the_matches(stage, term, found):
    vic = await stage.signed_in("vic")

    answer = await vic.post("/console/conversions/search", {"term": term})
    page = await vic.get(answer.location)

    names = {"by-email", "by-phone", "nobody", "order-1", "order-2"}
    assert {name for name in names if f">{name}</a>" in page.text} == found
    assert "@" not in answer.location.replace("%40", "@")
    assert "7946" not in answer.location


async def test_search_box_opens_the_conversion_with_an_id(stage):
    vic = await stage.signed_in("vic")

    answer = await vic.post("/console/conversions/search", {"term": "order-1"})
    found = await vic.get(answer.location)

    assert found.location.startswith("/console/conversions/")


async def test_half_an_email_is_explained_and_not_repeated(stage):
    vic = await stage.signed_in("vic")

    answer = await vic.post("/console/conversions/search", {"term": "shopper@example"})
    page = await vic.get(answer.location)

    assert answer.location == "/console/conversions"
    assert "Write a whole email address" in page.text
    assert "shopper@" not in page.text


async def test_client_finds_no_conversion_of_another_pixel_by_email(stage):
    client = await stage.signed_in("client")

    answer = await client.post("/console/conversions/search", {"term": EMAIL})

    assert ">by-email</a>" not in (await client.get(answer.location)).text
