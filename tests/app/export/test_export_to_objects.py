"""An export into object storage only adds objects, and the latest row of a key counts."""

import pytest
from export_stage import STATES, latest, objects_of, storage_states, table_target, whole_rows

from store_contract.actions import dead_lettered
from twite.app.export import object_target
from twite.app.export.object_target import state_path
from twite.domain.errors import ClientError
from twite.domain.times import DAY
from twite.gateway.operations.export_rows import NAMES, OF_BODY
from twite.readers.object_storage import ObjectStorage, StorageUnusable


@pytest.fixture
def stage(storage_stage):
    return storage_stage


async def test_objects_have_all_columns_and_storage_states(stage):
    await stage.fill()

    run = await stage.export()

    frame, whole = latest(stage)
    (path,) = objects_of(stage)
    assert run.rows == len(whole) == 6
    assert tuple(frame.columns) == NAMES
    assert storage_states(stage) == {name: name for name in (*STATES, "rejected")}
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
    assert storage_states(stage) == {"order-1": "dead", "order-2": "dead", "order-3": "queued"}
    assert len(latest(stage)[1]) == 5


async def test_object_of_a_killed_export_is_written_by_the_next_one(stage, monkeypatch):
    await stage.queue("order-1", "order-2")

    def ending(_self, _name, _content):
        raise StorageUnusable("the process ended")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStorage, "put", ending)
        with pytest.raises(StorageUnusable):
            await stage.export()
    before = objects_of(stage)
    await stage.export()
    same = len(objects_of(stage))
    await stage.settle()
    stage.pass_look_back()
    await stage.export()

    assert (before, same) == ({}, 1)
    assert storage_states(stage) == {"order-1": "delivered", "order-2": "delivered"}


async def test_rows_are_split_into_objects(stage, monkeypatch):
    monkeypatch.setattr(object_target, "ROWS_OF_AN_OBJECT", 2)
    monkeypatch.setattr("twite.app.export.run.PAGE", 2)
    await stage.queue(*(f"order-{number}" for number in range(5)))

    await stage.export()
    first = storage_states(stage)
    await stage.settle()
    stage.pass_look_back()
    await stage.export()

    assert len(objects_of(stage)) == 6
    assert first == {f"order-{number}": "queued" for number in range(5)}
    assert storage_states(stage) == {f"order-{number}": "delivered" for number in range(5)}


async def test_damaged_state_is_named(stage):
    url = stage.target.secret_url.reveal()
    ObjectStorage(url).put(state_path(stage.store_id), b"{")

    with pytest.raises(ClientError, match="Delete it to export everything again"):
        await stage.export()


async def test_missing_bucket_is_named(stage):
    await stage.queue("order-1")

    with pytest.raises(StorageUnusable, match="there is no such object or bucket"):
        await stage.export(table_target("s3://no-such-bucket/twite/"))


async def test_amounts_of_pruned_bodies_are_in_the_latest_row_that_has_them(stage):
    await stage.queue("order-1")
    await stage.export()
    stage.pass_look_back()
    await stage.settle()
    with stage.pruned_bodies():
        await stage.export()

    frame, whole = latest(stage)
    assert len(whole) == 2
    assert frame.select(*OF_BODY).row(0) == (None,) * len(OF_BODY)
    assert whole_rows(stage).row(0, named=True) == whole.row(0, named=True) | {
        name: frame[name][0] for name in NAMES if name not in OF_BODY
    }
    assert frame["state"].to_list() == ["delivered"]
