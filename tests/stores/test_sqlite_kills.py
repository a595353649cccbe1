"""A process killed at any step of a commit or a checkpoint leaves a complete store."""

import asyncio
from pathlib import Path
from threading import Event, Lock

import pytest

from builders import NOW, a_submission, an_entry
from killed_files import KILLED_FILES, copy_killed
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.gateway.ports.outbox import Claim
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine import checkpoints
from twite.stores.sqlite.engine.checkpoints import Checkpoints, MarkKeeper
from twite.stores.sqlite.engine.connection import connect_writer, create
from twite.stores.sqlite.engine.log_file import stray_log
from twite.stores.sqlite.engine.writer import Writer

ROUNDS = 4


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


class Copies:
    """Copies the files before and after each step that changes them, while nothing else runs."""

    def __init__(self, path, folder):
        self.path = path
        self.folder = folder
        # One step at a time, so that each copy captures a single moment.
        self.still = Lock()
        self.acknowledged = 0
        # Copy name to the number of conversions acknowledged before it.
        self.made = {}

    def make(self, step):
        if not all(Path(f"{self.path}{suffix}").exists() for suffix in KILLED_FILES):
            return
        name = f"{len(self.made):04d}-{step}"
        acknowledged = self.acknowledged
        copy_killed(self.path, str(self.folder / name))
        self.made[name] = acknowledged

    def around(self, monkeypatch, owner, method):
        real = getattr(owner, method)

        def stepped(*args, **kwargs):
            with self.still:
                self.make(f"before-{method}")
                done = real(*args, **kwargs)
                self.make(f"after-{method}")
            return done

        monkeypatch.setattr(owner, method, stepped)


async def deliver(store):
    """Deliver what is due, so that the epoch file advances."""
    batch = await store.claim(
        Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 60_000, limit=2, ambiguous_after=0)
    )
    ids = tuple(delivery.id for delivery in batch.deliveries)
    attempt = Attempt(
        at=NOW, pixel="o8z6j", event="o8z6k", outcome="delivered", deliveries=ids, status=200
    )
    transitions = (Transition(trigger=Trigger.DELIVERED, deliveries=ids),)
    await store.settle(
        Settlement(lease=batch.lease, attempt=attempt, transitions=transitions, lease_until=NOW)
    )


async def test_kill_at_any_step_loses_no_commit_and_keeps_the_log(path, tmp_path, monkeypatch):
    folder = tmp_path / "killed"
    folder.mkdir()
    copies = Copies(path, folder)
    monkeypatch.setattr(checkpoints, "_EVERY", 0.0)
    # A commit, its entry in the epoch file, and the three steps of a checkpoint.
    copies.around(monkeypatch, Writer, "_outcomes")
    copies.around(monkeypatch, MarkKeeper, "note")
    copies.around(monkeypatch, checkpoints, "_wal_checkpoint")
    copies.around(monkeypatch, MarkKeeper, "moved")
    copies.around(monkeypatch, MarkKeeper, "sync")
    store = await SQLiteStore.open(path)
    for number in range(ROUNDS):
        await store.record(a_submission(an_entry(f"order-{number}"), receipt=f"r{number}"))
        copies.acknowledged = number + 1
        if number % 2:
            await deliver(store)
    await store.close()
    monkeypatch.undo()

    steps = {name[5:] for name in copies.made}
    for name, acknowledged in copies.made.items():
        copy = str(folder / name)
        assert stray_log(copy) is None, name
        killed = await SQLiteStore.open(copy)
        received = sum(account.received for account in await killed.balance())
        reported = killed.notices
        await killed.close()
        assert received >= acknowledged, name
        assert reported == (), name
    assert {"after-_outcomes", "after-_wal_checkpoint", "before-moved", "after-moved"} <= steps


class Mark:
    """Records the checkpoints it is told about."""

    turn = 7

    def __init__(self):
        self.reported = []
        self.synced = Event()

    def moved(self, turn):
        self.reported.append(turn)

    def sync(self):
        self.synced.set()


@pytest.mark.parametrize("overtaken", [True, False])
async def test_epoch_file_records_which_commits_are_durable(path, monkeypatch, overtaken):
    """SQLite syncs the database at the end of a checkpoint only if nothing was committed meanwhile.

    It returns the same in both cases. A power loss may lose unsynced pages. If the epoch file
    counted them, the next start would set aside the log that still has them.
    """
    create(path)
    writer = connect_writer(path)
    writer.execute("CREATE TABLE filling (text BLOB)")
    mark = Mark()

    def checkpoint(connection, kind):
        found = connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        if overtaken:
            writer.execute("INSERT INTO filling VALUES (randomblob(6000))")
        return found

    monkeypatch.setattr("twite.stores.sqlite.engine.checkpoints._wal_checkpoint", checkpoint)
    checkpoints = Checkpoints(path, turn=Lock(), mark=mark)
    checkpoints.start()
    checkpoints.wake()
    await asyncio.to_thread(mark.synced.wait, 60)
    reported = list(mark.reported)

    await asyncio.to_thread(checkpoints.close)
    writer.close()
    assert reported == ([] if overtaken else [7])
