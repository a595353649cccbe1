"""The export is what the list shows, of any length, in types that programs read."""

import asyncio
import csv
import html
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import polars as pl
import pytest
import pytest_asyncio
from console_stage import ConsoleStage

from builders import NOW, a_submission, an_entry
from canaries import EMAIL, found_in
from twite.console import export_files
from twite.console.export_files import NO_POLARS, parquet_parts
from twite.console.time_range import REVERSED, UNREADABLE
from twite.domain.submission import RejectedConversion
from twite.domain.times import MINUTE, spelled
from twite.gateway.operations.export_rows import NAMES
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/console/conversions/export"
CHANGING = {"number", "updated_at", "attempts", "last_attempt_at", "last_status"}
MANY = 1_203  # three pages of the export


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("exported"))
    store = await SQLiteStore.open(str(stage.settings.store.path))
    for number in range(MANY // 3):
        entries = []
        for index in range(3):
            body = b'{"value":"%d.90","price_currency":"EUR"}' % number
            entry = an_entry(f"order-{number}-{index}", index=index)
            entries.append(msgspec.structs.replace(entry, body=body))
        at = NOW + number
        submission = a_submission(*entries, receipt=f"r-{number}", received_at=at)
        await store.record(submission)
    refusal = RejectedConversion(
        index=0, pixel="o8z6j", errors=(), conversion_id="=1+1", event=EMAIL
    )
    submission = a_submission(receipt="r-refused", received_at=NOW - MINUTE)
    await store.record(msgspec.structs.replace(submission, refusals=(refusal,)))
    suppressed = an_entry("not-sent", event=EMAIL, suppressed="no consent")
    await store.record(a_submission(suppressed, receipt="r-s", received_at=NOW + MINUTE))
    await store.close()
    await stage.start()
    yield stage
    await stage.stop()


async def exported(stage, **fields):
    olga = await stage.signed_in("olga")
    return await olga.post(PATH, fields)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_csv_has_all_conversions_with_amount_and_currency_apart(stage):
    answer = await exported(stage)
    rows = rows_of(answer.text)

    assert tuple(rows[0]) == NAMES
    assert len(rows) == MANY + 2
    number = MANY // 3 - 1
    assert {key: rows[1][key] for key in NAMES if key not in CHANGING} == {
        "key": f"r-{number}-2",
        "received_at": spelled(NOW + number),
        "occurred_at": "",
        "cause": "",
        "test": "false",
        "identifiers": "",
        "schema_version": "1",
        "pixel": "o8z6j",
        "event": "o8z6k",
        "event_name": "purchase",
        "conversion_id": f"order-{number}-2",
        "receipt": f"r-{number}",
        "source": "shop",
        "endpoint": "native",
        "state": "queued",
        "reason": "",
        "value": f"{number}.90",
        "currency": "EUR",
        "flag": "",
    }
    assert (rows[-1]["conversion_id"], rows[-1]["state"]) == ("'=1+1", "rejected")


@pytest.mark.parametrize("chosen", ["csv", "parquet"])
async def test_no_export_names_a_person(stage, chosen):
    answer = await exported(stage, format=chosen)
    kept = answer.text.encode(errors="surrogateescape")
    if chosen == "parquet":
        kept = pl.read_parquet(io.BytesIO(kept)).write_csv().encode()

    assert b"not-sent" in kept
    assert found_in(kept) == []


async def test_export_has_the_filters_of_the_list(stage):
    of_state = await exported(stage, state="suppressed")
    of_time = await exported(stage, since=str(NOW), until=str(NOW + 2))
    of_digest = await exported(stage, digest="0" * 64)

    assert [row["conversion_id"] for row in rows_of(of_state.text)] == ["not-sent"]
    names = [f"order-{number}-{index}" for number in (1, 0) for index in (2, 1, 0)]
    assert [row["conversion_id"] for row in rows_of(of_time.text)] == names
    assert rows_of(of_digest.text) == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"from": "2026-12-05", "to": "2026-12-01"}, REVERSED),
        ({"from": "yesterday"}, UNREADABLE),
        ({"state": "supressed"}, "State “supressed” does not exist. Did you mean “suppressed”?"),
        ({"state": "rubbish", "id": "9" * 10_000}, "State “rubbish” does not exist. These exist:"),
        # Each of these would make a file of more than was asked for.
        ({"test": "onyl"}, "Tests “onyl” does not exist. Did you mean “only”?"),
        ({"when": "yesterdy"}, "Time range “yesterdy” does not exist. Did you mean “yesterday”?"),
        ({"since": "last week"}, "Since “last week” does not exist."),
        ({"digest": "anna@shop"}, "Email or phone “anna@shop” does not exist."),
    ],
)
async def test_wrong_filter_exports_nothing(stage, wrong, why):
    olga = await stage.signed_in("olga")

    answer = await olga.post(PATH, wrong)

    assert "attachment" not in answer.headers.get("content-disposition", "")
    assert f"Nothing was exported. {why}" in html.unescape((await olga.get(answer.location)).text)


async def test_parquet_has_the_same_rows_with_types(stage):
    answer = await exported(stage, format="parquet", state="queued")
    frame = pl.read_parquet(io.BytesIO(answer.text.encode(errors="surrogateescape")))

    rows = rows_of((await exported(stage, state="queued")).text)
    assert frame["conversion_id"].to_list() == [row["conversion_id"] for row in rows]
    last = frame.row(-1, named=True)
    assert last["value"] == Decimal("0.90")
    assert last["received_at"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=NOW)
    assert (last["test"], last["flag"], last["currency"]) == (False, None, "EUR")


async def test_parquet_without_polars_is_explained(stage, monkeypatch):
    monkeypatch.setattr(export_files, "import_module", _absent)
    olga = await stage.signed_in("olga")

    answer = await olga.post(PATH, {"format": "parquet"})

    assert NO_POLARS[:40] in (await olga.get(answer.location)).text


@pytest.mark.parametrize("path", ["/console", "/console/pixels", "/console/pixels/o8z6j"])
async def test_pending_conversions_of_a_page_are_in_the_list_that_they_link(stage, path):
    olga = await stage.signed_in("olga")
    links = re.findall(r'href="(/console/conversions[^"]*state=(?:queued|pending)[^"]*)"',
        (await olga.get(path)).text)  # fmt: skip

    assert links
    assert [link for link in links if "state=pending" not in link] == []
    assert "order-" in (await olga.get(html.unescape(links[0]))).text


async def test_export_is_in_the_audit_log_with_its_filters(stage):
    await exported(stage, state="dead", source="shop")

    ada = await stage.signed_in("ada")
    assert "csv source=shop&amp;state=dead" in (await ada.get("/console/people/audit")).text


async def test_export_of_parquet_ends_when_the_client_leaves():
    taken = []

    async def pages():
        for number in range(1_000_000):
            taken.append(number)
            yield [[number]] * 500

    parts = parquet_parts(pl, {"number": pl.Int64}, pages())
    async for _ in parts:
        if len(taken) > 3:
            break
    await asyncio.wait_for(parts.aclose(), 10)

    assert len(taken) < 10


def _absent(name):
    raise ImportError(name)
