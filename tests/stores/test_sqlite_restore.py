# ruff: noqa: ASYNC240 - the test is about files, and nothing else waits
"""A restored backup has no files of another database beside it, and the log of another store is
detected.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from builders import NOW, a_submission, an_entry
from killed_files import copy_killed
from twite.domain.delivery import OLDER_COPY, Attempt, Settlement, State, Transition, Trigger
from twite.domain.errors import StoreInUse, StoreUnusable
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import AtRest
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.checkpoints import read_mark, write_mark
from twite.stores.sqlite.engine.log_file import stray_log
from twite.stores.sqlite.recovery.backup import backup, restore

ALL = Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 60_000, limit=500, ambiguous_after=0)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


@pytest.fixture
def copy(tmp_path):
    return str(tmp_path / "copy.db")


async def record(store, *names):
    for name in names:
        await store.record(a_submission(an_entry(name), receipt=f"r-{name}"))


async def deliver(store):
    """Make X accept everything pending; return the ids."""
    batch = await store.claim(ALL)
    if batch is None:
        return []
    ids = tuple(delivery.id for delivery in batch.deliveries)
    attempt = Attempt(
        at=NOW, pixel="o8z6j", event="o8z6k", outcome="delivered", deliveries=ids, status=200
    )
    transitions = (Transition(trigger=Trigger.DELIVERED, deliveries=ids),)
    await store.settle(
        Settlement(lease=batch.lease, attempt=attempt, transitions=transitions, lease_until=NOW)
    )
    return [delivery.conversion_id for delivery in batch.deliveries]


async def killed(path, copy, make_copy):
    """Leave the files of a killed owner that sent everything after the copy.

    Sent deliveries are in the database; the latest ones are only in the log. Return the conversions
    at X.
    """
    made = str(Path(path).with_name("made.db"))
    store = await SQLiteStore.open(made)
    await record(store, *(f"before-{at}" for at in range(50)))
    await store.close()
    make_copy(made, copy)
    store = await SQLiteStore.open(made)
    sent = await deliver(store)
    await store.close()
    store = await SQLiteStore.open(made)
    await record(store, "after-1", "after-2")
    copy_killed(made, path)
    await store.close()
    return sent


@pytest.mark.parametrize("make_copy", [backup, shutil.copyfile], ids=["backup", "cp"])
async def test_older_copy_beside_a_newer_log_sends_nothing_twice(path, copy, make_copy):
    sent = await killed(path, copy, make_copy)
    log = Path(f"{path}-wal").read_bytes()
    shutil.copyfile(copy, path)

    before = stray_log(path)
    store = await SQLiteStore.open(path)
    again = await deliver(store)
    held = await store.find(AtRest(pixel=None, limit=99))
    await store.close()

    assert (len(sent), again, len(held)) == (50, [], 50)
    [aside] = Path(path).parent.glob("twite.db.stray-*-wal")
    assert {(history.state, history.reason) for history in held} == {(State.HELD, OLDER_COPY)}
    assert store.notices[0].startswith(before)
    assert aside.name in store.notices[0]
    assert aside.read_bytes() == log
    assert "2 conversions received after" in store.notices[-1]


async def test_next_start_after_a_restore_reports_nothing(path, copy):
    await killed(path, copy, shutil.copyfile)
    shutil.copyfile(copy, path)
    store = await SQLiteStore.open(path)
    await record(store, "new")
    copy_killed(path, f"{path}.there")
    await store.close()

    store = await SQLiteStore.open(f"{path}.there")

    sent = await deliver(store)
    await store.close()
    assert (sent, store.notices) == (["new"], ())


async def test_log_of_a_killed_owner_is_recognized_as_its_own(path, copy):
    await killed(path, copy, backup)

    assert read_mark(path).moved > 0
    assert stray_log(path) is None
    store = await SQLiteStore.open(path)
    sent = await deliver(store)
    await store.close()

    assert (sent, store.notices) == (["after-1", "after-2"], ())


async def stopped(path, *names):
    """Make a properly closed store in which the named conversions are pending."""
    store = await SQLiteStore.open(path)
    await record(store, *names)
    await store.close()
    Path(f"{path}.epoch").unlink()


@pytest.mark.parametrize("with_mark", [True, False])
async def test_log_of_a_different_store_is_set_aside(path, copy, tmp_path, with_mark):
    await killed(path, copy, backup)
    log = Path(f"{path}-wal").read_bytes()
    other = str(tmp_path / "other.db")
    await stopped(other, *(f"other-{at}" for at in range(60)))
    shutil.copyfile(other, path)
    if not with_mark:
        Path(f"{path}.epoch").unlink()

    before = stray_log(path)
    store = await SQLiteStore.open(path)
    held = await store.find(AtRest(pixel=None, limit=99))
    sent = await deliver(store)
    await store.close()

    [aside] = tmp_path.glob("twite.db.stray-*-wal")
    assert aside.read_bytes() == log
    assert "belongs to a different store" in before
    assert store.notices[0].startswith(before)
    assert (sent, len(held)) == ([], 60)


async def test_log_of_an_older_copy_is_set_aside(path, copy, tmp_path):
    """A store was used elsewhere and then moved back next to its old log."""
    await killed(path, copy, backup)
    there = str(tmp_path / "there.db")
    for suffix in ("", "-wal", ".epoch"):
        shutil.copyfile(f"{path}{suffix}", f"{there}{suffix}")
    store = await SQLiteStore.open(there)
    sent = await deliver(store)
    await record(store, "new-1", "new-2")
    await store.close()
    shutil.copyfile(there, path)

    before = stray_log(path)
    store = await SQLiteStore.open(path)
    again = await deliver(store)
    await store.close()

    assert "older than the database" in before
    assert (sent, again) == (["after-1", "after-2"], ["new-1", "new-2"])


async def test_log_of_a_newer_copy_is_set_aside_without_a_mark(path, copy):
    await killed(path, copy, shutil.copyfile)
    shutil.copyfile(copy, path)
    Path(f"{path}.epoch").unlink()

    before = stray_log(path)
    store = await SQLiteStore.open(path)
    again = await deliver(store)
    held = await store.find(AtRest(pixel=None, limit=99))
    await store.close()

    assert "the database was replaced by an older copy" in before
    assert (again, len(held)) == ([], 50)


async def test_deliveries_of_an_older_copy_with_its_own_mark_are_held(path, copy):
    await killed(path, copy, shutil.copyfile)
    shutil.copyfile(copy, path)
    before = read_mark(path)
    with closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as connection:
        [turn] = connection.execute("SELECT turn FROM deployment").fetchone()
    write_mark(path, msgspec.structs.replace(before, turn=turn, conversions=50, moved=turn))

    store = await SQLiteStore.open(path)
    again = await deliver(store)
    held = await store.find(AtRest(pixel=None, limit=99))
    await store.close()

    assert (again, len(held)) == ([], 50)
    assert "the database was replaced by an older copy" in store.notices[0]


async def test_log_with_a_damaged_start_is_not_taken_for_that_of_another_store(path, copy):
    await killed(path, copy, shutil.copyfile)
    shutil.copyfile(copy, path)
    Path(f"{path}.epoch").unlink()
    log = bytearray(Path(f"{path}-wal").read_bytes())
    log[32 + 24 + 100] ^= 1
    Path(f"{path}-wal").write_bytes(log)

    assert stray_log(path) is None


async def test_empty_database_beside_a_log_is_refused(path, copy):
    await killed(path, copy, backup)
    log = Path(f"{path}-wal").read_bytes()
    Path(path).write_bytes(b"")

    with pytest.raises(StoreUnusable, match="it is empty, but the log next to it is not"):
        await SQLiteStore.open(path)

    assert Path(f"{path}-wal").read_bytes() == log


async def test_restored_backup_holds_conversions_sent_since_and_keeps_the_old_files(path, copy):
    await killed(path, copy, backup)
    former = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal")}

    done = restore(path, copy)

    assert (done.pending, done.sent, done.received_after, done.conversions) == (50, False, 2, 50)
    assert "the backup lacks 2 later steps (deliveries taken from the queue" in done.why
    assert done.latest == NOW
    assert {s: Path(f"{done.aside}{s}").read_bytes() for s in ("", "-wal")} == former
    assert Path(copy).is_file()
    assert Path(path).stat().st_mode & 0o777 == 0o600
    store = await SQLiteStore.open(path)
    again = await deliver(store)
    held = await store.find(AtRest(pixel=None, limit=99))
    await store.close()
    assert (again, len(held)) == ([], 50)
    assert not list(Path(path).parent.glob("*.stray-*"))


async def test_restored_backup_is_sent_if_nothing_was_sent_since(path, copy):
    store = await SQLiteStore.open(path)
    await record(store, "a", "b")
    backup(path, copy)
    await record(store, "c")
    await store.close()

    done = restore(path, copy)

    store = await SQLiteStore.open(path)
    sent = await deliver(store)
    await store.close()
    assert (done.sent, done.why, done.pending, done.received_after) == (True, None, 2, 1)
    assert sent == ["a", "b"]


async def test_deliveries_of_a_backup_without_its_mark_are_held(path, copy, tmp_path):
    store = await SQLiteStore.open(path)
    await record(store, "a")
    backup(path, copy)
    await store.close()
    other = str(tmp_path / "other.db")
    await (await SQLiteStore.open(other)).close()

    elsewhere, fresh = restore(other, copy), restore(str(tmp_path / "fresh.db"), copy)

    assert (elsewhere.sent, fresh.sent, fresh.aside) == (False, False, None)
    assert "of a different store" in elsewhere.why
    assert "Twite cannot know what was sent since" in fresh.why
    for database in (other, str(tmp_path / "fresh.db")):
        store = await SQLiteStore.open(database)
        again = await deliver(store)
        await store.close()
        assert again == []


async def test_harmful_restore_is_refused_and_changes_nothing(path, copy, tmp_path):
    store = await SQLiteStore.open(path)
    await record(store, "a")
    backup(path, copy)
    with pytest.raises(StoreInUse):
        restore(path, copy)
    await store.close()
    damaged = bytearray(Path(copy).read_bytes())
    middle = len(damaged) // 8192 * 4096
    damaged[middle : middle + 4096] = b"\xff" * 4096
    (tmp_path / "damaged.db").write_bytes(damaged)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE other (id)")
        other.commit()
    before = {file.name: file.read_bytes() for file in tmp_path.glob("twite.db*")}

    for source, said in (
        ("none.db", "the file does not exist"),
        ("damaged.db", "damaged"),
        ("other.db", "not a Twite database"),
        ("twite.db", "the database itself"),
    ):
        with pytest.raises(StoreUnusable, match=said):
            restore(path, str(tmp_path / source))

    assert {file.name: file.read_bytes() for file in tmp_path.glob("twite.db*")} == before
