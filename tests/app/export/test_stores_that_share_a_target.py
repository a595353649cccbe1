"""Two stores export into one table or prefix: each keeps its own rows right."""

import pytest
from export_stage import DAY, ExportStage, rows_of, states_of, storage_states, table_target

from store_contract.actions import dead_lettered
from twite.gateway.operations.export_rows import store_id


@pytest.fixture(params=["warehouse", "another"])
async def stages(stage, tmp_path, request):
    """Two stores that number their conversions alike, and export into one table."""
    target = table_target(stage.url, name=request.param)
    other = await ExportStage.begin(tmp_path / "other", target, receipts="other-")
    yield stage, other
    await other.store.close()


async def change_both(first, other):
    """Let the conversions of one store wait, while those of the other are done, and export both."""
    await first.queue("one-1", "one-2")
    await first.export()
    for stage in (first, other):
        stage.clock.jump(DAY)
    await other.queue("other-1", "other-2")
    await other.settle()
    await other.export()
    await other.queue("other-3")
    await first.queue("one-3")
    await first.export()
    for stage in (first, other):
        stage.clock.jump(DAY)
    await other.settle()
    await other.export()
    await first.settle(dead_lettered, status=400)
    runs = [await stage.export() for stage in (first, other)]
    return [run.rows for run in runs]


EXPECTED = {
    "one-1": "dead",
    "one-2": "dead",
    "one-3": "dead",
    "other-1": "delivered",
    "other-2": "delivered",
    "other-3": "delivered",
}


async def test_table_has_the_states_of_both(stages):
    first, other = stages

    rows = await change_both(first, other)

    assert await states_of(first.url) == EXPECTED
    assert rows == [3, 0]
    numbers = [row["number"] for row in await rows_of(first.url, "key, number")]
    assert len(set(numbers)) < len(numbers)


async def test_prefix_has_the_states_of_both(storage_stage, tmp_path):
    other = await ExportStage.begin(tmp_path / "other", storage_stage.target, receipts="other-")

    rows = await change_both(storage_stage, other)
    await other.store.close()

    assert storage_states(storage_stage) == EXPECTED
    assert rows == [3, 0]


def test_id_of_a_store_does_not_show_its_salt():
    salt = bytes(range(32))

    assert len(store_id(salt)) == 16
    assert store_id(salt) == store_id(bytes(range(32))) != store_id(bytes(32))
    assert salt.hex()[:8] not in store_id(salt)
