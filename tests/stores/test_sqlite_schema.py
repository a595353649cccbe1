"""The schema of an SQLite database and its migrations."""

import sqlite3
from contextlib import closing

import pytest

import second_version
from twite.domain.errors import StoreUnusable
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.examine import examine
from twite.stores.sqlite.engine.schema import (
    migrate,
    migrations,
    newest_schema,
    newest_version,
    schema_of,
    version_of,
)


def connect(path):
    return closing(sqlite3.connect(path, isolation_level=None))


def content(connection):
    """Return the whole content of a database, except for its random salt."""
    connection.execute("UPDATE deployment SET salt = x'00'")
    schema = connection.execute("SELECT * FROM sqlite_schema ORDER BY rowid").fetchall()
    return version_of(connection), schema, list(connection.iterdump())


def test_new_database_equals_one_made_by_all_migrations(tmp_path):
    with connect(tmp_path / "new.db") as new, connect(tmp_path / "stepwise.db") as stepwise:
        migrate(new, "new.db")
        for version, statements in migrations():
            stepwise.executescript(f"{statements}\nPRAGMA user_version = {version};")

        assert content(new) == content(stepwise)
        assert version_of(new) == newest_version()


def test_older_database_gets_the_missing_migration(tmp_path, monkeypatch):
    with connect(tmp_path / "twite.db") as connection:
        migrate(connection, "twite.db")
        second_version.use_on_sqlite(monkeypatch)

        migrate(connection, "twite.db")

        assert version_of(connection) == newest_version() == 2
        assert schema_of(connection) == newest_schema()


@pytest.mark.parametrize("version", [1, 35])
def test_database_of_a_development_version_is_refused_and_unchanged(tmp_path, version):
    path = tmp_path / "twite.db"
    with connect(path) as connection:
        connection.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY)")
        connection.execute(f"PRAGMA user_version = {version}")
        was = path.read_bytes()

        with pytest.raises(StoreUnusable) as refusal:
            migrate(connection, str(path))

    assert str(refusal.value) == (
        f"{path}: a development version of Twite wrote it (schema {version}). Send its pending "
        "deliveries, or export what you need, with the version of Twite that wrote it. Then start "
        "with a new store"
    )
    assert path.read_bytes() == was


@pytest.mark.parametrize("version", [35, 99])
async def test_store_with_the_tables_of_another_version_is_refused_by_its_version(
    tmp_path, version
):
    path = tmp_path / "twite.db"
    await (await SQLiteStore.open(str(path))).close()
    with connect(path) as connection:
        connection.execute("ALTER TABLE queue RENAME TO stream")
        connection.execute(f"PRAGMA user_version = {version}")
        if version == 35:
            connection.execute("PRAGMA application_id = 0")

    with pytest.raises(StoreUnusable, match=r"a (development|newer) version of Twite wrote it"):
        await SQLiteStore.open(str(path))
    with pytest.raises(StoreUnusable, match=r"a (development|newer) version of Twite wrote it"):
        examine(str(path), seconds=None)


def test_new_database_is_empty_before_its_first_commit_and_complete_after_it(tmp_path):
    path = tmp_path / "twite.db"
    with connect(path) as connection, connect(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sqlite_schema").fetchall()
        connection.execute("PRAGMA busy_timeout = 0")

        with pytest.raises(StoreUnusable, match="locked"):
            migrate(connection, str(path))

        assert version_of(connection) == 0
        assert not connection.execute("SELECT * FROM sqlite_schema").fetchall()
        reader.execute("COMMIT")
        migrate(connection, str(path))
        assert version_of(reader) == newest_version()


def test_database_of_another_program_is_never_replaced(tmp_path):
    path = tmp_path / "twite.db"
    with connect(path) as connection:
        connection.execute("CREATE TABLE account (name TEXT)")
        connection.execute("INSERT INTO account VALUES ('theirs')")

        with pytest.raises(StoreUnusable, match="migration 1 failed"):
            migrate(connection, str(path))

        assert connection.execute("SELECT * FROM account").fetchall() == [("theirs",)]


def test_sqlite_that_cannot_load_a_database_runs_the_migrations(tmp_path):
    class OldConnection(sqlite3.Connection):
        @property
        def deserialize(self):
            raise AttributeError

    path = tmp_path / "twite.db"
    with closing(sqlite3.connect(path, isolation_level=None, factory=OldConnection)) as connection:
        migrate(connection, str(path))

        assert version_of(connection) == newest_version()
        assert connection.execute("SELECT count(*) FROM deployment").fetchone() == (1,)
