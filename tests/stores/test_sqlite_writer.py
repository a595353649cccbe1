"""The writer of an SQLite store: groups, limits of its queue, failures."""

import asyncio
import os
import subprocess
import sys

import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from store_contract.actions import claim, delivered, settle
from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.history import total
from twite.domain.stats.match_keys import Flaw
from twite.domain.stats.tally import Counting
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.submission import FlawedIdentifier, Recorded
from twite.gateway.ports.outbox import Discard, EditBodies, EditedBody, MoveResult, Replay
from twite.gateway.ports.queries import AtRest
from twite.gateway.ports.store import StoreOptions
from twite.stores.sql.moves import SLICE
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.owner_session import OwnerSession


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(
        str(tmp_path / "twite.db"), StoreOptions(queue_limit=10), fresh_keys=2
    )
    yield store
    await store.close()


def submission(number, *, entries=1, **changes):
    return a_submission(
        *(
            msgspec.structs.replace(an_entry(f"order-{number}-{index}", index=index), **changes)
            for index in range(entries)
        ),
        receipt=f"r{number}",
    )


@pytest.mark.parametrize("do", ["replay", "discard", "amend"])
async def test_submission_does_not_wait_for_a_whole_group(store, do):
    many = 4 * SLICE
    held = [an_entry(f"held-{number}", index=number, held="why") for number in range(many)]
    for at in range(0, many, 10):
        await store.record(a_submission(*held[at : at + 10], receipt=f"held-{at}"))
    ids = [history.delivery for history in await store.find(AtRest(pixel=None, limit=many))]
    amendments = [EditedBody(delivery=id_, event="o8z6k", body=b"{}") for id_ in ids]
    asked = {
        "replay": lambda: store.move(Replay(deliveries=ids), now=NOW),
        "discard": lambda: store.move(Discard(deliveries=ids, note="no"), now=NOW),
        "amend": lambda: store.move(EditBodies(edited=amendments, note="no"), now=NOW),
    }
    decided = asyncio.create_task(asked[do]())
    await asyncio.sleep(0)

    await store.record(submission(1))

    assert not decided.done()
    assert await decided == MoveResult(moved=many)


async def test_invalid_submission_fails_alone(store):
    # A lone surrogate has no bytes: it cannot be passed to SQLite.
    bad = submission(1, conversion_id="\ud800")

    answers = await asyncio.gather(
        *map(store.record, (submission(0), bad, submission(2))), return_exceptions=True
    )

    assert answers[0] == answers[2] == Recorded()
    assert isinstance(answers[1], UnicodeEncodeError)
    assert total(await store.balance()).received == 2


async def recorded(store, submissions):
    """Record a group by callback; return the results."""
    future = asyncio.get_running_loop().create_future()
    store.record_soon(submissions, future.set_result)
    return list(await future)


async def test_queue_refuses_only_submissions_of_a_group_that_do_not_fit(store):
    sizes = (6, 5, 4, 1)

    answers = await recorded(
        store, [submission(number, entries=size) for number, size in enumerate(sizes)]
    )

    assert answers[0] == answers[2] == Recorded()
    assert [type(answers[place]) for place in (1, 3)] == [QueueFull, QueueFull]
    assert total(await store.balance()).received == 10
    assert await recorded(store, [submission(9)]) == [Recorded()]


async def test_failed_submission_takes_no_keys(store):
    good = submission(1)
    bad = a_submission(
        good.entries[0],
        msgspec.structs.replace(an_entry("order-9", index=1), conversion_id="\ud800"),
        receipt="r9",
    )
    with pytest.raises(UnicodeEncodeError):
        await store.record(bad)

    recorded = await store.record(good)

    assert recorded == Recorded()


async def test_receipt_is_unique(store):
    await store.record(submission(1))

    with pytest.raises(LedgerUnavailable, match="receipt"):
        await store.record(a_submission(an_entry("order-2"), receipt="r1"))

    assert total(await store.balance()).received == 1


async def test_full_queue_refuses_submissions_at_once(store):
    answers = await asyncio.gather(
        *(store.record(submission(number, entries=5)) for number in range(4)),
        return_exceptions=True,
    )

    assert answers[:2] == [Recorded(), Recorded()]
    assert [type(answer) for answer in answers[2:]] == [QueueFull, QueueFull]
    assert answers[2].retry_after == 1


async def test_refused_submission_is_accepted_when_the_queue_has_room(store):
    await asyncio.gather(
        *(store.record(submission(number, entries=5)) for number in range(4)),
        return_exceptions=True,
    )

    assert await store.record(submission(3, entries=5)) == Recorded()
    assert total(await store.balance()).received == 15


