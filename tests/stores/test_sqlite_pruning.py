"""Old rows are pruned in slices when they are due; unsettled rows stay."""

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from random import Random
from types import SimpleNamespace

import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import Attempt, Settlement, State, Transition, Trigger
from twite.domain.history import total
from twite.domain.submission import (
    KEPT_FOR,
    Ignored,
    Recorded,
    RejectedConversion,
    RejectionQuery,
)
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.outbox import Claim, Discard, Replay
from twite.gateway.ports.queries import AtRest, ByConversionId, IgnoredQuery, RejectionsQuery
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.sql.statements import query
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.connection import connect_writer
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of
from twite.stores.sqlite.engine.upkeep import Pruner

KEEPING = Retention(bodies=72 * HOUR, history=30 * DAY, dead=20 * DAY)

DENIED = DeliveryCause.CONSENT_DENIED


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


@pytest.fixture
async def store(path):
    store = await SQLiteStore.open(path, fresh_keys=4)
    yield store
    await store.close()


async def record(store, name, *, at=NOW, suppressed=None, cause=None, called=None):
    entry = an_entry(name, suppressed=suppressed, cause=cause, called=called)
    return await store.record(a_submission(entry, receipt=f"r-{name}-{at}", received_at=at))


async def settle(store, trigger=Trigger.DELIVERED, *, at=NOW, limit=500):
    batch = await store.claim(
        Claim(pixel="o8z6j", now=at, lease_until=at + HOUR, limit=limit, ambiguous_after=0)
    )
    if batch is None:
        return
    ids = tuple(delivery.id for delivery in batch.deliveries)
    attempt = Attempt(at=at, pixel="o8z6j", event="o8z6k", outcome="x", deliveries=ids, status=200)
    transitions = (Transition(trigger=trigger, deliveries=ids, reason="because"),)
    await store.settle(
        Settlement(lease=batch.lease, attempt=attempt, transitions=transitions, lease_until=at)
    )


def prune(path, *, now, keeping=KEEPING, most=3):
    """Prune everything, as the owner does between commits; return the rows of each slice."""
    connection = connect_writer(path)
    book = OwnerSession(connection, window=7 * DAY, leases=leases_of(99), fresh_keys=4)
    pruner = Pruner(keeping)
    done = []
    while not done or done[-1]:
        connection.execute("BEGIN IMMEDIATE")
        done.append(pruner.slice(book, now=now, most=most))
        connection.execute("COMMIT")
        book.committed()
    connection.close()
    return done


async def history_of(store, name):
    found = await store.find(ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id=name))
    return found[0] if found else None


def rows(path):
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - own tables
            for table in ("submission", "conversion", "attempted", "dedup", "recent_key",
                          "fresh_key",
                          "suppression", "straggler", "called")
        }  # fmt: skip


async def test_old_body_is_pruned_and_its_history_stays(path, store):
    await record(store, "old")
    await settle(store)
    await record(store, "new", at=NOW + 71 * HOUR)

    prune(path, now=NOW + 73 * HOUR)

    old, new = await history_of(store, "old"), await history_of(store, "new")
    assert (old.state, old.sent, len(old.attempts)) == (State.DELIVERED, b"", 1)
    assert new.sent == an_entry("new").body


async def test_unsettled_conversion_keeps_its_body(path, store):
    await record(store, "slow")
    await record(store, "new", at=NOW + 9 * DAY)
    prune(path, now=NOW + 5 * DAY)
    kept = await history_of(store, "slow")
    await settle(store, at=NOW + 6 * DAY)

    prune(path, now=NOW + 8 * DAY)
    soon_after = await history_of(store, "slow")
    prune(path, now=NOW + 10 * DAY)

    later = await history_of(store, "slow")
    assert (kept.sent, soon_after.sent) == (an_entry("slow").body, an_entry("slow").body)
    assert (later.state, later.sent) == (State.DELIVERED, b"")


async def test_pruning_keeps_recent_and_pending_keys(path, store):
    await record(store, "old")
    await settle(store)
    await record(store, "waits")
    young = [f"young-{number}" for number in range(600)]
    for number, name in enumerate(young):
        await record(store, name, at=NOW + 29 * DAY + number)

    prune(path, now=NOW + 31 * DAY)

    later = NOW + 31 * DAY
    again = [await record(store, name, at=later) for name in (*young, "waits")]
    assert {batch.duplicates for batch in again} == {(0,)}
    assert (await record(store, "old", at=later)).duplicates == ()


