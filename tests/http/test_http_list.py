"""`GET /v1/conversions/list`: a source reads its conversions of every outcome."""

import json

import pytest
from http_stage import KEY, StoppedClock
from pages import a_stage

from builders import a_submission, an_entry
from fakes import PlainPasswords
from twite.domain.people.users import KeyScope
from twite.gateway.identity.accounts import Accounts
from twite.stores.sqlite import SQLiteStore

GOOD = {"event": "purchase", "conversion_id": "order-1", "twclid": "abc", "value": "49.9",
        "currency": "EUR"}  # fmt: skip
BAD = {"event": "bought", "conversion_id": "order-2", "twclid": "abc"}
PATH = "/v1/conversions/list"


@pytest.fixture
async def page(staged, tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    page = await staged(**a_stage(store, people=store.people))
    for number in (1, 3, 1):
        some = [GOOD | {"conversion_id": f"order-{number}"}, BAD] if number == 1 else [
            GOOD | {"conversion_id": f"order-{number}"}]  # fmt: skip
        await page.ask("POST", "/v1/conversions", json.dumps({"conversions": some}).encode())
    yield page
    await store.close()


def ids(answer):
    return [conversion["conversion_id"] for conversion in answer.json()["conversions"]]


async def test_list_has_queued_and_rejected_conversions(page):
    answer = await page.ask("GET", PATH)

    conversions = {found["conversion_id"]: found for found in answer.json()["conversions"]}
    good, bad = conversions["order-1"], conversions["order-2"]
    assert (answer.status, answer.json()["next"], answer.json()["searched_to"]) == (200, None, None)
    assert {name: good[name] for name in good if name not in {"received_at", "receipt"}} == {
        "number": good["number"],
        "pixel": "o8z6j",
        "event": "o8z6k",
        "conversion_id": "order-1",
        "source": "shop",
        "endpoint": "native",
        "state": "queued",
        "reason": None,
        "value": "49.90",
        "currency": "EUR",
        "duplicates": 1,
    }
    assert (bad["number"], bad["state"], bad["reason"]) == (None, "rejected", "event_unknown")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?state=queued", ["order-3", "order-1"]),
        ("?state=rejected&limit=1", ["order-2"]),
        ("?state=duplicate", ["order-1"]),
        ("?id=order-3", ["order-3"]),
        ("?since=yesterday&state=queued", ["order-3", "order-1"]),
        ("?until=2h", []),
        ("?pixel=o8z6j&event=o8z6k", ["order-3", "order-1"]),
        ("?pixel=test:o8z6j", []),
        ("?event=o8z6k", ["order-3", "order-1"]),
        ("?event=purchase", ["order-3", "order-1"]),
        ("?event=%20PurChase", ["order-3", "order-1"]),  # as clients may write it
        ("?pixel=o8z6j&event=purchase", ["order-3", "order-1"]),
        ("?event=bought", ["order-2", "order-2"]),  # which no pixel has
        ("?event=bough", []),
        ("?reason=event_unknown", ["order-2", "order-2"]),
        ("?test=only", []),
        ("?test=without&state=queued", ["order-3", "order-1"]),
        ("?source=another&state=queued", ["order-3", "order-1"]),  # the key's own source counts
    ],
)
async def test_list_has_filters(page, query, found):
    assert ids(await page.ask("GET", PATH + query)) == found


async def test_pages_of_the_list_continue(page):
    whole = ids(await page.ask("GET", PATH))

    walked, before = [], ""
    while before is not None:
        answer = await page.ask("GET", f"{PATH}?limit=1{before and f'&before={before}'}")
        walked += ids(answer)
        before = answer.json()["next"]

    assert walked == whole
    assert len(whole) == 4


async def test_tests_of_a_source_are_listed_alone(staged, tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "twite.db"))
    page = await staged(**a_stage(store, people=store.people))
    for receipt, prefix in (("r1", ""), ("r2", "test:")):
        entry = an_entry(f"{prefix}order", pixel=f"{prefix}o8z6j", event="o8z6k")
        await store.record(a_submission(entry, receipt=receipt, source=f"{prefix}shop"))

    found = [ids(await page.ask("GET", f"{PATH}?test={test}")) for test in ("only", "without")]
    of_pixel = ids(await page.ask("GET", f"{PATH}?test=only&pixel=o8z6j&source=shop"))
    await store.close()

    assert found == [["test:order"], ["order"]]
    assert of_pixel == ["test:order"]


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("?test=yes", ("test", "filter")),
        ("?state=lost", ("state", "filter")),
        ("?limit=1001", ("limit", "filter")),
        ("?limit=0", ("limit", "filter")),
        ("?before=x", ("before", "filter")),
        ("?since=noon", ("since", "since")),
        ("?until=noon", ("until", "since")),
    ],
)
async def test_invalid_filter_of_the_list_is_refused(page, query, fault):
    answer = await page.ask("GET", PATH + query)

    assert (answer.status, answer.faults()) == (400, [fault])


@pytest.fixture
async def report_key(page):
    """An API key for the pixel."""
    accounts = Accounts(directory=page.people, passwords=PlainPasswords(), clock=StoppedClock())
    made = await accounts.make_key("reports", scopes=[KeyScope.HISTORY], pixels=["o8z6j"], by="ada")
    return made.text.reveal()


@pytest.mark.parametrize(
    ("is_source", "query", "known"),
    [
        (True, "?pixel=o8z6x", ("pixel", "o8z6j")),
        (True, "?pixel=tag:none", ("pixel", "o8z6j")),
        (False, "?pixel=o8z6x&source=shop", ("pixel", "o8z6j")),
        (False, "?source=shopp", ("source", "shop")),
    ],
)
async def test_unknown_pixel_or_source_of_the_list_is_refused_with_the_known_ones(
    page, report_key, is_source, query, known
):
    answer = await page.ask("GET", PATH + query, key=KEY if is_source else report_key)

    assert (answer.status, answer.faults()) == (400, [(known[0], "filter")])
    assert answer.json()["errors"][0]["message"].endswith(f"Available: {known[1]}")


async def test_api_key_lists_a_source_by_its_name(page, report_key):
    answer = await page.ask("GET", f"{PATH}?source=shop&state=queued", key=report_key)

    assert ids(answer) == ["order-3", "order-1"]


async def test_list_requires_a_key(page):
    assert (await page.ask("GET", PATH, key=None)).status == 401
