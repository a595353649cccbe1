"""Claims from a file in which a delivery is damaged."""

import shutil

import pytest

from builders import NOW
from store_contract.actions import claim, ids, record
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.connection import connect_writer


@pytest.fixture
async def store(tmp_path, migrated_file):
    store = await SQLiteStore.open(str(shutil.copyfile(migrated_file, tmp_path / "twite.db")))
    yield store
    await store.close()


async def test_damaged_delivery_does_not_block_the_next_delivery_of_its_event(store, tmp_path):
    for number in range(2):
        await record(store, f"order-{number}", receipt=f"r{number}")
    connection = connect_writer(str(tmp_path / "twite.db"))
    connection.execute("UPDATE conversion SET checksum = checksum + 1 WHERE id = 1")
    connection.close()

    assert ids(await claim(store, now=NOW, limit=1)) == ["order-1"]
