"""Rows that a sync rejects do not vanish with its next run: they are rejected conversions."""

import asyncio
import html
import re
import sqlite3
from contextlib import closing

import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage

from canaries import EMAIL, found_in
from twite.app.store_access import open_records
from twite.domain.submission import RejectionQuery
from twite.gateway.ports.queries import RejectionsQuery

pytestmark = pytest.mark.asyncio(loop_scope="module")

SYNC = """
[[sync]]
name = "orders"
source = "shop"
url = "sqlite:///{place}/shop.db"
query = "SELECT id conversion_id, at time, total value, mail email, agreed consent FROM orders"
cursor = "time"
key = "conversion_id"
event = "purchase"
currency = "EUR"
interval = "1h"
history = true
"""
ROWS = (
    ("good", "9.90", EMAIL, "yes"),
    ("letters", "abc", EMAIL, "yes"),
    ("thousands", "1,234", EMAIL, "yes"),
    ("refund", "-5.00", EMAIL, "yes"),
    # Neither the amount nor the conversion is sent, but the denial must reach all its copies.
    ("denied", "abc", EMAIL, "no"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    with closing(sqlite3.connect(folder / "shop.db")) as shop, shop:
        shop.execute("CREATE TABLE orders(id, at, total, mail, agreed)")
        for number, (id_, *others) in enumerate(ROWS):
            at = f"2026-11-30T10:00:0{number}Z"
            shop.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", (id_, at, *others))
    stage = ConsoleStage(folder, SETTINGS + SYNC, place=str(folder))
    await stage.start()
    ada = await stage.signed_in("ada")
    for _ in range(500):
        if "has not run yet" not in (await ada.get("/console/system")).text:
            break
        await asyncio.sleep(0.02)
    yield stage
    await stage.stop()


async def text_of(stage, path):
    page = (await (await stage.signed_in("ada")).get(path)).text
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


async def test_rejected_rows_are_in_the_list_of_rejected_conversions_and_in_problems(stage):
    listed = await text_of(stage, "/console/conversions?state=rejected&source=shop")
    problems = await text_of(stage, "/console/problems?kind=rejected")

    assert [id_ for id_, *_ in ROWS if f" {id_} " in listed] == ["letters", "thousands", "refund"]
    assert "Not an amount such as 49.90" in problems
    assert "The amount has a separator that may mark decimals or thousands" in problems
    assert "The amount is negative" in problems


async def test_rejected_rows_have_only_the_faults_of_the_row_and_no_person(stage):
    async with open_records(stage.settings) as records:
        query = RejectionsQuery(rejection_query=RejectionQuery())
        rejections = await records.answer(query)

    found = {each.conversion_id: [fault.code for fault in each.faults] for each in rejections}
    assert found == {
        "letters": ["not_an_amount"],
        "thousands": ["amount_ambiguous"],
        "refund": ["amount_negative"],
    }
    files = stage.folder.glob("twite.db*")
    assert found_in(b"".join(file.read_bytes() for file in files if "lock" not in file.name)) == []


async def test_outcomes_of_a_sync_lead_to_the_conversions_of_its_source(stage):
    page = (await (await stage.signed_in("ada")).get("/console/system")).text

    links = dict(re.findall(r'<a href="(/console/conversions[^"]+)">([^<]+)</a>', page))
    assert links == {
        "/console/conversions?state=rejected&amp;source=shop": "rejected",
        "/console/conversions?state=suppressed&amp;source=shop": "suppressed",
    }
