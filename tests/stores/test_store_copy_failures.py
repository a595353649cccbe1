"""`twite store copy`: copies that are interrupted, changed meanwhile or refused."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_copy_stage import asked, content, copied, copy, copy_and_kill, joined

import second_version
from twite.domain.errors import OperatorError, StoreInUse, StoreUnusable
from twite.gateway.operations import store_copy
from twite.gateway.ports.store import StoreOptions
from twite.stores.factory import ENGINES
from twite.stores.postgres.store import PostgresStore
from twite.stores.sqlite import SQLiteStore


@pytest.fixture
def path(full_store):
    return full_store


def test_copy_of_ids_from_the_future_is_refused(path, postgres_url):
    """PostgreSQL's new ids come from its clock, and must be greater than all others."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE attempt SET id = (1 << 53) - 1 WHERE id = 1")
        connection.commit()

    with pytest.raises(StoreUnusable, match="clock is behind the ids"):
        copy(f"sqlite:{path}", postgres_url)


@pytest.mark.parametrize("is_back", [False, True], ids=["postgresql", "sqlite"])
def test_copy_killed_at_any_step_continues(  # noqa: PLR0917 - fixtures
    path, tmp_path, postgres_url, empty_postgres_url, monkeypatch, is_back
):
    before = content(path)
    monkeypatch.setattr(store_copy, "_ROWS", 1)
    for module in ("sqlite.recovery", "postgres"):
        monkeypatch.setattr(f"twite.stores.{module}.copying.PIECE", 3)
    source, target = f"sqlite:{path}", empty_postgres_url
    if is_back:
        copy(source, postgres_url)
        source, target = postgres_url, f"sqlite:{tmp_path}/back.db"
    for at in (1, 2, 9, 9, 40, 60, 90):
        assert copy_and_kill(source, target, at), at

    done = copy(source, target)

    assert done.copied < sum(done.rows.values())
    if not is_back:
        copy(target, f"sqlite:{tmp_path}/back.db")
    assert content(tmp_path / "back.db") == before


