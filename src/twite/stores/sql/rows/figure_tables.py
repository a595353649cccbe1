"""Rows of figures about conversions: traffic, match keys, usual and unusual amounts."""

from typing import ClassVar

from twite.stores.sql.rows.table_row import OnConflict, TableRow


class FlowRow(TableRow):
    key_columns: ClassVar[int] = 3
    on_conflict: ClassVar[OnConflict] = OnConflict.ADD

    span: int
    at: int
    account: int
    received: int
    duplicate: int
    suppressed: int
    rejected: int
    delivered: int
    dead: int


class WaitedRow(TableRow):
    key_columns: ClassVar[int] = 4
    on_conflict: ClassVar[OnConflict] = OnConflict.ADD

    span: int
    at: int
    account: int
    slot: int
    deliveries: int


class MatchedRow(TableRow):
    key_columns: ClassVar[int] = 3
    on_conflict: ClassVar[OnConflict] = OnConflict.ADD

    day: int
    account: int
    queue: int
    conversions: int
    click: int
    email: int
    phone: int
    pair: int
    two: int
    one_short: int
    email_only: int = 0


class FlawRow(TableRow):
    key_columns: ClassVar[int] = 4
    on_conflict: ClassVar[OnConflict] = OnConflict.ADD

    day: int
    account: int
    queue: int
    code: str
    times: int
    wins: int
    shape: str
    delivery: int | None = None
    rejected: int = 0


class NormRow(TableRow):
    key_columns: ClassVar[int] = 3

    pixel: str
    event: str
    currency: str
    seen: int
    zeros: int
    center: float
    spread: float
    first: str


class FlaggedRow(TableRow):
    delivery: int
    kind: str
    value: str
    currency: str
    usual: str
    account: int = 0


class FlawedRow(TableRow):
    key_columns: ClassVar[int] = 2

    delivery: int
    code: str
