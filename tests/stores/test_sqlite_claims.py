"""Typical claims and settlements on SQLite rewrite no outbox row, and have the general results."""

import asyncio
import sqlite3
from contextlib import closing

import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from killed_files import copy_killed
from store_contract.actions import (
    PIXEL,
    claim,
    claim_or_none,
    delivered,
    ids,
    postponed,
    record,
    settle,
    sweep,
)
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import NewDeliveries, State
from twite.domain.errors import StoreUnusable
from twite.domain.times import MINUTE
from twite.gateway.ports.listing import ListedState, ListQuery
from twite.gateway.ports.outbox import Claim, Replay, TakeBack
from twite.gateway.ports.queries import ByConversionId
from twite.stores.sql import outbox
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.owner_session import OwnerSession
from twite.stores.sqlite.recovery.copying import SQLiteCopySource
from twite.stores.sqlite.recovery.recover import recover

DIFFERENT = [NOW + place for place in range(6)]


@pytest.fixture(autouse=True)
def small_bodies(monkeypatch):
    """Skip the reading of body sizes at the first claim, as after a claim of small bodies."""
    monkeypatch.setattr(OwnerSession, "largest_body", 1)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


@pytest.fixture
async def store(path):
    store = await SQLiteStore.open(path)
    yield store
    await store.close()


@pytest.fixture
def statements(monkeypatch):
    """The names of the statements that units of work run."""
    names = []
    run = OwnerSession.run

    def noting(session, name, /, **values):
        names.append(name)
        return run(session, name, **values)

    monkeypatch.setattr(OwnerSession, "run", noting)
    return names


