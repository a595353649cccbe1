"""A file has one owner, also under another path and after its lock file was deleted."""

import fcntl
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from builders import a_submission, an_entry
from twite.domain.errors import StoreInUse, StoreUnusable
from twite.stores.sqlite import SQLiteReader, SQLiteStore
from twite.stores.sqlite.engine.lock import OwnerLock, refuse_other_path
from twite.stores.sqlite.recovery.backup import backup, restore
from twite.stores.sqlite.recovery.copying import SQLiteCopySource
from twite.stores.sqlite.recovery.recover import recover
from twite.stores.sqlite.sqlite_engine import SQLiteEngine

# Runs the named actions on a file in a process of its own, and prints the class and message of each
# error.
_ACTIONS = """
import asyncio, json, sys
from twite.stores.sqlite.recovery.backup import backup, restore
from twite.stores.sqlite.recovery.copying import SQLiteCopySource
from twite.stores.sqlite.recovery.recover import recover
from twite.stores.sqlite.sqlite_engine import SQLiteEngine
from twite.stores.sqlite import SQLiteStore

path, other, *names = sys.argv[1:]
engine = SQLiteEngine()

async def own():
    await (await SQLiteStore.open(path)).close()

async def read():
    await (await engine.open_reader(path)).close()

actions = {
    "own": lambda: asyncio.run(own()),
    "read": lambda: asyncio.run(read()),
    "check": lambda: asyncio.run(engine.examine(path)),
    "back up": lambda: backup(path, other),
    "restore": lambda: restore(path, other),
    "recover": lambda: recover(path, None),
    "copy": lambda: SQLiteCopySource.open(path),
}
for name in names:
    try:
        actions[name]()
        print(json.dumps([name, "", ""]))
    except Exception as error:
        print(json.dumps([name, type(error).__name__, str(error)]))
"""
_OWNING = ("own", "restore", "recover", "copy")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "data").mkdir()
    return str(tmp_path / "data" / "twite.db")


@pytest.fixture
async def store(path):
    store = await SQLiteStore.open(path)
    await store.record(a_submission(an_entry("order-1")))
    yield store
    await store.close()


def results(path, other, *names, before=""):
    """Return the error class and message of each action, run by another process.

    `before` is a shell command for a mount namespace of its own.
    """
    command = [sys.executable, "-c", _ACTIONS, str(path), str(other), *names]
    if before:
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                   f'{before} && exec "$@"', "sh", *command]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: (kind, said) for name, kind, said in map(json.loads, done.stdout.splitlines())}


def delete_lock(path):
    Path(f"{path}.lock").unlink()


def can_mount():
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


needs_mounts = pytest.mark.skipif(not can_mount(), reason="this user cannot create mounts")


async def test_deleted_lock_file_allows_no_second_owner(store, path, tmp_path):
    backup(path, str(tmp_path / "backup.db"))
    delete_lock(path)
    before = os.stat(path).st_ino  # noqa: PTH116 - in a coroutine

    found = results(path, tmp_path / "backup.db", *_OWNING)

    assert {name: kind for name, (kind, _) in found.items()} == dict.fromkeys(_OWNING, "StoreInUse")
    assert "in use by another process" in found["own"][1]
    assert os.stat(path).st_ino == before  # noqa: PTH116 - as above
    assert (await store.record(a_submission(an_entry("order-2"), receipt="r2"))) is not None


async def test_commands_can_read_after_the_lock_file_was_deleted(store, path, tmp_path):
    delete_lock(path)

    found = results(path, tmp_path / "backup.db", "read", "check", "back up")

    assert [kind for kind, _ in found.values()] == ["", "", ""]


async def test_renamed_database_of_a_running_owner_has_no_second_owner(store, path, tmp_path):
    renamed = str(tmp_path / "renamed.db")
    os.rename(path, renamed)  # noqa: PTH104 - in a coroutine

    found = results(renamed, tmp_path / "backup.db", "own", "read", "back up", "check")

    kinds = [kind for kind, _ in found.values()]
    assert kinds == ["StoreInUse", "StoreUnusable", "StoreUnusable", "StoreUnusable"]
    os.rename(renamed, path)  # noqa: PTH104 - as above