def test_copy_that_was_not_renamed_is_repeated(path, tmp_path, monkeypatch):
    before = content(path)
    target = tmp_path / "back.db"
    rename = Path.replace
    with monkeypatch.context() as stopped:
        stopped.setattr(Path, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            copy(f"sqlite:{path}", f"sqlite:{target}")
    assert not target.exists()
    assert rename is Path.replace

    copy(f"sqlite:{path}", f"sqlite:{target}")

    assert content(target) == before


def test_incomplete_copy_is_not_a_store(path, postgres_url):
    assert copy_and_kill(f"sqlite:{path}", postgres_url, 9)
    engine = ENGINES["postgresql"]

    for opening in (
        engine.open(postgres_url, StoreOptions()),
        engine.open_reader(postgres_url),
        engine.examine(postgres_url),
        engine.open_copy_source(postgres_url),
    ):
        with pytest.raises(StoreUnusable, match="an incomplete copy of another store"):
            asyncio.run(opening)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE deployment SET commits = commits + 1")
        connection.commit()
    with pytest.raises(StoreUnusable, match="an incomplete copy of another store, of an earlier"):
        copy(f"sqlite:{path}", postgres_url)


def test_incomplete_copy_of_another_source_is_not_continued(path, tmp_path):
    assert copy_and_kill(f"sqlite:{path}", f"sqlite:{tmp_path}/to.db", 9)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE deployment SET commits = commits + 1")
        connection.commit()

    with pytest.raises(
        StoreUnusable, match=r"to\.db\.copying: the file contains an incomplete copy"
    ):
        copy(f"sqlite:{path}", f"sqlite:{tmp_path}/to.db")


def during_the_copy(url, statement):
    """Return a progress callback that runs a statement elsewhere after table attempted."""

    def change(table, _done, _total, *, is_checking):
        if (table, is_checking) != ("attempted", False):
            return
        other = os.fork()
        if other == 0:
            try:
                asyncio.run(asked(url, statement))
            finally:
                os._exit(0)
        os.waitpid(other, 0)

    return change


def test_wrong_row_in_the_copy_is_noticed(path, postgres_url):
    spoil = during_the_copy(postgres_url, "UPDATE norm SET zeros = zeros + 1")

    with pytest.raises(StoreUnusable, match=r"differs from its source \(table norm, after 0 equal"):
        copy(f"sqlite:{path}", postgres_url, progress=spoil)


def test_missing_row_in_the_copy_is_noticed(path, postgres_url):
    spoil = during_the_copy(postgres_url, "DELETE FROM attempted WHERE delivery = 3")

    with pytest.raises(StoreUnusable, match=r"differs from its source \(table attempted"):
        copy(f"sqlite:{path}", postgres_url, progress=spoil)


def test_copy_of_a_source_changed_meanwhile_is_not_published(path, postgres_url, tmp_path):
    copy(f"sqlite:{path}", postgres_url)
    change = during_the_copy(postgres_url, "SELECT nextval('id_group')")

    with pytest.raises(StoreUnusable, match="the store was changed during the copy"):
        copy(postgres_url, f"sqlite:{tmp_path}/back.db", progress=change)
    assert not (tmp_path / "back.db").exists()


async def test_copy_is_refused_while_a_gateway_runs(path, tmp_path, postgres_url):
    owner = await SQLiteStore.open(str(path))
    with pytest.raises(StoreInUse, match=f"in use by process {os.getpid()}"):
        await copied(f"sqlite:{path}", postgres_url)
    await owner.close()
    gateway = await joined(postgres_url)
    with pytest.raises(StoreUnusable, match="a gateway is using this database"):
        await copied(f"sqlite:{path}", postgres_url)
    with pytest.raises(StoreUnusable, match="a gateway is using this database"):
        await copied(postgres_url, f"sqlite:{tmp_path}/back.db")
    await gateway.ownership.leave()
    await gateway.close()
    running = await SQLiteStore.open(f"{tmp_path}/other.db")
    with pytest.raises(StoreInUse):
        await copied(f"sqlite:{path}", f"sqlite:{tmp_path}/other.db")
    await running.close()


async def test_no_gateway_starts_during_a_copy(path, postgres_url):
    refused = []

    async def open_meanwhile():
        source = await ENGINES["sqlite"].open_copy_source(str(path))
        target = await ENGINES["postgresql"].open_copy_target(
            postgres_url, state="x", accept_weak_durability=False
        )
        for opening in (
            PostgresStore.open(postgres_url, StoreOptions()),
            SQLiteStore.open(str(path)),
        ):
            with pytest.raises(OperatorError) as caught:
                await opening
            refused.append(str(caught.value))
        with pytest.raises(StoreUnusable, match="another twite store copy is using"):
            await ENGINES["postgresql"].open_copy_target(
                postgres_url, state="x", accept_weak_durability=False
            )
        await target.close()
        await source.close()

    await open_meanwhile()

    assert "twite store copy is using this database. Wait until the copy is complete" in refused[0]
    assert "is in use by process" in refused[1]


def test_target_that_is_not_empty_is_refused(path, tmp_path, postgres_url):
    (tmp_path / "there.db").touch()

    copy(f"sqlite:{path}", postgres_url)
    for target in (postgres_url, f"sqlite:{tmp_path}/there.db"):
        with pytest.raises(
            StoreUnusable, match=r"is not empty: the table|the file or its write-ahead log"
        ):
            copy(f"sqlite:{path}", target)


@pytest.mark.parametrize(
    ("version", "said"),
    [(1, "its schema has version 1, and only the gateway can"), (9_999, "a newer version")],
)
def test_source_of_another_version_is_refused(
    path, postgres_url, monkeypatch, version, said
):  # fmt: skip
    second_version.use_on_sqlite(monkeypatch)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")

    with pytest.raises(StoreUnusable, match=said):
        copy(f"sqlite:{path}", postgres_url)


def test_source_that_is_an_older_copy_is_refused(path, postgres_url):
    Path(f"{path}.epoch").unlink()

    with pytest.raises(StoreUnusable, match=r"epoch is missing.*Start the gateway on it once"):
        copy(f"sqlite:{path}", postgres_url)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("synchronous_commit = off", "synchronous_commit is off"),
        ("default_transaction_read_only = on", "accepts no writes"),
    ],
)
def test_weak_or_read_only_target_server_is_refused(
    path, postgres_server, empty_postgres_url, setting, said
):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} SET {setting}")

    with pytest.raises(StoreUnusable, match=said):
        copy(f"sqlite:{path}", empty_postgres_url)


def test_weak_target_server_can_be_accepted(path, postgres_server, empty_postgres_url):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.psql(f"ALTER DATABASE {name} SET synchronous_commit = off")

    assert copy(f"sqlite:{path}", empty_postgres_url, accept=True).conversions
