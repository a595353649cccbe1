"""Rows that statements return, read by name."""

from collections.abc import Mapping
from typing import ClassVar, Self

import msgspec

from twite.stores.sql.statements import Cursor, SqlConnection, query


class QueryRow(msgspec.Struct, gc=False):
    """A row of a statement of `queries.sql`, whose columns have the names of the fields, in order.

    `tests/stores/test_query_rows.py` compares them in both engines.
    """

    statement: ClassVar[str]

    @classmethod
    def read(cls, connection: SqlConnection, values: Mapping[str, object]) -> list[Self]:
        return cls.of(connection.execute(query(cls.statement), values))

    @classmethod
    def of(cls, cursor: Cursor) -> list[Self]:
        """Return the rows of the statement, which the caller has executed."""
        return [cls(*row) for row in cursor.fetchall()]
