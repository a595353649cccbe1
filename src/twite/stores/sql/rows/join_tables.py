"""Rows of the tables of joins: what is known of visitors, and the conversions that waited."""

from typing import ClassVar

from twite.stores.sql.rows.table_row import TableRow


class KnownIdentifierRow(TableRow, kw_only=True):
    is_numbered: ClassVar[bool] = True

    id: int | None = None
    key: str
    mark: str
    kind: str
    value: str
    whose: str
    at: int
    seen_at: int
    origin: str


class JoinedRow(TableRow):
    delivery: int
    keys: str
    whose: str
    since: int
    joined_at: int | None = None
    kinds: str = ""
    gained: str = "[]"
