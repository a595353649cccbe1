"""Sealed tag payloads in the database file."""

import sqlite3
from contextlib import closing

from store_contract.actions import claim_or_none
from store_contract.sealing import TAG, PayloadSeal, a_payload, post
from twite.gateway.operations.sealed_payloads import Resealing
from twite.stores.sqlite import SQLiteStore


async def test_damaged_payload_is_not_repaired_by_a_new_key(tmp_path):
    path = str(tmp_path / "twite.db")
    store = await SQLiteStore.open(path)
    await post(store, a_payload(1, seal=PayloadSeal(b"1")))
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        changed = file.execute(
            "UPDATE conversion SET body = "
            "CAST(replace(CAST(body AS TEXT), 'o8z6j', 'o8z6x') AS BLOB)"
        )
        assert changed.rowcount == 1

    store = await SQLiteStore.open(path)
    try:
        done = await Resealing(outbox=store, seal=PayloadSeal(b"2", b"1")).all()
        batch = await claim_or_none(store, pixel=TAG)
    finally:
        await store.close()

    assert (done, batch) == (0, None)
