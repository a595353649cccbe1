"""Copies in a store of an earlier version, where a dead letter lost its key but stayed."""

import sqlite3
from contextlib import closing

import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from store_contract.actions import (
    add_dead_letter,
    balanced,
    claim,
    dead_lettered,
    deliver,
    delivered,
    histories,
    record,
    settle,
)
from twite.domain.conversion import DEFAULT_WINDOW
from twite.domain.delivery import State
from twite.domain.submission import Recorded
from twite.gateway.operations.edit import doubt
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.outbox import EditBodies, EditedBody, Replay
from twite.gateway.ports.queries import AtRest, InErrorGroups
from twite.stores.sqlite import SQLiteReader, SQLiteStore

OTHER = "o8z6m"
LATER = NOW + 2 * DEFAULT_WINDOW


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


@pytest.fixture
async def store(path):
    """A dead letter whose key belongs to a later copy, although it was never superseded."""
    store = await SQLiteStore.open(path)
    await record(store, "order-1", receipt="r-first")
    batch = await claim(store)
    await settle(store, batch, "rejected", dead_lettered(batch))
    await store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("DELETE FROM fresh_key; DELETE FROM dedup")
    store = await SQLiteStore.open(path)
    yield store
    await store.close()


async def dead_of(path):
    reader = await SQLiteReader.open(path)
    try:
        return [
            history
            for history in await reader.find(AtRest(pixel=None, limit=9))
            if history.state == "dead"
        ]
    finally:
        await reader.close()


async def test_dead_letter_without_another_copy_is_replayed(path, store):
    (dead,) = await dead_of(path)

    assert (dead.rival, doubt(dead, now=NOW + 9)) == (None, None)
    assert (await store.move(Replay(deliveries=[dead.delivery]), now=NOW + 9)).moved == 1


@pytest.mark.parametrize("sent", [False, True])
async def test_replay_of_a_dead_letter_with_a_later_copy_needs_confirmation(path, store, sent):
    if sent:
        await deliver(store, "order-1")
    else:
        await record(store, "order-1", receipt="r2", at=NOW + 1)
    (dead,) = await dead_of(path)
    state = State.DELIVERED if sent else State.QUEUED

    refused = (await store.move(Replay(deliveries=[dead.delivery]), now=NOW + 9)).moved
    body = an_entry("order-1").body
    edited = EditedBody(delivery=dead.delivery, event=dead.event, body=body)
    amended = (await store.move(EditBodies(edited=[edited], note=""), now=NOW + 9)).refused

    assert (refused, list(amended)) == (0, [dead.delivery])
    assert dead.rival.state is state
    assert doubt(dead, now=NOW + 9) == (
        f"delivery {dead.rival.delivery} has the same conversion id and is {state}"
    )
    assert (
        await store.move(Replay(deliveries=[dead.delivery], sure=[dead.delivery]), now=NOW + 9)
    ).moved == 1
    await balanced(store)


async def test_replay_of_the_older_of_two_dead_copies_needs_confirmation(path, store):
    (older,) = await dead_of(path)
    newer = await add_dead_letter(store, "order-1")

    done = (await store.move(Replay(deliveries=[older.delivery, newer]), now=NOW + 9)).moved

    assert done == 1
    assert [delivery.id for delivery in (await claim(store, now=NOW + 9)).deliveries] == [newer]


async def test_console_shows_the_other_copy(store):
    await record(store, "order-1", receipt="r2", at=NOW + 1)
    (error_group,) = await store.group(QueryScope())

    (history,) = await store.find(InErrorGroups(scope=QueryScope(), groups=[error_group]))

    assert history.rival is not None
    assert len(await histories(store, "order-1")) == 1


async def test_key_taken_over_by_an_edit_is_kept_over_a_restart(path):
    """Several copies had the key before: the log of keys deletes them all."""
    store = await SQLiteStore.open(path)
    edited = await add_dead_letter(store, "order-1")
    for number in range(3):
        copy = corrected_by(number, event=OTHER)
        await store.record(a_submission(copy, receipt=f"r{number}"))
        batch = await claim(store)
        transition = delivered(batch) if number == 2 else dead_lettered(batch)
        await settle(store, batch, "rejected", transition)
    amended = EditedBody(delivery=edited, event=OTHER, body=an_entry("order-1").body)
    refused = (await store.move(EditBodies(edited=[amended], note="why"), now=LATER)).refused

    for receipt in ("before", "after"):
        copy = an_entry("order-1", event=OTHER)
        recorded = await store.record(a_submission(copy, receipt=receipt, received_at=LATER))
        assert (refused, recorded) == ({}, Recorded(duplicates=(0,))), receipt
        await store.close()
        store = await SQLiteStore.open(path)
    await store.close()


def corrected_by(number, *, event):
    entry = an_entry("order-1", event=event)
    body = entry.body.replace(b"{", b'{"value":"%d.00",' % number, 1)
    return msgspec.structs.replace(entry, body=body)
