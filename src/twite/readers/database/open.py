"""Open a database by its URL, and a query as a table of rows."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final

from twite.domain.errors import ClientError
from twite.domain.secret import Secret
from twite.formats.files.values import as_cell
from twite.readers.database.connection import (
    FETCHED_AT_ONCE,
    DatabaseUnusable,
    RowDatabase,
    require_escaped,
    shown_place,
)
from twite.readers.database.postgres import PostgresRows
from twite.readers.database.sqlalchemy import SqlAlchemyRows
from twite.readers.database.sqlite import SqliteRows
from twite.readers.files import OpenedInput, with_columns

_FLOAT_FIXES: Final[Mapping[str, str]] = {
    "postgresql": "CAST({} AS numeric(12,2))",
    "postgres": "CAST({} AS numeric(12,2))",
    "sqlite": "printf('%.2f', {})",
}


def open_database(secret_url: Secret) -> RowDatabase:
    """Connect. Raises DatabaseUnusable."""
    text = secret_url.reveal()
    scheme, mark, _ = text.partition("://")
    if not mark:
        raise DatabaseUnusable(
            "this is not the URL of a database. Write postgresql://USER:PASSWORD@HOST/DATABASE or "
            "sqlite:///FILE"
        )
    if scheme == "sqlite":
        return SqliteRows(text)
    require_escaped(secret_url)
    is_postgres = scheme in {"postgresql", "postgres"}
    return PostgresRows(secret_url) if is_postgres else SqlAlchemyRows(secret_url)


class QueryTable:
    """The rows of a query, which can be read once. Some rows are in memory, to look at before."""

    def __init__(self, database: RowDatabase, sql: str, *, exact: str) -> None:
        self.exact = exact
        header, rows = database.stream(sql)
        self.header = header
        self._rows = iter(rows)
        self.first = [self._cells(row) for row in islice(self._rows, FETCHED_AT_ONCE)]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        yield from enumerate(chain(self.first, map(self._cells, self._rows)), 1)

    @staticmethod
    def _cells(row: Sequence[object]) -> list[str]:
        return [as_cell(value) for value in row]


def open_query(
    database: RowDatabase, secret_url: Secret, sql: str, chosen: Mapping[str, str]
) -> OpenedInput:
    """Run a query, and map its columns.

    Raises DatabaseUnusable, UnknownColumn, and ClientError for a query that could not be repeated
    safely: without ids, or with inexact amounts.
    """
    table = QueryTable(database, sql, exact=_exact(secret_url))
    location = shown_place(secret_url.reveal())
    opened = OpenedInput(
        name="query",
        location=location,
        report_path=Path("query"),
        kind="query",
        digest=hashlib.sha256(f"{location}\n{sql}".encode()).digest(),
        table=table,
    )
    opened = with_columns(opened, table.header, chosen)
    taken = opened.columns.taken
    if "conversion_id" not in taken:
        raise ClientError(
            "the query has no column with the order id, so that it could not be sent again without "
            "counting orders twice. Name the column conversion_id, or use --map "
            "conversion_id=COLUMN"
        )
    return opened


def _exact(secret_url: Secret) -> str:
    """Return how to write an exact column in a query."""
    scheme = secret_url.reveal().partition(":")[0]
    fix = _FLOAT_FIXES.get(scheme, "CAST({} AS DECIMAL(12,2))")
    return f"Write {fix} AS {{}} in the query"
