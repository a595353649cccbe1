"""A database has one owner and any number of readers. Also: settings, versions, damage."""

import os
import sqlite3
import subprocess
import sys

import pytest

from builders import NOW, a_submission, an_entry
from twite.domain.delivery import State
from twite.domain.errors import StoreInUse, StoreUnusable
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import ByConversionId, ByReceipt
from twite.stores.sqlite import SQLiteReader, SQLiteStore
from twite.stores.sqlite.engine.connection import connect_writer, create, refuse_old_sqlite
from twite.stores.sqlite.engine.schema import newest_version

CLAIM = Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 60_000, limit=500, ambiguous_after=0)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


async def opened_and_closed(path):
    store = await SQLiteStore.open(path)
    await store.close()
    return store


def damage(path, statement):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


async def test_second_owner_is_refused_with_the_process_id_of_the_first(path):
    store = await SQLiteStore.open(path)

    with pytest.raises(StoreInUse) as refused:
        await SQLiteStore.open(path)

    assert (refused.value.path, refused.value.owner) == (path, os.getpid())
    await store.close()


async def test_owner_in_another_process_is_refused(path):
    store = await SQLiteStore.open(path)
    script = (
        "import asyncio, sys\n"
        "from twite.domain.errors import StoreInUse\n"
        "from twite.stores.sqlite import SQLiteStore\n"
        "try:\n"
        "    asyncio.run(SQLiteStore.open(sys.argv[1]))\n"
        "except StoreInUse as refused:\n"
        "    print(refused.owner)\n"
    )

    done = subprocess.run(  # noqa: ASYNC221 - the wait is the test
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"{os.getpid()}\n"
    await store.close()


@pytest.mark.parametrize("in_folder", [False, True])
async def test_symbolic_link_leads_to_the_same_owner(tmp_path, in_folder):
    (tmp_path / "real").mkdir()
    store = await SQLiteStore.open(str(tmp_path / "real" / "twite.db"))
    if in_folder:
        (tmp_path / "link").symlink_to(tmp_path / "real")
        link = tmp_path / "link" / "twite.db"
    else:
        link = tmp_path / "other.db"
        link.symlink_to(tmp_path / "real" / "twite.db")

    with pytest.raises(StoreInUse) as refused:
        await SQLiteStore.open(str(link))

    assert refused.value.owner == os.getpid()
    await store.close()


async def test_files_of_a_linked_database_are_beside_its_target(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "real" / "twite.db")

    await opened_and_closed(str(link))
    again = await opened_and_closed(str(link))

    assert again.notices == ()
    assert list(tmp_path.glob("link.db?*")) == []
    assert (tmp_path / "real" / "twite.db.epoch").is_file()


async def test_file_with_two_hard_links_is_refused(tmp_path, path):
    store = await SQLiteStore.open(path)
    os.link(path, tmp_path / "other.db")

    with pytest.raises(StoreUnusable, match="2 hard links"):
        await SQLiteStore.open(str(tmp_path / "other.db"))

    await store.close()


async def test_store_can_be_opened_again_after_a_close(path):
    first = await opened_and_closed(path)

    second = await opened_and_closed(path)

    assert (second.salt, second.epoch) == (first.salt, first.epoch + 1)


async def test_two_deployments_have_different_salts(tmp_path):
    store = await opened_and_closed(str(tmp_path / "one.db"))
    other = await opened_and_closed(str(tmp_path / "other.db"))

    assert len(store.salt) == 16
    assert store.salt != other.salt


async def test_store_can_be_closed_twice(path):
    store = await opened_and_closed(path)

    await store.close()

    await opened_and_closed(path)


async def test_deliveries_of_a_dead_owner_are_queued_and_ambiguous(path):
    store = await SQLiteStore.open(path)
    await store.record(a_submission(an_entry("order-1")))
    before = await store.claim(CLAIM)
    await store.close()

    store = await SQLiteStore.open(path)
    after = await store.claim(CLAIM)

    assert (after.deliveries[0].ambiguous_since, after.deliveries[0].attempts) == (NOW, 1)
    assert after.lease > before.lease
    await store.close()


async def test_reader_sees_commits_of_the_owner(path):
    store = await SQLiteStore.open(path)
    reader = await SQLiteReader.open(path)
    await store.record(a_submission(an_entry("order-1")))

    (history,) = await reader.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1")
    )

    assert history.state is State.QUEUED
    assert await reader.balance() == await store.balance()
    await reader.close()
    await store.close()


