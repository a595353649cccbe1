"""Every other database, through SQLAlchemy and the database's own driver."""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from twite.domain.secret import Secret
from twite.readers.database.connection import (
    FETCHED_AT_ONCE,
    DatabaseUnusable,
    PageQuery,
    QueryPage,
    WrittenRow,
    explained,
    lookup,
    replacement,
    shown_place,
    without_end,
)


class SqlAlchemyRows:
    """A connection through SQLAlchemy, such as `mysql+pymysql://…`."""

    def __init__(self, secret_url: Secret) -> None:
        self._secret_url = secret_url
        self._place = shown_place(secret_url.reveal())
        try:
            # Only its plain statements are used.
            self._sql: Any = import_module("sqlalchemy")
        except ImportError:
            raise DatabaseUnusable(
                f"{self._place}: databases other than PostgreSQL and SQLite need the package "
                "sqlalchemy, which is not installed in twite's environment: run "
                f"`{sys.executable} -m pip install sqlalchemy`, and install the database's driver"
            ) from None
        with self._explained():
            self._engine = self._sql.create_engine(secret_url.reveal())
            self._connection = self._engine.connect()

    def stream(self, sql: str) -> tuple[tuple[str, ...], Iterator[Sequence[object]]]:
        with self._explained():
            streaming = self._connection.execution_options(
                stream_results=True, max_row_buffer=FETCHED_AT_ONCE
            )
            found = streaming.exec_driver_sql(without_end(sql))
        if not found.returns_rows:
            raise DatabaseUnusable(f"{self._place}: the statement returns no rows: use a SELECT")
        return tuple(found.keys()), self._fetched(found)

    def page(self, query: PageQuery) -> QueryPage:
        sql = self._sql
        quote = self._engine.dialect.identifier_preparer.quote
        cursor, key = (sql.literal_column(f"q.{quote(name)}") for name in (query.cursor, query.key))
        # A colon would be a parameter. No other character needs a backslash.
        inner = without_end(query.sql).replace(":", "\\:")
        statement = (
            sql.select(sql.literal_column("q.*"))
            .select_from(sql.text(f"(\n{inner}\n) q"))
            .where(cursor.is_not(None))
            .limit(query.limit)
        )
        if query.after is not None:
            last, last_key = query.after
            mark = sql.literal(last_key)
            later = key >= mark if query.includes_after else key > mark
            statement = statement.where(
                sql.or_(cursor > sql.literal(last), sql.and_(cursor == sql.literal(last), later))
            )
        order = (cursor.desc(), key.desc()) if query.newest else (cursor, key)
        with self._explained():
            found = self._connection.execute(statement.order_by(*order))
            rows = [tuple(row) for row in found]
            self._connection.rollback()  # the next page must see later commits
            return QueryPage(header=tuple(found.keys()), rows=rows)

    def write(self, table: str, rows: Sequence[WrittenRow]) -> None:
        quote = self._engine.dialect.identifier_preparer.quote
        name = ".".join(map(quote, table.split(".")))
        with self._explained(), self._engine.begin() as writing:
            for row in rows:
                known = lookup(name, _mark), (row.sync, row.conversion_id)
                if not (row.is_kept and self._executed(writing, *known).first()):
                    for sql, values in replacement(row, name, _mark):
                        self._executed(writing, sql, values)

    def interrupt(self) -> None:
        """Do nothing: the drivers share no way to end a query."""

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    def _executed(self, connection: Any, sql: str, values: Sequence[str]) -> Any:  # noqa: ANN401
        named = {f"p{place}": value for place, value in enumerate(values, 1)}
        return connection.execute(self._sql.text(sql), named)

    def _fetched(self, found: Any) -> Iterator[Sequence[object]]:  # noqa: ANN401
        while True:
            with self._explained():
                rows = found.fetchmany(FETCHED_AT_ONCE)
            if not rows:
                return
            yield from (tuple(row) for row in rows)

    def _explained(self) -> Any:  # noqa: ANN401  # a context manager
        # A missing driver is an ImportError.
        errors = (self._sql.exc.SQLAlchemyError, ImportError, OSError, OverflowError)
        return explained(self._place, errors, self._secret_url)


def _mark(place: int) -> str:
    return f":p{place}"
