"""Insertions: rows of a table by column, and the parts of their statements that engines share."""

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Final

from msgspec.structs import astuple

from twite.gateway.ports.store_copy import CopiedTable
from twite.stores.sql.rows import tables
from twite.stores.sql.rows.table_row import OnConflict, TableRow
from twite.stores.sql.rows.tables import DedupKeyRow

ROWS: Final = tuple(
    kind for kind in TableRow.__subclasses__() if kind.__module__ == tables.__name__
)
TABLES: Final = tuple(
    CopiedTable(
        kind.table(),
        kind.__struct_fields__,
        kind.key_columns,
        # The engines determine differently when a key was taken.
        len(kind.__struct_fields__) - (kind is DedupKeyRow),
    )
    for kind in ROWS
)


class TallyRow(TableRow):
    """Counts to add to an account. In PostgreSQL, they are in a table of their own."""

    on_conflict: ClassVar[OnConflict] = OnConflict.ADD

    account: int
    received: int = 0
    delivered: int = 0
    duplicate: int = 0
    suppressed: int = 0
    rejected: int = 0

    def add(self, other: "TallyRow") -> None:
        self.received += other.received
        self.delivered += other.delivered
        self.duplicate += other.duplicate
        self.suppressed += other.suppressed
        self.rejected += other.rejected


# The columns of an insertion, and the values of its rows.
Insertion = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def insertion(rows: Sequence[TableRow]) -> Insertion:
    """Return the insertion of some rows of one table, at least one.

    The last columns are left out if all rows have their defaults.
    """
    columns, required, usual, defaults = _columns_of(type(rows[0]))
    values = list(map(astuple, rows))
    if required is None:
        return usual, [value[1:] for value in values]
    if not defaults:
        return columns, values
    for value in values:
        if value[required:] != defaults:
            return columns, values
    return usual, [value[:required] for value in values]


@cache
def _columns_of(
    kind: type[TableRow],
) -> tuple[tuple[str, ...], int | None, tuple[str, ...], tuple[object, ...]]:
    """Return all columns, how many have no default, these, and the defaults of the others.

    If the database assigns the id, return None as the number, and the other columns.
    """
    columns, defaults = kind.__struct_fields__, kind.__struct_defaults__
    if kind.is_numbered:
        return columns, None, columns[1:], ()
    required = len(columns) - len(defaults)
    return columns, required, columns[:required], defaults


@cache
def conflict_of(kind: type[TableRow], *more_keys: str) -> str:
    """Return the part of a statement for rows whose keys exist. The table is called `known`."""
    if kind.on_conflict is OnConflict.FAIL:
        return ""
    names = kind.__struct_fields__
    keys = ", ".join(quoted((*names[: kind.key_columns], *more_keys)))
    adds = kind.on_conflict is OnConflict.ADD
    changes = ", ".join(
        f"{name} = known.{name} + excluded.{name}"
        if adds and kind.__annotations__[name] is int
        else f"{name} = excluded.{name}"
        for name in names[kind.key_columns :]
    )
    return f" ON CONFLICT ({keys}) DO UPDATE SET {changes}"


def quoted(names: Sequence[str]) -> list[str]:
    """Return column names for a statement, quoted because some are keywords."""
    return [f'"{name}"' for name in names]