async def test_pruning_removes_all_rows_of_a_duplicate(path, store):
    await record(store, "order-1")
    await record(store, "order-1", suppressed="gpc", cause=DENIED, at=NOW + 1)
    await record(store, "new", at=NOW + 29 * DAY)

    prune(path, now=NOW + 31 * DAY)

    with closing(sqlite3.connect(path)) as connection:
        left = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - ours
            for table in ("replaced", "suppression", "denied")
        ]
    assert left == [(0,), (0,), (0,)]


async def test_pruning_removes_all_rows_of_a_history(path, store):
    for number in range(20):
        await record(store, f"old-{number}")
        await record(store, f"old-{number}", at=NOW + 1)
    await record(store, "no", suppressed="no consent")
    await record(store, "purchase/B1", called="B1")
    await settle(store)
    before = total(await store.balance())
    await record(store, "new", at=NOW + 29 * DAY)
    await record(store, "last", at=NOW + 29 * DAY)

    prune(path, now=NOW + 31 * DAY)

    left = rows(path)
    after = total(await store.balance())
    assert await history_of(store, "old-1") is None
    assert (left["conversion"], left["attempted"], left["suppression"]) == (2, 0, 0)
    assert left["called"] == 0
    assert left["dedup"] + left["recent_key"] + left["fresh_key"] <= 2 + 4
    assert (after.delivered, after.duplicate) == (before.delivered, before.duplicate)
    assert after.balance == 0


async def test_keys_are_searched_only_once_a_conversion_was_pruned(path, store):
    for number in range(20):
        await record(store, f"old-{number}")
    await settle(store)
    await record(store, "last", at=NOW + DAY)

    def walked_at():
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT rested_at FROM pruning").fetchone()[0]

    prune(path, now=NOW + 29 * DAY)
    before = walked_at()
    prune(path, now=NOW + 31 * DAY)

    assert (before, walked_at()) == (0, NOW + 31 * DAY)


async def test_ids_continue_after_everything_is_pruned(path, store):
    await record(store, "old")
    await settle(store)
    prune(path, now=NOW + 400 * DAY)

    await store.close()
    again = await SQLiteStore.open(path)
    recorded = await record(again, "new", at=NOW + 400 * DAY)
    history = await history_of(again, "new")
    await again.close()

    assert (recorded, history.delivery) == (Recorded(), 2)


async def test_repeated_conversion_is_new_after_its_history_is_pruned(path, store):
    for name in ("a", "b", "c"):
        await record(store, name)
    await settle(store)
    await record(store, "last", at=NOW + 40 * DAY)
    prune(path, now=NOW + 40 * DAY)

    assert await record(store, "a", at=NOW + 40 * DAY) == Recorded()


async def test_dead_letter_without_a_decision_is_suppressed_after_the_retention(path, store):
    await record(store, "bad")
    await settle(store, Trigger.GIVEN_UP)
    await record(store, "new", at=NOW + 21 * DAY)
    prune(path, now=NOW + 19 * DAY)
    resting = await history_of(store, "bad")

    prune(path, now=NOW + 21 * DAY)

    gone = await history_of(store, "bad")
    account = total(await store.balance())
    assert (resting.state, gone.state) == (State.DEAD, State.SUPPRESSED)
    assert gone.reason == "nobody decided about it within 480 hours"
    assert (account.suppressed, account.dead, account.balance) == (1, 0, 0)


async def test_counts_of_ignored_events_are_kept_as_long_as_histories(path, store):
    for at in (NOW, NOW + 2 * DAY):
        ignored = (Ignored(name="scroll", reason="not_configured"),)
        submission = a_submission(receipt=f"r{at}", received_at=at)
        await store.record(msgspec.structs.replace(submission, ignored=ignored))

    prune(path, now=NOW + 31 * DAY)

    assert [tally.day for tally in await store.answer(IgnoredQuery(since=0))] == [
        (NOW + 2 * DAY) // DAY
    ]


async def test_pruning_slices_are_small(path, store):
    for number in range(50):
        await record(store, f"old-{number}")
    await settle(store)

    done = prune(path, now=NOW + 4 * DAY, most=8)

    assert max(done) <= 8
    assert sum(done) >= 49


async def test_submission_dated_in_the_future_does_not_stop_pruning(path, store):
    await record(store, "future", at=NOW + 10_000 * DAY)
    await record(store, "old")
    await settle(store)
    await record(store, "last")

    prune(path, now=NOW + 4 * DAY)

    assert (await history_of(store, "old")).sent == b""


