"""A newer version opens stores of releases, reports the same and delivers the rest.

While no release has a second schema, the newer version is made up.
"""

import asyncio
import json
import os
import signal
import sqlite3
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from newer_gateway import NewerVersion
from shifted_gateway import ShiftedGateway, now
from write_store import Vendor, reports, settings_in

import second_version
from twite.cli import run
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.schema import (
    migrate,
    newest_schema,
    newest_version,
    schema_of,
    version_of,
)

STORES = sorted((Path(__file__).parent / "stores").iterdir())
LARGEST = 50_000
# These differ each time: texts of today's code, and a forecast.
SAID_ANEW = frozenset({"message", "help", "waiting", "forecast"})

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=STORES, ids=lambda folder: folder.name)
def release(request):
    return request.param


@pytest.fixture
def written(release):
    return json.loads((release / "expected.json").read_text("utf-8"))


@pytest.fixture
def folder(release, tmp_path):
    """Provide the files of a store as they were written."""
    with tarfile.open(release / "store.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def newer(monkeypatch):
    """Make this process the newer version."""
    second_version.use_on_sqlite(monkeypatch)


class NewerGateway(ShiftedGateway):
    popen = NewerVersion


@pytest.fixture
def upgraded(folder, written, monkeypatch, newer):
    """Return the settings of a store that its owner has opened once; the clock is set back."""
    del newer
    at_the_time(monkeypatch, written)
    asyncio.run(opened_once(folder / "twite.db"))
    return settings_in(folder, x="http://127.0.0.1:1", vendor="http://127.0.0.1:1/in")


def test_stores_of_releases_in_the_repository_are_small(release):
    assert (release / "store.tar.xz").stat().st_size < LARGEST


def test_commands_print_what_they_printed_when_the_store_was_written(upgraded, written, capsys):
    reported = {}
    for name in written.keys() & reports().keys():
        run([*reports()[name], "--config", str(upgraded)])
        reported[name] = json.loads(capsys.readouterr().out)

    assert reported.keys() == written.keys() - {"written_at", "schema"}
    for name, answer in reported.items():
        assert only(answer, like=written[name]) == without(written[name]), name


def test_audit_log_of_an_upgraded_store_is_intact(upgraded, capsys):
    assert run(["audit", "verify", "--config", str(upgraded)]) == 0, capsys.readouterr()


@pytest.mark.journey
def test_pending_deliveries_of_an_upgraded_store_are_sent(folder, written, x_emulator):
    vendor = Vendor()
    gateway = NewerGateway(
        folder, written["written_at"], x=x_emulator, vendor=vendor.url, note="twite.db.gateway"
    )
    try:
        with gateway:
            after = gateway.drained()
            gateway.stop()
    finally:
        vendor.close()
    came = x_emulator.counted()["pixels"]

    shop = [row for row in written["accounting"]["by"] if row["source"] == "shop"]
    before = {name: sum(row[name] for row in shop) for name in ("delivered", "pending")}
    assert after["delivered"] == before["delivered"] + before["pending"]
    assert (after["pending"], after["balance"]) == (0, 0)
    assert vendor.came == 1
    assert {event: set(reported["ids"]) for event, reported in came["o8z6j"]["events"].items()} == {
        "o8z6k": {"doubt-1", "waits-1", "waits-2"},
        "o8z6m": {"tagged-2"},
    }
    assert set(came["o6dkt"]["events"]["o6dkv"]["ids"]) == {"other-1"}


@pytest.mark.usefixtures("newer")
def test_migration_killed_at_any_statement_is_repeated(folder):
    pristine = (folder / "twite.db").read_bytes()
    whole = migrated(folder / "whole.db", pristine)
    at, killed = 0, True
    while killed:
        at += 1
        path = folder / "killed.db"
        for stray in folder.glob("killed.db*"):
            stray.unlink()
        path.write_bytes(pristine)
        killed = migrate_and_die(path, at)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            migrate(connection, str(path))
            assert version_of(connection) == newest_version()
            assert schema_of(connection) == newest_schema()
            assert list(connection.iterdump()) == whole, f"killed at statement {at}"
    # The first two statements only ask for the version.
    assert at > len(second_version.SQLITE.split(";"))


def test_store_with_a_newer_schema_is_refused_and_unchanged(folder, capsys):
    config = settings_in(folder, x="http://127.0.0.1:1", vendor="http://127.0.0.1:1/in")
    path, newer = folder / "twite.db", newest_version() + 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    was = path.read_bytes()

    assert run(["accounting", "--json", "--config", str(config)]) == 1

    said = " ".join(capsys.readouterr().err.split())
    assert f"a newer version of Twite wrote it (schema {newer}; this version" in said
    assert f"supports up to {newest_version()})" in said
    assert "Start the newer version, or restore a backup from this version" in said
    assert path.read_bytes() == was


async def opened_once(path):
    store = await SQLiteStore.open(str(path))
    await store.close()


def migrated(path, pristine):
    """Return the content of a store after an undisturbed migration."""
    path.write_bytes(pristine)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path))
        return list(connection.iterdump())


def migrate_and_die(path, at):
    """Migrate in a process that is killed before its statement `at`; return whether it was."""
    child = os.fork()
    if child == 0:
        seen = 0

        def die_in_time(_):
            nonlocal seen
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            connection = sqlite3.connect(path, isolation_level=None)
            connection.set_trace_callback(die_in_time)
            migrate(connection, str(path))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def at_the_time(monkeypatch, written):
    """Set the clock of this process back to when the store was written."""
    real, back = time.time_ns, (now() - written["written_at"]) * 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: real() - back)


def only(answer, *, like):
    """Return the part of an answer that the earlier one has, too; keys may have been added."""
    if isinstance(answer, dict) and isinstance(like, dict):
        return {
            key: only(value, like=like[key])
            for key, value in answer.items()
            if key in like and key not in SAID_ANEW
        }
    if isinstance(answer, list) and isinstance(like, list) and len(answer) == len(like):
        return [only(answer, like=other) for answer, other in zip(answer, like, strict=True)]
    return answer


def without(answer):
    """Return an answer without the parts that change each time."""
    return only(answer, like=answer)
