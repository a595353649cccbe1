import asyncio
import json

import msgspec
import pytest
from command_stage import settings_in

from builders import a_submission
from twite.domain.stats.deduplication import ADVICE, DedupPath, DedupRow
from twite.domain.times import DAY
from twite.gateway.operations.dedup_report import COUNTS, day_of
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore

WAYS = {
    "a": [DedupPath.PIXEL, DedupPath.PAGE],
    "b": [DedupPath.BLOCKED, DedupPath.PAGE],
    "c": [DedupPath.PIXEL],
}


@pytest.fixture
def with_report(tmp_path):
    """Settings whose store recorded three conversion ids, and the day."""
    at = SystemClock().now()
    asyncio.run(_record_ids(str(tmp_path / "twite.db"), at))
    return settings_in(tmp_path), day_of(at // DAY)


async def _record_ids(path, at):
    store = await SQLiteStore.open(path)
    dedup_rows = tuple(
        DedupRow(pixel=pixel, event="o8z6k", conversion_id=name, path=way, at=at)
        for name, ways in WAYS.items()
        for way in ways
        for pixel in ("o8z6j", "other")
    )
    await store.record(msgspec.structs.replace(a_submission(), dedup_rows=dedup_rows))
    await store.close()


def test_dedup_prints_the_report_as_a_table_with_advice(command, with_report):
    settings, day = with_report

    code, out, err = command("deduplication", "--config", str(settings), "--pixel", "o8z6j")

    assert (code, err) == (0, "")
    lines = [line.replace("│", " ").split() for line in out.splitlines() if line[0] == "│"]
    assert lines == [[day, "o8z6j", "purchase", "1", "1", "1", "1", "0", "0", "0"]]
    assert f"1 blocked: {ADVICE['blocked']}." in out


def test_dedup_report_as_json_matches_the_http_response(command, with_report):
    settings, day = with_report

    code, out, _ = command("deduplication", "--config", str(settings), "--json")

    reported = json.loads(out)
    each = dict.fromkeys(COUNTS, 0) | dict.fromkeys(
        ["both", "pixel_only", "server_only", "blocked"], 1
    )
    assert code == 0
    assert reported["by"] == [
        each | {"pixel": "o8z6j", "event": "o8z6k", "name": "purchase", "day": day},
        each | {"pixel": "other", "event": "o8z6k", "name": None, "day": day},
    ]
    assert (reported["both"], reported["blocked"]) == (2, 2)


def test_empty_dedup_report_explains_what_to_do(command, shop):
    code, out, _ = command("deduplication", "--config", str(shop))

    assert code == 0
    assert "Add the script to your pages" in out


def test_dedup_with_days_beyond_the_retention_is_refused(command, shop):
    code, _, err = command("deduplication", "--config", str(shop), "--days", "15")

    assert code == 2
    assert "--days" in err


async def _record_two_ids(path, at):
    store = await SQLiteStore.open(path)
    dedup_rows = tuple(
        DedupRow(pixel=pixel, event="o8z6k", conversion_id=name, path=way, at=at, email_mark=7)
        for name, way in (("page-1", DedupPath.PAGE), ("order-1", DedupPath.SERVER))
        for pixel in ("o8z6j", "other")
    )
    await store.record(msgspec.structs.replace(a_submission(), dedup_rows=dedup_rows))
    await store.close()


def test_orders_with_two_conversion_ids_are_listed(command, tmp_path):
    at = SystemClock().now()
    asyncio.run(_record_two_ids(str(tmp_path / "twite.db"), at))
    asked = ("deduplication", "--config", str(settings_in(tmp_path)), "--pixel", "o8z6j")

    _, table, _ = command(*asked)
    reported = json.loads(command(*asked, "--json")[1])

    day = day_of(at // DAY)
    assert "Orders with two ids" in table
    assert [day, "o8z6j", "purchase", "page-1", "order-1"] in [
        line.replace("│", " ").split() for line in table.splitlines()
    ]
    assert reported["pairs"] == [
        {"pixel": "o8z6j", "event": "o8z6k", "name": "purchase", "day": day,
         "page_id": "page-1", "server_id": "order-1"}
    ]  # fmt: skip