def rows(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def states(path):
    return [state for (state,) in rows(path, "SELECT state FROM outbox ORDER BY id")]


def unmarked(path):
    return [lease for (lease,) in rows(path, "SELECT id FROM lease WHERE unmarked")]


async def shown(store, conversion_id):
    asked = ByConversionId(pixel=PIXEL, events=["o8z6k"], conversion_id=conversion_id)
    return [history.state for history in await store.find(asked)]


async def record_all(store, *conversion_ids, at=NOW):
    entries = [an_entry(id_, index=index) for index, id_ in enumerate(conversion_ids)]
    await store.record(a_submission(*entries, receipt=conversion_ids[0], received_at=at))


async def deliver(store, batch):
    return await settle(store, batch, "delivered", delivered(batch))


async def test_typical_batch_rewrites_no_row_of_the_outbox(store, path, statements):
    await record_all(store, "order-1", "order-2")
    statements.clear()

    batch = await claim(store)
    between = states(path), unmarked(path)
    late = await deliver(store, batch)

    counts = {"forget_flow", "forget_waited", "forget_matched", "forget_flaws", "note_turn"}
    assert [name for name in statements if name not in counts] == [
        "promote",
        "queue_to_claim",
        "claimable",
        "add_lease",
        "add_attempt",
        "add_attempted",
        "extend_lease",
        "end_lease",
    ]
    assert between == (["queued", "queued"], [batch.lease])
    assert (late, states(path), rows(path, "SELECT id FROM lease")) == (0, [], [])
    (account,) = await store.balance()
    assert (account.received, account.delivered, account.pending) == (2, 2, 0)


async def test_claimed_delivery_is_shown_as_being_sent(store):
    await record_all(store, "order-1")
    await claim(store)

    listed = await store.page(ListQuery(state=ListedState.SENDING))
    queued = await store.page(ListQuery(state=ListedState.QUEUED))

    assert await shown(store, "order-1") == [State.SENDING]
    assert ([row.state for row in listed.summaries], list(queued.summaries)) == (
        [State.SENDING],
        [],
    )


@pytest.mark.parametrize("at", [[NOW] * 6, DIFFERENT])
async def test_next_claim_continues_after_the_last(store, at):
    for number in range(6):
        await record(store, f"order-{number}", receipt=f"r{number}", at=at[number])

    batches = [await claim_or_none(store, limit=limit) for limit in (1, 2, 2, 5, 5)]

    assert [batch and ids(batch) for batch in batches] == [
        ["order-0"],
        ["order-1", "order-2"],
        ["order-3", "order-4"],
        ["order-5"],
        None,
    ]


async def test_skipped_delivery_is_claimed_by_a_later_claim(store):
    await record_all(store, "order-1", "order-2", "order-3")
    claiming = Claim(pixel=PIXEL, now=NOW, lease_until=NOW + MINUTE, limit=1, ambiguous_after=0)

    first = await store.claim(msgspec.structs.replace(claiming, passing=frozenset({1})))
    second = await store.claim(claiming)

    assert [ids(first), ids(second)] == [["order-2"], ["order-1"]]


async def test_claim_of_several_requests_has_each_body_and_all_joined(store):
    entries = [an_entry(f"order-{place}") for place in range(4)]
    for place, entry in enumerate(entries):
        await store.record(
            a_submission(entry, receipt=f"receipt-{place}", received_at=NOW + (place > 1))
        )
    await claim(store, limit=1)

    batch = await claim(store)

    assert isinstance(batch.deliveries, NewDeliveries)
    assert batch.deliveries.bodies == b",".join(entry.body for entry in entries[1:])
    assert [
        (delivery.conversion_id, delivery.body, delivery.received_at)
        for delivery in batch.deliveries
    ] == [
        ("order-1", entries[1].body, NOW),
        ("order-2", entries[2].body, NOW + 1),
        ("order-3", entries[3].body, NOW + 1),
    ]


async def test_settling_a_batch_removes_no_other_delivery_of_the_same_times(store, path):
    await record_all(store, "order-1", "order-2")
    await record_all(store, "order-3", "order-4", at=NOW + 1)
    await claim(store, limit=1)
    batch = await claim(store, limit=2)

    late = await deliver(store, batch)

    assert ids(batch) == ["order-2", "order-3"]
    assert (late, rows(path, "SELECT id FROM outbox")) == (0, [(1,), (4,)])


async def test_deliveries_of_several_requests_are_removed_by_their_ids(store, path):
    for number in range(4):
        event = ("o8z6k", "o8z6m")[number % 2]
        entry = an_entry(f"order-{number}", event=event)
        await store.record(a_submission(entry, receipt=f"r{number}", received_at=NOW + number))

    batch = await claim(store)
    await deliver(store, batch)

    assert ids(batch) == ["order-0", "order-2"]
    assert [id_ for (id_,) in rows(path, "SELECT id FROM outbox ORDER BY id")] == [2, 4]


async def test_later_recorded_delivery_with_an_earlier_time_is_claimed_first(store, path):
    await record_all(store, "order-1", "order-2")
    first = await claim(store, limit=1)

    await record(store, "order-0", receipt="r0", at=NOW - 1)

    assert ids(await claim(store, limit=1)) == ["order-0"]
    assert (await deliver(store, first), await shown(store, "order-1")) == (0, [State.DELIVERED])


async def test_retry_that_is_due_is_claimed_before_later_deliveries(store):
    for number in range(3):
        await record(store, f"order-{number}", receipt=f"r{number}", at=NOW + number)
    first = await claim(store, limit=1)
    await claim(store, limit=1)
    await settle(store, first, "errored", postponed(first, until=NOW + MINUTE))

    again = await claim(store, now=NOW + MINUTE, limit=5)

    assert ids(again) == ["order-0", "order-2"]


async def test_settlement_of_another_kind_leaves_other_leases_unmarked(store, path):
    for number in range(3):
        await record(store, f"order-{number}", receipt=f"r{number}")
    first = await claim(store, limit=1)
    await sweep(store, now=NOW)
    second = await claim(store, limit=1)

    await settle(store, first, "errored", postponed(first, until=NOW + MINUTE))

    assert (unmarked(path), states(path)) == ([second.lease], ["queued"] * 3)


async def test_sweep_marks_all_leases_and_their_batches_are_settled(store, path):
    await record_all(store, "order-1", "order-2")
    batch = await claim(store, limit=1)

    await sweep(store, now=NOW)

    assert (states(path), unmarked(path)) == (["sending", "queued"], [])
    assert (await deliver(store, batch), states(path)) == (0, ["queued"])


async def test_deliveries_being_sent_are_not_withdrawn(store):
    await record_all(store, "order-1")
    batch = await claim(store)

    move = TakeBack(
        deliveries=[batch.deliveries[0].id],
        cause=DeliveryCause.CONSENT_UNCLEAR,
        reason="no",
        hold=False,
    )
    moved = await store.move(move, now=NOW)

    assert (moved.moved, await shown(store, "order-1")) == (0, [State.SENDING])


async def test_replayed_delivery_is_claimed_before_later_deliveries(store):
    for number in range(3):
        await record(store, f"order-{number}", receipt=f"r{number}", at=NOW + number)
    dead = await claim(store, limit=1)
    hold = TakeBack(
        deliveries=[dead.deliveries[0].id],
        cause=DeliveryCause.CONSENT_UNCLEAR,
        reason="no",
        hold=True,
    )
    await settle(store, dead, "errored", postponed(dead, until=NOW))
    await store.move(hold, now=NOW)
    await claim(store, limit=1)

    await store.move(Replay(deliveries=hold.deliveries), now=NOW)

    assert ids(await claim(store, limit=5)) == ["order-0", "order-2"]


async def test_claim_and_settlement_succeed_after_a_failure_in_the_same_commit(store):
    await record_all(store, "order-1", "order-2", "order-3")
    first = await claim(store, limit=1)

    def fail(book):
        raise RuntimeError("a bug")

    failed, second, late = await asyncio.gather(
        store._database.write(fail),  # noqa: SLF001 - there is no public way to run a unit of work
        claim(store, limit=1),
        deliver(store, first),
        return_exceptions=True,
    )

    assert (str(failed), ids(second), late) == ("a bug", ["order-2"], 0)
    assert await deliver(store, second) == 0
    assert ids(await claim(store)) == ["order-3"]


async def test_claim_that_fails_leaves_the_earlier_batches_claimed(store, monkeypatch):
    await record_all(store, "order-1", "order-2", "order-3")
    original = outbox.claim

    def fail_at_the_third(book, wish, *, damaged):
        batch = original(book, wish, damaged=damaged)
        if batch is not None and ids(batch) == ["order-3"]:
            raise RuntimeError("a bug")
        return batch

    monkeypatch.setattr(outbox, "claim", fail_at_the_third)
    claiming = Claim(pixel=PIXEL, now=NOW, lease_until=NOW + MINUTE, limit=1, ambiguous_after=0)

    first = await store.claim_several(claiming, most=4)
    second = await store.claim_several(claiming, most=4)

    assert [ids(batch) for batch in (*first, *second)] == [["order-1"], ["order-2"]]
    with pytest.raises(RuntimeError):
        await store.claim_several(claiming, most=4)


async def test_deleted_delivery_is_reported_as_late(store, path):
    await record_all(store, "order-1", "order-2")
    batch = await claim(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DELETE FROM outbox WHERE id = 1")

    assert await deliver(store, batch) == 1
    assert states(path) == []


async def test_claimed_deliveries_are_ambiguous_after_a_kill(store, path, tmp_path):
    await record_all(store, "order-1", "order-2")
    await claim(store, limit=1, now=NOW + 7)
    killed = str(tmp_path / "killed.db")
    copy_killed(path, killed)

    after = await SQLiteStore.open(killed)
    # It may have crashed the sender, so it is sent alone.
    batches = [await claim(after, limit=5) for _ in range(2)]
    await after.close()

    deliveries = [delivery for batch in batches for delivery in batch.deliveries]
    assert [(delivery.conversion_id, delivery.ambiguous_since) for delivery in deliveries] == [
        ("order-1", NOW + 7),
        ("order-2", None),
    ]


async def test_delivery_being_sent_is_held_after_a_recovery(store, path, tmp_path):
    await record_all(store, "order-1", "order-2")
    await claim(store, limit=1)
    killed = str(tmp_path / "killed.db")
    copy_killed(path, killed)

    recover(killed, None)

    assert states(killed) == ["held", "queued"]


@pytest.mark.parametrize("listed", ["[1;2]", "[1]", "[1,7]", "[]"])
async def test_damaged_list_of_leases_holds_all_queued_deliveries(store, path, tmp_path, listed):
    await record_all(store, "order-1", "order-2", "order-3")
    await claim(store, limit=2)
    killed = str(tmp_path / "killed.db")
    copy_killed(path, killed)
    with closing(sqlite3.connect(killed, isolation_level=None)) as other:
        other.execute("UPDATE lease SET deliveries = ?", (listed,))

    with pytest.raises(StoreUnusable, match="lease"):
        await SQLiteStore.open(killed)
    recover(killed, None)

    assert states(killed) == ["held", "held", "held"]


async def test_copied_store_has_the_state_and_the_lease(store, path, tmp_path):
    await record_all(store, "order-1", "order-2")
    batch = await claim(store, limit=1)
    killed = str(tmp_path / "killed.db")
    copy_killed(path, killed)
    source = SQLiteCopySource.open(killed)
    (outbox,) = [table for table in source.tables if table.name == "outbox"]
    columns = [outbox.columns.index(name) for name in ("id", "state", "lease")]

    found = [tuple(row[place] for place in columns) async for piece in source.rows(outbox)
             for row in piece]  # fmt: skip
    await source.close()

    assert found == [(1, "sending", batch.lease), (2, "queued", None)]
