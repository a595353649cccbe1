"""SQLite, through Python's own module: each value has its own type, so that no integer is lost."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from twite.domain.secret import Secret
from twite.readers.database.connection import (
    FETCHED_AT_ONCE,
    DatabaseUnusable,
    PageQuery,
    QueryPage,
    WrittenRow,
    double_quoted,
    explained,
    lookup,
    page_sql,
    replacement,
)

_SCHEME: Final = "sqlite:///"
# After so many instructions, a query looks whether it is interrupted.
_STEPS: Final = 100_000
_NOTHING: Final = Secret("sqlite:")


class SqliteRows:
    """A SQLite file. It is opened for reading only, except to write verdicts."""

    def __init__(self, url: str) -> None:
        path = Path(url.removeprefix(_SCHEME))
        self._place = f"sqlite:///{path}"
        if not path.is_file():
            raise DatabaseUnusable(
                f"{self._place}: there is no such file. Write sqlite:///FILE, with four slashes "
                "for an absolute path"
            )
        self._is_interrupted = False
        self._uri = f"file:{quote(str(path.resolve()))}"
        with self._explained():
            self._reading = self._connected("ro")
        # Unlike the connection's own interrupt(), it also ends a query that is about to begin.
        self._reading.set_progress_handler(lambda: self._is_interrupted, _STEPS)

    def stream(self, sql: str) -> tuple[tuple[str, ...], Iterator[Sequence[object]]]:
        with self._explained():
            found = self._reading.execute(sql)
        if found.description is None:
            raise DatabaseUnusable(f"{self._place}: the statement returns no rows: use a SELECT")
        return _header(found), self._fetched(found)

    def page(self, query: PageQuery) -> QueryPage:
        sql = page_sql(query, double_quoted, _mark)
        with self._explained():
            found = self._reading.execute(sql, query.after or ())
            return QueryPage(header=_header(found), rows=found.fetchall())

    def write(self, table: str, rows: Sequence[WrittenRow]) -> None:
        name = ".".join(map(double_quoted, table.split(".")))
        with self._explained():
            writing = self._connected("rw")
            try:
                with writing:
                    for row in rows:
                        known = lookup(name, _mark), (row.sync, row.conversion_id)
                        if not (row.is_kept and writing.execute(*known).fetchone()):
                            for statement in replacement(row, name, _mark):
                                writing.execute(*statement)
            finally:
                writing.close()

    def interrupt(self) -> None:
        self._is_interrupted = True

    def close(self) -> None:
        self._reading.close()

    def _connected(self, mode: str) -> sqlite3.Connection:
        # A sync reads in changing threads, one after the other.
        return sqlite3.connect(f"{self._uri}?mode={mode}", uri=True, check_same_thread=False)

    def _fetched(self, cursor: sqlite3.Cursor) -> Iterator[Sequence[object]]:
        while True:
            with self._explained():
                rows = cursor.fetchmany(FETCHED_AT_ONCE)
            if not rows:
                return
            yield from rows

    def _explained(self) -> Any:  # noqa: ANN401  # a context manager
        return explained(self._place, (sqlite3.Error, OverflowError), _NOTHING)


def _mark(_place: int) -> str:
    return "?"


def _header(cursor: sqlite3.Cursor) -> tuple[str, ...]:
    return tuple(column[0] for column in cursor.description)
