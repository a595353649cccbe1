"""Schema migrations: numbered files, each applied in one transaction."""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from twite.domain.errors import StoreUnusable
from twite.stores.sql.statements import numbered


@cache
def migrations() -> list[tuple[int, str]]:
    return numbered(Path(__file__).with_name("migrations"))


def newest_version() -> int:
    return migrations()[-1][0]


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the database; 0 if it is new."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Migrate the database to the newest version. Raises StoreUnusable if the database is newer."""
    present = version_of(connection)
    refuse_newer(present, path)
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
            raise StoreUnusable(
                path=path,
                reason=f"migration {version} failed ({error})",
                cure="Nothing was changed: free some space or restore the file, then start again",
            ) from error


def schema_of(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Return the schema that the database contains."""
    return connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    ).fetchall()


@cache
def newest_schema() -> list[tuple[object, ...]]:
    """Return the schema of a new database, to detect a damaged schema by comparison."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh, ":memory:")
        return schema_of(fresh)


def refuse_newer(present: int, path: str) -> None:
    """Raise StoreUnusable if the database has a newer version than this code."""
    newest = newest_version()
    if present > newest:
        raise StoreUnusable(
            path=path,
            reason=f"a newer version of Twite wrote it (schema {present}; this version supports up "
            f"to {newest})",
            cure="Start the newer version, or restore a backup from this version",
        )
