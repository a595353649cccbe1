"""Diagnostics of syncs: unreachable sources, failed runs, and a second sender of an event."""

import sqlite3
from contextlib import closing

import pytest

from twite.app.sync.state import SyncRun, SyncState
from twite.diagnostics import CheckStatus
from twite.diagnostics.syncs import syncs
from twite.gateway.ports.state import ALL_PAUSED, SyncRecord
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read

SYNC = """
[[sync]]
name = "orders"
source = "shop"
url = "sqlite:///{path}"
query = "SELECT id AS conversion_id, at AS time, changed FROM orders"
cursor = "changed"
key = "conversion_id"
history = true
event = "purchase"
"""
WEBHOOK = """
[[webhook]]
name = "stripe"
kind = "stripe"
secret = "env:STRIPE_SECRET"
source = "shop"
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE orders(id, at, changed)")
    made.close()
    return path


async def found(folder, text):
    settings = read(folder, GOOD + text, {"STRIPE_SECRET": "whsec_1"})
    return [(each.status, each.found) async for each in syncs(settings)]


async def test_readable_sync_passes(tmp_path, database):
    result = await found(tmp_path, SYNC.format(path=database))

    assert result == [(CheckStatus.PASSED, "orders: readable → source shop, has not run yet")]


async def test_unreadable_source_of_a_sync_fails(tmp_path):
    ((status, sentence),) = await found(tmp_path, SYNC.format(path=tmp_path / "none.db"))

    assert status is CheckStatus.FAILED
    assert sentence.startswith("orders: sqlite:///")
    assert "there is no such file" in sentence


async def test_error_of_the_last_run_is_a_warning(tmp_path, database):
    store = await SQLiteStore.open(tmp_path / "twite.db")
    state = SyncState(has_begun=True, last_run=SyncRun(at=1, error="no column has the time"))
    await store.put([state.record("orders")])
    await store.close()

    ((status, sentence),) = await found(tmp_path, SYNC.format(path=database))

    assert status is CheckStatus.WARNING
    assert sentence == "the last run of orders failed: no column has the time"


async def test_sync_and_webhook_of_one_event_are_a_warning(tmp_path, database):
    both = await found(tmp_path, SYNC.format(path=database) + WEBHOOK)
    other = await found(tmp_path, SYNC.format(path=database) + WEBHOOK + 'event = "sign_up"\n')

    sentence = "the sync orders and the webhook stripe may send the same event"
    assert both[1:] == [(CheckStatus.WARNING, sentence)]
    assert len(other) == 1


async def test_cursor_that_is_set_before_the_order_is_paid_is_a_warning(tmp_path, database):
    text = SYNC.format(path=database).replace("changed FROM orders", "at AS created FROM orders {}")
    paid = text.format("WHERE changed = 'paid'")

    found_of = [
        await found(tmp_path, each.replace('cursor = "changed"', f'cursor = "{cursor}"'))
        for each, cursor in ((paid, "created"), (text.format(""), "created"), (paid, "time"))
    ]

    sentence = "the cursor created of orders may be set before a row matches the query"
    assert found_of[0][1:] == [(CheckStatus.WARNING, sentence)]
    assert [len(each) for each in found_of] == [2, 1, 1]


async def test_sync_of_a_restored_store_is_paused(tmp_path, database):
    store = await SQLiteStore.open(tmp_path / "twite.db")
    await store.put([SyncRecord(name=ALL_PAUSED, state="1")])
    await store.put([SyncState(has_begun=True, resumed="0").record("orders")])
    paused = await found(tmp_path, SYNC.format(path=database))

    await store.put([SyncState(has_begun=True, resumed="1").record("orders")])
    await store.close()

    sentence = "orders is paused, because the store is an older copy"
    assert paused == [(CheckStatus.WARNING, sentence)]
    assert (await found(tmp_path, SYNC.format(path=database)))[0][0] is CheckStatus.PASSED