async def test_pruned_body_is_in_no_file(path):
    store = await SQLiteStore.open(path)
    wall = time.time_ns() // 1_000_000
    for number in range(300):
        await record(store, f"old-{number}", at=wall - 4 * DAY)
    await settle(store, at=wall - 4 * DAY)
    await record(store, "last", at=wall)
    marker = b"23opevjt88psuo13lu8d020qkn"

    def copies():
        files = (Path(path), Path(f"{path}-wal"))
        return sum(file.read_bytes().count(marker) for file in files)

    before = copies()
    await store.close()
    store = await SQLiteStore.open(path, StoreOptions(retention=KEEPING))
    for _ in range(200):
        if copies() <= 2:
            break
        await asyncio.sleep(0.05)
    after = copies()
    await store.close()

    # The last submission is not old, so its conversion remains, as received and as sent.
    assert before >= 300
    assert after <= 2


async def deliver_and_close(path, *names, at):
    store = await SQLiteStore.open(path)
    for name in names:
        await record(store, name, at=at)
    await settle(store, at=at)
    await store.close()


@pytest.mark.parametrize("many", [2, 300])
async def test_conversions_dated_in_the_future_are_pruned_with_later_ones(path, store, many):
    for number in range(many):
        await record(store, f"future-{number}", at=NOW + 400 * DAY)
    await record(store, "next", at=NOW)
    await record(store, "last", at=NOW + 40 * DAY)
    await settle(store)

    prune(path, now=NOW + DAY, most=500)
    kept = await history_of(store, "future-1")
    prune(path, now=NOW + 31 * DAY, most=500)

    assert kept.sent != b""
    assert await history_of(store, "future-1") is None
    assert await history_of(store, "next") is None


async def test_pruning_error_is_reported_and_pruning_continues(path):
    await deliver_and_close(path, "one", "last", at=NOW)
    with closing(sqlite3.connect(path)) as connection:
        # Add a row that the pruner cannot read.
        connection.execute("UPDATE pruning SET rested_at = 'never'")
        connection.commit()
    seen = []
    watching = SimpleNamespace(see=seen.append)

    later = NOW + 4 * DAY
    store = await SQLiteStore.open(
        path, StoreOptions(retention=KEEPING, now=lambda: later, observer=watching)
    )
    await until(lambda: seen)
    await store.close()

    assert {(notice.where, notice.reason) for notice in seen} == {("pruning", "TypeError")}


async def until(holds):
    async with asyncio.timeout(120):
        while not holds():  # noqa: ASYNC110  # the pruner has no completion event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(12 if os.environ.get("TWITE_TRIAL") else 4))
async def test_conversion_decided_late_keeps_its_submission(path, store, seed):
    random = Random(seed)
    keeping = Retention(bodies=3 * DAY, history=14 * DAY, dead=90 * DAY)
    late = 0
    for day in range(60):
        at = NOW + day * DAY
        names = [f"{day}-{n}" for n in range(random.randint(1, 4))]
        entries = [an_entry(name, index=index) for index, name in enumerate(names)]
        await store.record(a_submission(*entries, receipt=f"r-{day}", received_at=at))
        trigger = random.choice([Trigger.DELIVERED, Trigger.GIVEN_UP])
        await settle(store, trigger, at=at, limit=2)
        found = await store.find(AtRest(pixel="o8z6j", limit=99))
        resting = [history.delivery for history in found]
        for delivery in random.sample(resting, len(resting) // 4):
            late += 1
            if random.random() < 0.5:
                await store.move(Replay(deliveries=[delivery]), now=at)
            else:
                await store.move(Discard(deliveries=[delivery], note="no"), now=at)
        prune(path, now=at + HOUR, keeping=keeping)

    left = total(await store.balance())
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        adrift = connection.execute(query("find_orphans")).fetchall()
    again = await SQLiteStore.open(path)
    await again.close()

    assert (adrift, left.balance, late > 20) == ([], 0, True)


async def test_rejected_conversions_are_kept_for_seven_days(path, store):
    for number, at in enumerate((NOW, NOW + DAY, NOW + 2 * DAY)):
        refusal = RejectedConversion(index=0, pixel="o8z6j", errors=(), conversion_id=f"o{number}")
        submission = a_submission(receipt=f"r-{number}", received_at=at)
        await store.record(msgspec.structs.replace(submission, refusals=(refusal,)))

    prune(path, now=NOW + DAY + KEPT_FOR + 1)

    left = await store.answer(RejectionsQuery(rejection_query=RejectionQuery()))
    assert [rejection.conversion_id for rejection in left] == ["o2"]
    assert total(await store.balance()).rejected == 3
