"""The part of sqlite3.Connection that the store uses, on apsw."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw

# All rows of a database, by table.
Rows = Mapping[str, Sequence[tuple[object, ...]]]


class Connection:
    def __init__(self, path: Path, *, vfs: str) -> None:
        self._real = apsw.Connection(str(path), vfs=vfs, statementcachesize=256)
        # A power loss runs no checkpoint.
        self._real.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction

    def execute(self, statement: str, values: object = ()) -> "Cursor":
        return Cursor(self._real, self._real.execute(statement, values))

    def executescript(self, statements: str) -> None:
        self._real.execute(statements).fetchall()

    def fill(self, image: bytes) -> None:
        """Copy a database, as `backup` of Python's connections does."""
        source = apsw.Connection(":memory:")
        source.deserialize("main", image)
        with self._real.backup("main", source, "main") as backup:
            backup.step()
        source.close()

    def close(self, *, log: bool = True) -> None:
        """Close; `log` keeps the log for the next connection."""
        self._real.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(log))
        self._real.close()


class Cursor:
    def __init__(self, connection: apsw.Connection, rows: apsw.Cursor) -> None:
        self._rows = rows
        self.rowcount = connection.changes()
        self.fetchone = rows.fetchone
        self.fetchall = rows.fetchall

    def __iter__(self):
        return iter(self._rows)


def rows_of(connection: Connection) -> Rows:
    """Return all rows of a database by table; empty if it has no tables yet."""
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}  # noqa: S608 names from the schema
