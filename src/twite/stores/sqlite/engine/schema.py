"""Schema migrations: numbered files, each applied in one transaction."""

import os
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

from twite.domain.errors import StoreUnusable
from twite.stores.sql.statements import DRAIN, numbered

# Development versions had schemas up to this one, and set no `application_id`.
_LAST_DEVELOPMENT: Final = 35


@cache
def migrations() -> list[tuple[int, str]]:
    return numbered(Path(__file__).with_name("migrations"))


def newest_version() -> int:
    return migrations()[-1][0]


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the database; 0 if it is new."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def present_version(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of the database; 0 if it is new.

    Raises StoreUnusable if a newer version or a development version of Twite wrote it.
    """
    present, newest = version_of(connection), newest_version()
    refuse_development(present, connection.execute("PRAGMA application_id").fetchone()[0], path)
    if present > newest:
        raise StoreUnusable(
            path,
            f"a newer version of Twite wrote it (schema {present}; this version supports up "
            f"to {newest})",
            "Start the newer version, or restore a backup from this version",
        )
    return present


def refuse_development(version: int, application: int, path: str) -> None:
    """Raise StoreUnusable if the header of a database is that of a development version."""
    if application == 0 and 0 < version <= _LAST_DEVELOPMENT:
        raise StoreUnusable(
            path, f"a development version of Twite wrote it (schema {version})", DRAIN
        )


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Migrate the database to the newest version. Raises StoreUnusable as `present_version`."""
    present = present_version(connection, path)
    # SQLite before 3.36 cannot load a database from memory.
    if not present and not schema_of(connection) and hasattr(connection, "deserialize"):
        _create(connection, path)
    else:
        _upgrade(connection, path, present)


def new_database() -> sqlite3.Connection:
    """Return a database in memory with the newest schema and its own salt.

    The migrations run only once per process: copying their result is ten times as fast.
    """
    new = sqlite3.connect(":memory:", isolation_level=None)
    new.deserialize(_migrated()[1])
    new.execute("UPDATE deployment SET salt = ?", (os.urandom(16),))
    return new


def _create(connection: sqlite3.Connection, path: str) -> None:
    """Create all tables of a new database in one transaction."""
    try:
        with closing(new_database()) as new:
            new.backup(connection, progress=_refuse_to_wait)
    except sqlite3.Error as error:
        raise _failed(path, newest_version(), error) from error


def _refuse_to_wait(status: int, _remaining: int, _total: int) -> None:
    # `busy_timeout` has already passed, and `backup` would try forever.
    if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        raise sqlite3.OperationalError("database is locked")


def _upgrade(connection: sqlite3.Connection, path: str, present: int) -> None:
    for version, statements in migrations():
        if version <= present:
            continue
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{statements}\nPRAGMA user_version = {version};\nCOMMIT;"
            )
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise _failed(path, version, error) from error


def _failed(path: str, version: int, error: sqlite3.Error) -> StoreUnusable:
    return StoreUnusable(
        path,
        f"migration {version} failed ({error})",
        "Nothing was changed: free some space or restore the file, then start again",
    )


def schema_of(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Return the schema that the database contains."""
    return connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    ).fetchall()


def newest_schema() -> list[tuple[object, ...]]:
    """Return the schema of a new database, to detect a damaged schema by comparison."""
    return _migrated()[0]


@cache
def _migrated() -> tuple[list[tuple[object, ...]], bytes]:
    """Return the schema and the content of a new database after all migrations."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        _upgrade(fresh, ":memory:", 0)
        return schema_of(fresh), fresh.serialize() if hasattr(fresh, "serialize") else b""