@needs_mounts
async def test_file_mounted_at_another_path_has_no_second_owner(store, path, tmp_path):
    backup(path, str(tmp_path / "backup.db"))
    (tmp_path / "other").mkdir()
    there = tmp_path / "other" / "twite.db"
    there.touch()

    found = results(
        there, tmp_path / "backup.db", *_OWNING, before=f"mount --bind '{path}' '{there}'"
    )

    assert {kind for kind, _ in found.values()} == {"StoreUnusable"}
    assert "the file is mounted by itself" in found["own"][1]
    assert list(there.parent.glob("twite.db-*")) == []


@needs_mounts
async def test_file_mounted_at_another_path_is_not_read_while_its_owner_runs(store, path, tmp_path):
    (tmp_path / "other").mkdir()
    there = tmp_path / "other" / "twite.db"
    there.touch()

    found = results(
        there, tmp_path / "b.db", "read", "back up", "check",
        before=f"mount --bind '{path}' '{there}'",
    )  # fmt: skip

    assert {kind for kind, _ in found.values()} == {"StoreUnusable"}
    assert "under another path" in found["read"][1]
    assert not (tmp_path / "b.db").exists()


@needs_mounts
async def test_mounted_folder_has_the_same_owner(store, path, tmp_path):
    there = tmp_path / "other"
    there.mkdir()

    found = results(
        there / "twite.db", tmp_path / "b.db", "own", "read",
        before=f"mount --bind '{Path(path).parent}' '{there}'",
    )  # fmt: skip

    assert found["own"][0] == "StoreInUse"
    assert f"{there / 'twite.db'} is in use by process {os.getpid()}." in found["own"][1]
    assert found["read"] == ("", "")


@needs_mounts
async def test_owner_of_the_original_path_is_refused_beside_a_mounted_one(path, tmp_path):
    await (await SQLiteStore.open(path)).close()
    other = OwnerLock.take(path)
    delete_lock(path)  # as if the owner used another path

    found = results(path, tmp_path / "b.db", "own")

    assert found["own"][0] == "StoreInUse"
    other.release()
    assert results(path, tmp_path / "b.db", "own")["own"] == ("", "")


def sqlite_lock_of_another(path):
    """Return the process that holds a lock on SQLite's shared range, as another process sees it."""
    script = (
        "import fcntl, os, struct, sys\n"
        "descriptor = os.open(sys.argv[1], os.O_RDWR)\n"
        "asked = struct.pack('hhqqi0q', fcntl.F_WRLCK, 0, 0x40000002, 510, 0)\n"
        "found = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)\n"
        "kind, *_, pid = struct.unpack('hhqqi', found[:28])\n"
        "print(0 if kind == fcntl.F_UNLCK else pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


async def test_refused_owner_and_checks_keep_the_locks_of_sqlite(store, path):
    delete_lock(path)
    with pytest.raises(StoreInUse) as refused:
        OwnerLock.take(path)
    refuse_other_path(path)
    await SQLiteEngine().examine(path)
    with pytest.raises(StoreInUse):
        recover(path, None)
    with pytest.raises(StoreInUse):
        restore(path, f"{path}.backup" if backup(path, f"{path}.backup") else "")
    with pytest.raises(StoreInUse):
        SQLiteCopySource.open(path)

    assert refused.value.owner == os.getpid()
    assert sqlite_lock_of_another(path) == os.getpid()


async def test_lock_of_the_file_is_separate_from_the_locks_of_sqlite(path):
    await (await SQLiteStore.open(path)).close()
    lock = OwnerLock.take(path)

    assert sqlite_lock_of_another(path) == 0

    lock.release()


async def test_readers_do_not_release_the_lock_of_the_file(store, path):
    reader = await SQLiteReader.open(path)
    await reader.close()
    with open(path, "rb") as file:  # noqa: ASYNC230, PTH123 - one page
        file.read(4096)
    delete_lock(path)

    assert results(path, "", "own")["own"][0] == "StoreInUse"


async def test_new_database_is_locked_before_it_is_used(path):
    lock = OwnerLock.take(path, creating=True)
    delete_lock(path)

    assert results(path, "", "own")["own"][0] == "StoreInUse"
    lock.release()


def test_lock_byte_is_beyond_the_end_of_every_database():
    # SQLite's largest file, and the bytes it locks. [sqlite.org/limits.html]
    assert OwnerLock.BYTE > 281_474_976_710_656 > 0x40000000 + 512
    assert struct.calcsize("q") == 8
    assert hasattr(fcntl, "F_OFD_SETLK") or sys.platform != "linux"


def test_missing_database_is_not_created_by_commands(path):
    OwnerLock.take(path).release()

    assert not Path(path).exists()
    with pytest.raises(StoreUnusable):
        recover(path, None)
