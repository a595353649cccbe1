"""An export into object storage only adds objects, and the latest row of a key counts."""

import io

import polars as pl
import pytest
from export_stage import STATES, ExportStage, table_target

from s3_server import BUCKET, s3_server
from store_contract.actions import dead_lettered
from twite.app.export import object_target
from twite.domain.errors import ClientError
from twite.domain.times import DAY
from twite.gateway.operations.export_rows import NAMES
from twite.readers.object_storage import ObjectStorage, StorageUnusable


@pytest.fixture(scope="module")
def s3():
    with s3_server() as variables:
        yield variables


@pytest.fixture
async def stage(tmp_path, s3, monkeypatch):
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    prefix = f"s3://{BUCKET}/{tmp_path.name}/"
    stage = await ExportStage.begin(tmp_path, table_target(prefix))
    stage.variables = s3
    yield stage
    await stage.store.close()


def objects_of(stage):
    """Return the Parquet objects by path."""
    url = stage.target.secret_url.reveal()
    storage = ObjectStorage(url)
    return {stored.path: storage.file(stored).open().read() for stored in storage.objects()}


def latest(stage):
    """Return the latest row of each key, as a query of a data team does."""
    frames = [pl.read_parquet(io.BytesIO(content)) for content in objects_of(stage).values()]
    whole = pl.concat(frames).sort("updated_at")
    return whole.unique(subset="key", keep="last"), whole


def states(stage):
    frame, _ = latest(stage)
    return dict(zip(frame["conversion_id"], frame["state"], strict=True))


async def test_objects_have_all_columns_and_states(stage):
    await stage.fill()

    run = await stage.export()

    frame, whole = latest(stage)
    (path,) = objects_of(stage)
    assert run.rows == len(whole) == 6
    assert tuple(frame.columns) == NAMES
    assert states(stage) == {name: name for name in (*STATES, "rejected")}
    assert "/exported_on=2026-11-25/0000000001-" in f"/{path}"
    assert path.endswith(".parquet")


async def test_changed_state_is_a_later_row(stage):
    await stage.queue("order-1", "order-2")
    await stage.export()
    stage.clock.jump(DAY)
    await stage.settle(dead_lettered, status=400)
    await stage.queue("order-3")

    await stage.export()
    objects = objects_of(stage)
    again = await stage.export()

    assert again.rows == 0
    assert objects_of(stage) == objects
    assert len(objects) == 2
    assert states(stage) == {"order-1": "dead", "order-2": "dead", "order-3": "queued"}
    assert len(latest(stage)[1]) == 5


async def test_export_that_is_killed_before_its_state_repeats_no_wrong_row(stage, monkeypatch):
    await stage.queue("order-1", "order-2")
    put = ObjectStorage.put

    def ending(self, name, content):
        if name == object_target.STATE:
            raise StorageUnusable("the process ended")
        put(self, name, content)

    monkeypatch.setattr(ObjectStorage, "put", ending)
    with pytest.raises(StorageUnusable):
        await stage.export()
    monkeypatch.undo()
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    await stage.export()
    same = len(objects_of(stage))
    await stage.settle()
    stage.pass_look_back()
    await stage.export()

    # The same rows at the same time have the same name.
    assert same == 1
    assert states(stage) == {"order-1": "delivered", "order-2": "delivered"}


async def test_rows_are_split_into_objects(stage, monkeypatch):
    monkeypatch.setattr(object_target, "ROWS_OF_AN_OBJECT", 2)
    monkeypatch.setattr("twite.app.export.run.PAGE", 2)
    await stage.queue(*(f"order-{number}" for number in range(5)))

    await stage.export()
    first = states(stage)
    await stage.settle()
    stage.pass_look_back()
    await stage.export()

    assert len(objects_of(stage)) == 6
    assert first == {f"order-{number}": "queued" for number in range(5)}
    assert states(stage) == {f"order-{number}": "delivered" for number in range(5)}


async def test_damaged_state_is_named(stage):
    url = stage.target.secret_url.reveal()
    ObjectStorage(url).put(object_target.STATE, b"{")

    with pytest.raises(ClientError, match="Delete it to export everything again"):
        await stage.export()


async def test_missing_bucket_is_named(stage):
    await stage.queue("order-1")

    with pytest.raises(StorageUnusable, match="there is no such object or bucket"):
        await stage.export(table_target("s3://no-such-bucket/twite/"))
