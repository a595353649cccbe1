"""A sync of object storage sends each version of a file once. The storage is a double."""

import io
import sys
from pathlib import Path

import msgspec
import pytest
from sync_stage import NOW, SyncStage, at

from twite.app.sync import objects
from twite.app.sync.objects import ObjectRun
from twite.app.sync.run import PAGE
from twite.app.sync.state import SyncRun, decide_position, load_objects, load_state
from twite.domain.errors import TwiteError
from twite.domain.secret import Secret
from twite.domain.times import DAY
from twite.gateway.operations.control import PositionChoice
from twite.readers.input_file import InputFile
from twite.readers.object_storage import StorageUnusable, StoredObject


class Bucket:
    """Objects by path. The etag is the number of the version."""

    def __init__(self):
        self.files = {}
        self.forbidden = set()

    def put(self, path, *rows):
        text = "conversion_id,time,value\n" + "\n".join(rows)
        etag = str(int(self.files[path][0]) + 1) if path in self.files else "1"
        self.files[path] = etag, text.encode()

    def objects(self):
        return [
            StoredObject(path=path, etag=etag, size=len(content))
            for path, (etag, content) in sorted(self.files.items())
        ]

    def file(self, stored):
        content = self.files[stored.path][1]
        if stored.path in self.forbidden:
            raise StorageUnusable("access was denied")
        return InputFile(
            name=stored.path,
            location=stored.path,
            path=Path(stored.path),
            open=lambda: io.BytesIO(content),
        )


def order(id_, ms=NOW):
    return f"{id_},{at(ms)},1.00"


@pytest.fixture
def bucket(monkeypatch):
    bucket = Bucket()
    monkeypatch.setattr(objects, "ObjectStorage", lambda _url: bucket)
    return bucket


@pytest.fixture
def shop(tmp_path):
    stage = SyncStage(tmp_path)
    stage.sync = msgspec.structs.replace(
        stage.sync, secret_url=Secret("s3://bucket/"), query="", cursor="", key=""
    )
    return stage


async def run(shop, *, until=lambda: False):
    found = SyncRun(at=shop.clock.now())
    state = await load_state(shop.state, "orders")
    try:
        await ObjectRun(shop.sync, shop.basis).run(state, found, until=until)
    except TwiteError as error:
        found.error = str(error)
    return found


async def test_each_version_of_a_file_is_sent_once(shop, bucket):
    bucket.put("1.csv", order("a"))
    first = await run(shop)
    bucket.put("1.csv", order("a"), order("b"))
    bucket.put("2.csv", order("c"))

    second, third = await run(shop), await run(shop)

    assert [(each.files, each.rows) for each in (first, second, third)] == [(1, 1), (2, 3), (0, 0)]
    assert shop.intake.sent == ["a", "b", "c"]


async def test_interrupted_run_continues_with_the_next_file(shop, bucket):
    for number in range(3):
        bucket.put(f"{number}.csv", order(f"o-{number}"))

    turns = iter([False, True, False, False, False])
    parts = [await run(shop, until=lambda: next(turns)) for _ in range(2)]

    assert [(part.files, part.is_done) for part in parts] == [(1, False), (2, True)]


async def test_full_exports_never_repeat_an_order_even_beside_a_broken_file(shop, bucket):
    bucket.put("broken.csv", "not,enough")
    made = []
    for day in range(20):
        made.append(order(f"o-{day}", shop.clock.now()))
        bucket.put(f"export-{day:02}.csv", *made)
        result = await run(shop)
        assert "broken.csv" in result.error
        # The gateway forgets an order after 7 days.
        shop.intake.sent = shop.intake.sent[-7:]
        assert result.verdicts["accepted"] == 1
        shop.clock.jump(DAY)


