# ruff: noqa: ASYNC240 - what lies in files is what is tested, and nothing else waits
"""Older copies of a store are recognised; backups, and what is saved of a damaged one."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from twite.domain.delivery import (
    OLDER_COPY,
    RECOVERED,
    UNKNOWN_COPY,
    Attempt,
    Fate,
    Settlement,
    State,
    Trigger,
)
from twite.domain.errors import StoreInUse, StoreUnusable
from twite.gateway.ports import Claim
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.backup import backup
from twite.stores.sqlite.mark import read_mark
from twite.stores.sqlite.recover import recover
from twite.testing.builders import NOW, a_submission, an_entry

CLAIM = Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 60_000, limit=2, ambiguous_after=0)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


async def record(store, *names):
    for name in names:
        await store.record(a_submission(an_entry(name), receipt=f"r-{name}"))


async def deliver(store, limit=2):
    batch = await store.claim(CLAIM)
    ids = tuple(one.id for one in batch.deliveries)
    attempt = Attempt(
        at=NOW, pixel="o8z6j", event="o8z6k", outcome="delivered", deliveries=ids, status=200
    )
    fates = (Fate(trigger=Trigger.DELIVERED, deliveries=ids),)
    await store.settle(Settlement(lease=batch.lease, attempt=attempt, fates=fates, lease_until=NOW))


async def states(store, *names):
    lives = [
        life
        for name in names
        for life in await store.life(pixel="o8z6j", events=["o8z6k"], conversion_id=name)
    ]
    return {life.conversion_id: (life.state, life.reason) for life in lives}


async def test_of_an_older_copy_all_that_is_pending_is_held(path, tmp_path):
    store = await SQLiteStore.open(path)
    await record(store, "a", "b", "c", "d")
    await deliver(store)
    backup(path, str(tmp_path / "copy.db"))
    await deliver(store)
    await record(store, "e")
    await store.close()
    shutil.copyfile(tmp_path / "copy.db", path)

    store = await SQLiteStore.open(path)

    found = await states(store, "a", "c", "d", "e")
    await store.close()
    assert found == {
        "a": (State.DELIVERED, None),
        "c": (State.HELD, OLDER_COPY),
        "d": (State.HELD, OLDER_COPY),
    }
    older = "the database is an older copy of itself, by 2 requests to X or more"
    assert store.told == (
        f"{older}: 2 pending deliveries are held",
        "1 conversions that were received after what the database holds are not in it",
    )


async def test_a_copy_that_nothing_was_sent_after_is_gone_on_with(path, tmp_path):
    store = await SQLiteStore.open(path)
    await record(store, "a")
    backup(path, str(tmp_path / "copy.db"))
    await record(store, "b")
    await store.close()
    shutil.copyfile(tmp_path / "copy.db", path)

    store = await SQLiteStore.open(path)

    found = await states(store, "a")
    await store.close()
    assert found == {"a": (State.QUEUED, None)}
    assert store.told == (
        "1 conversions that were received after what the database holds are not in it",
    )


@pytest.mark.parametrize("mark", ["gone", "nonsense", "another's"])
async def test_without_its_mark_a_store_may_be_an_older_copy(path, tmp_path, mark):
    store = await SQLiteStore.open(path)
    await record(store, "a")
    await store.close()
    other = await SQLiteStore.open(str(tmp_path / "other.db"))
    await other.close()
    file = Path(f"{path}.epoch")
    if mark == "gone":
        file.unlink()
    elif mark == "nonsense":
        file.write_text("what is this")
    else:
        shutil.copyfile(tmp_path / "other.db.epoch", file)

    store = await SQLiteStore.open(path)

    found = await states(store, "a")
    await store.close()
    assert found == {"a": (State.HELD, UNKNOWN_COPY)}


async def test_what_was_held_once_is_not_doubted_again(path):
    store = await SQLiteStore.open(path)
    await record(store, "a")
    await store.close()
    Path(f"{path}.epoch").unlink()
    store = await SQLiteStore.open(path)
    [held] = await store.resting(pixel=None, limit=9)
    await store.replay([held.delivery], now=NOW)
    await store.close()

    store = await SQLiteStore.open(path)

    found = await states(store, "a")
    await store.close()
    assert (found, store.told) == ({"a": (State.QUEUED, None)}, ())


async def test_a_killed_owner_leaves_no_doubt(path, tmp_path):
    store = await SQLiteStore.open(path)
    await record(store, "a", "b", "c")
    await deliver(store)
    there = tmp_path / "there"
    there.mkdir()
    for suffix in ("", "-wal", ".epoch"):
        shutil.copyfile(f"{path}{suffix}", f"{there}/twite.db{suffix}")
    await store.close()

    store = await SQLiteStore.open(f"{there}/twite.db")

    found = await states(store, "c")
    await store.close()
    assert (found, store.told) == ({"c": (State.QUEUED, None)}, ())


async def test_an_epoch_is_never_given_twice(path, tmp_path):
    store = await SQLiteStore.open(path)
    backup(path, str(tmp_path / "copy.db"))
    await store.close()
    for _ in range(3):
        store = await SQLiteStore.open(path)
        await store.close()
    shutil.copyfile(tmp_path / "copy.db", path)

    again = await SQLiteStore.open(path)

    await again.close()
    assert again.epoch == store.epoch + 1


async def test_a_backup_is_whole_and_for_its_owner_only(path, tmp_path):
    store = await SQLiteStore.open(path)
    await record(store, *map(str, range(50)))

    done = backup(path, str(tmp_path / "copy.db"))

    await store.close()
    with closing(sqlite3.connect(done.to)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM conversion").fetchone() == (50,)
    assert Path(done.to).stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.glob("copy.db*")) == [tmp_path / "copy.db"]


async def test_a_backup_overwrites_nothing_and_leaves_nothing_behind(path, tmp_path):
    store = await SQLiteStore.open(path)
    await store.close()
    there = tmp_path / "there.db"
    there.write_text("something else")

    with pytest.raises(StoreUnusable, match="is there already"):
        backup(path, str(there))
    with pytest.raises(StoreUnusable, match="folder"):
        backup(path, str(tmp_path / "none" / "copy.db"))

    assert there.read_text() == "something else"
    assert list(tmp_path.glob("*.part")) == []


async def test_what_is_recovered_balances_and_is_in_the_place_of_the_old(path):
    store = await SQLiteStore.open(path)
    await record(store, *map(str, range(300)))
    for _ in range(50):
        await deliver(store)
    await store.claim(CLAIM)
    await store.close()
    content = bytearray(Path(path).read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    Path(path).write_bytes(content)

    done = recover(path, None)

    store = await SQLiteStore.open(path)
    accounts = await store.accounts()
    await store.close()
    assert (store.told, [account.balance for account in accounts]) == ((), [0])
    assert done.rows["conversion"] >= 250
    assert done.held >= 2
    assert Path(done.quarantined).is_file()


async def test_an_older_copy_is_no_younger_for_being_recovered(path, tmp_path):
    store = await SQLiteStore.open(path)
    await record(store, "a", "b", "c", "d")
    backup(path, str(tmp_path / "copy.db"))
    await deliver(store)
    await store.close()
    shutil.copyfile(tmp_path / "copy.db", path)

    recover(path, None)

    store = await SQLiteStore.open(path)
    found = await states(store, "a", "b", "c", "d")
    await store.close()
    assert set(found.values()) == {(State.HELD, RECOVERED)}


async def test_a_store_in_use_is_not_recovered(path):
    store = await SQLiteStore.open(path)

    with pytest.raises(StoreInUse):
        recover(path, None)

    await store.close()


async def test_a_mark_counts_what_was_sent_and_received(path):
    store = await SQLiteStore.open(path)
    before = read_mark(path)
    await record(store, "a", "b")
    await deliver(store)

    after = read_mark(path)

    await store.close()
    assert (after.turn - before.turn, after.conversions) == (2, 2)
    assert Path(f"{path}.epoch").stat().st_mode & 0o777 == 0o600