async def test_reader_needs_no_running_owner(path):
    store = await SQLiteStore.open(path)
    await store.record(a_submission(an_entry("order-1")))
    await store.close()

    reader = await SQLiteReader.open(path)

    assert [history.conversion_id for history in await reader.find(ByReceipt(receipt="r1"))] == [
        "order-1"
    ]
    await reader.close()


async def test_reader_creates_no_database(path):
    with pytest.raises(StoreUnusable):
        await SQLiteReader.open(path)

    assert not os.path.exists(path)  # noqa: ASYNC240, PTH110 - a check of one name


async def test_reader_refuses_a_database_of_another_program(path):
    damage(path, "CREATE TABLE other (id)")

    with pytest.raises(StoreUnusable, match="version 0"):
        await SQLiteReader.open(path)


@pytest.mark.parametrize("opening", [SQLiteStore.open, SQLiteReader.open])
async def test_database_of_a_newer_version_is_refused(path, opening):
    await opened_and_closed(path)
    damage(path, f"PRAGMA user_version = {newest_version() + 1}")

    with pytest.raises(StoreUnusable, match="newer version of Twite"):
        await opening(path)

    damage(path, f"PRAGMA user_version = {newest_version()}")
    await opened_and_closed(path)


async def test_file_that_is_not_a_database_is_refused_and_unchanged(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but somebody's notes " * 100)
    before = file.read_bytes()

    with pytest.raises(StoreUnusable):
        await SQLiteStore.open(str(file))

    assert file.read_bytes() == before


async def test_missing_folder_of_the_database_is_refused(tmp_path):
    with pytest.raises(StoreUnusable, match="folder"):
        await SQLiteStore.open(str(tmp_path / "nowhere" / "twite.db"))


async def test_damaged_database_is_refused_after_a_crash(path):
    store = await SQLiteStore.open(path)
    await store.record(
        a_submission(*(an_entry(f"order-{number}", index=number) for number in range(200)))
    )
    await store.close()
    damage(path, "UPDATE deployment SET clean = 0")
    size = os.path.getsize(path)  # noqa: ASYNC240, PTH202 - a check of one file
    with open(path, "r+b") as file:  # noqa: ASYNC230, PTH123 - as above
        file.seek(size // 4096 // 2 * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(StoreUnusable):
        await SQLiteStore.open(path)


async def test_database_files_are_accessible_only_to_their_owner(path):
    store = await SQLiteStore.open(path)

    modes = {
        suffix: os.stat(f"{path}{suffix}").st_mode & 0o777  # noqa: PTH116 - as above
        for suffix in ("", "-wal", "-shm", ".lock")
    }

    assert set(modes.values()) == {0o600}
    await store.close()


def test_database_settings_make_commits_durable(path):
    create(path)

    connection = connect_writer(path)

    answers = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "fullfsync", "wal_autocheckpoint")
    }
    connection.close()
    assert answers == {
        "journal_mode": "wal",
        "synchronous": 2,
        "fullfsync": 1,
        "wal_autocheckpoint": 0,
    }


def test_file_without_wal_is_refused(path):
    create(path)
    # A connection that locks the file exclusively prevents the switch to WAL.
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreUnusable):
        connect_writer(path, patience=0)

    other.close()


def test_sqlite_version_that_is_too_old_is_refused():
    refuse_old_sqlite("twite.db", (3, 35, 0))

    with pytest.raises(StoreUnusable, match=r"SQLite 3\.34\.1 is too old"):
        refuse_old_sqlite("twite.db", (3, 34, 1))


async def test_error_of_a_damaged_file_names_the_fix(tmp_path):
    path = tmp_path / "twite.db"
    store = await SQLiteStore.open(str(path))
    await store.record(a_submission(an_entry()))
    await store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))

    with pytest.raises(StoreUnusable) as owning:
        await SQLiteStore.open(str(path))
    with pytest.raises(StoreUnusable) as reading:
        await read_accounts(path)

    for refused in (owning, reading):
        assert str(refused.value).startswith(f"{path}: it is damaged (")
        assert "restore a backup" in str(refused.value)


async def read_accounts(path):
    reader = await SQLiteReader.open(str(path))
    try:
        await reader.balance()
    finally:
        await reader.close()