async def test_number_of_queued_bytes_is_limited(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "bytes.db"), queue_bytes=1_000)

    answers = await asyncio.gather(
        *(store.record(submission(number, body=b"x" * 600)) for number in range(2)),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [Recorded, QueueFull]
    await store.close()


async def test_submission_over_the_limit_is_accepted_by_an_empty_queue(store):
    assert await store.record(submission(1, entries=50)) == Recorded()


async def test_cancelled_caller_does_not_affect_the_others(store):
    gone = asyncio.create_task(store.record(submission(1)))
    await asyncio.sleep(0)
    gone.cancel()

    assert await store.record(submission(2)) == Recorded()
    assert total(await store.balance()).received == 2


async def test_close_waits_for_queued_submissions(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "close.db"))
    waiting = [asyncio.create_task(store.record(submission(number))) for number in range(20)]
    await asyncio.sleep(0)

    await store.close()

    assert await asyncio.gather(*waiting) == [Recorded()] * 20


async def test_closed_store_refuses_submissions(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "close.db"))
    await store.close()

    with pytest.raises(LedgerUnavailable, match="closing"):
        await store.record(submission(1))


DISK_FULL = """
import asyncio, resource, sys
from twite.domain.history import total
from twite.domain.errors import LedgerUnavailable
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import ByReceipt
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.checkpoints import Checkpoints
from builders import NOW, a_submission, an_entry

# A checkpoint empties the log: there would be room again.
Checkpoints._move = lambda *_: None
CLAIM = Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 9_000, limit=1, ambiguous_after=0)

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def submission(number):
    entries = [an_entry(f"order-{number}-{index}", index=index) for index in range(50)]
    return a_submission(*entries, receipt=f"r{number}")

async def main():
    store = await SQLiteStore.open(sys.argv[1])
    await store.record(submission(0))
    before = await store.claim(CLAIM)
    limit(400_000)
    taken = [0]
    number = 0
    while True:
        number += 1
        try:
            await store.record(submission(number))
        except LedgerUnavailable as refused:
            assert refused.retry_after > 0
            break
        taken.append(number)
        assert number < 1_000
    refused = await asyncio.gather(
        *(store.record(submission(number + more)) for more in range(3)), return_exceptions=True
    )
    assert [type(each) for each in refused] == [LedgerUnavailable] * 3, refused
    full = total(await store.balance())
    assert (full.received, full.balance) == (50 * len(taken), 0), full
    assert not await store.find(ByReceipt(receipt=f"r{number}"))
    limit(resource.RLIM_INFINITY)
    await store.record(submission(number))
    after = await store.claim(CLAIM)
    assert after.lease > before.lease
    await store.close()
    store = await SQLiteStore.open(sys.argv[1])
    again = await store.record(a_submission(*submission(number).entries, receipt="again"))
    assert len(again.duplicates) == 50
    whole = total(await store.balance())
    assert (whole.pending, whole.balance) == (50 * len(taken) + 50, 0), whole
    await store.close()
    print("recovered")

asyncio.run(main())
"""


def test_full_disk_refuses_submissions_until_there_is_space(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DISK_FULL, str(tmp_path / "full.db")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.stdout, done.stderr) == ("recovered\n", "")


async def test_only_committed_counts_are_reported(tmp_path):
    reported = []
    store = await SQLiteStore.open(
        str(tmp_path / "twite.db"), StoreOptions(counted=reported.extend)
    )
    flaw = FlawedIdentifier(
        index=0, pixel="o8z6j", event="o8z6k", flaw=Flaw(code="phone_unusable", path="phone")
    )
    flag = ValueFlag(kind="minor_units", value="4990.00", currency="EUR", usual="49.90 EUR")
    good = msgspec.structs.replace(submission(1, entries=2, key_set=5, flag=flag), flaws=(flaw,))
    bad = msgspec.structs.replace(
        submission(2, key_set=5, conversion_id="\ud800"), flaws=(flaw,), receipt="r-bad"
    )

    await asyncio.gather(*map(store.record, (good, bad, good)), return_exceptions=True)
    await store.close()

    assert {
        (notice.source, notice.pixel, notice.counting, notice.word, notice.times)
        for notice in reported
    } == {
        ("shop", "o8z6j", Counting.KIT, "5", 2),
        ("shop", "o8z6j", Counting.FLAW, "phone_unusable", 1),
        ("shop", "o8z6j", Counting.FLAGGED, "minor_units", 2),
    }


async def test_one_statement_counts_the_conversions_of_several_accounts(store, monkeypatch):
    executed = []
    committed = OwnerSession.committed

    def traced(session):
        session.connection.set_trace_callback(executed.append)
        committed(session)

    monkeypatch.setattr(OwnerSession, "committed", traced)
    await store.record(a_submission(an_entry("order-1"), receipt="r1"))
    executed.clear()

    sources = ("shop", "gym", "bar")
    await asyncio.gather(
        *(
            store.record(a_submission(an_entry(f"of-{source}"), receipt=source, source=source))
            for source in sources
        )
    )
    batch = await claim(store)
    await settle(store, batch, "delivered", delivered(batch))

    counting = [text for text in executed if text.startswith("UPDATE account")]
    assert len(batch.deliveries) == 4
    assert len(counting) == 2
    assert {(a.source, a.received, a.delivered) for a in await store.balance()} == {
        ("shop", 2, 2), ("gym", 1, 1), ("bar", 1, 1),
    }  # fmt: skip