async def test_file_that_is_repaired_after_weeks_loses_no_row(shop, bucket):
    bucket.put("0.csv", order("first"))
    bucket.put("broken.csv", "not,enough")
    await run(shop)
    made = shop.clock.now()
    for _ in range(14):
        shop.clock.jump(DAY)
        await run(shop)
        shop.intake.forget()

    bucket.put("broken.csv", order("first", made), order("waited", made))
    result = await run(shop)

    assert result.verdicts == {"skipped": 1, "accepted": 1}
    assert shop.intake.received == ["first", "waited"]


async def test_deleted_objects_are_forgotten(shop, bucket):
    bucket.put("1.csv", order("a"))
    await run(shop)
    del bucket.files["1.csv"]

    await run(shop)

    assert await load_objects(shop.state, "orders") == {}


async def test_object_that_may_not_be_read_stops_no_other(shop, bucket):
    for name in ("1.csv", "2.csv", "3.csv"):
        bucket.put(name, order(name[0]))
    bucket.forbidden.add("1.csv")

    result = await run(shop)
    bucket.forbidden.clear()
    again = await run(shop)

    assert (result.files, result.error) == (2, "1.csv: access was denied")
    assert (again.files, shop.intake.sent) == (1, ["2", "3", "1"])


async def test_other_bucket_stops_the_run_until_a_command_decides(shop, bucket):
    bucket.put("1.csv", order("a"))
    await run(shop)
    shop.sync = msgspec.structs.replace(shop.sync, secret_url=Secret("s3://other/"))

    stopped = await run(shop)
    await decide_position(shop.state, shop.sync, PositionChoice.RESET)
    again = await run(shop)

    assert stopped.error.startswith("url has changed")
    assert (again.error, again.files) == ("", 1)


async def test_row_without_an_id_is_rejected(shop, bucket):
    bucket.put("1.csv", order("a"), order(""))

    result = await run(shop)

    assert result.verdicts == {"accepted": 1, "rejected": 1}
    assert result.refused[0].code == "id_missing"


async def test_file_whose_first_rows_cannot_be_read_waits(shop, bucket):
    bucket.put("1.csv", *(f"o-{number},22/11/2026,1.00" for number in range(3)))

    result = await run(shop)

    assert "1.csv: none of the first rows can be read. not_a_time" in result.error
    assert await load_objects(shop.state, "orders") == {}


async def test_empty_export_is_a_file_without_rows(shop, bucket):
    bucket.files["a.json"] = "1", b"[]"
    bucket.files["b.jsonl"] = "1", b"\n"
    bucket.put("c.csv", order("a"))

    result = await run(shop)

    assert (result.files, result.verdicts, result.error) == (3, {"accepted": 1}, "")


async def test_further_files_that_cannot_be_read_are_counted(shop, bucket):
    for number in range(5):
        bucket.files[f"{number}.json"] = "1", b"{"

    result = await run(shop)

    assert result.error.startswith("0.json: ")
    assert result.error.endswith("; and 2 more")


async def test_parquet_file_without_polars_stops_no_other(shop, bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    bucket.files["a.parquet"] = "1", b"PAR1 and more"
    bucket.put("b.csv", order("a"))

    result = await run(shop)

    assert "a.parquet: Parquet needs the package polars" in result.error
    assert shop.intake.sent == ["a"]


async def test_parquet_file_that_would_end_the_process_stops_no_other(shop, bucket):
    # One byte of a length differs: polars asks for two exbibytes, and aborts.
    bucket.files["a.parquet"] = "1", Path(__file__).with_name("damaged.parquet").read_bytes()
    bucket.put("b.csv", order("b"))

    result = await run(shop)

    assert "a.parquet: cannot be read as Parquet: it is damaged" in result.error
    assert shop.intake.sent == ["b"]


async def test_first_rows_that_are_refunds_are_rejected(shop, bucket):
    bucket.put("1.csv", *(f"r-{number},{at(NOW)},-5.00" for number in range(PAGE)), order("a"))

    result = await run(shop)

    assert (result.verdicts, result.error) == ({"rejected": PAGE, "accepted": 1}, "")
