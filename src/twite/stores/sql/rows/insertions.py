"""Insertions: rows of a table by column, and the parts of their statements that engines share."""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, ClassVar, Final

from msgspec.structs import astuple

from twite.gateway.ports.store_copy import CopiedTable
from twite.stores.sql.rows import figure_tables, join_tables, tables, user_tables
from twite.stores.sql.rows.table_row import OnConflict, TableRow
from twite.stores.sql.rows.tables import DedupKeyRow

_MODULES: Final = {
    figure_tables.__name__,
    tables.__name__,
    join_tables.__name__,
    user_tables.__name__,
}
ROWS: Final = tuple(kind for kind in TableRow.__subclasses__() if kind.__module__ in _MODULES)
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


# The columns of an insertion, and the values of its rows, one row after the other.
Insertion = tuple[tuple[str, ...], list[Any]]


def insertion(rows: Sequence[TableRow]) -> Insertion:
    """Return the insertion of some rows of one table, at least one.

    The last columns are left out if all rows have their defaults, and the first one if the database
    assigns the id.
    """
    kind = type(rows[0])
    columns, defaults = kind.__struct_fields__, kind.__struct_defaults__
    values: list[Any] = list(chain.from_iterable(map(astuple, rows)))
    width = len(columns)
    if kind.is_numbered:
        del values[::width]
        return columns[1:], values
    usual = width - len(defaults)
    for place, default in enumerate(defaults, usual):
        if values[place::width].count(default) < len(rows):
            return columns, values
    for place in reversed(range(usual, width)):
        del values[place :: place + 1]
    return columns[:usual], values


@cache
def conflict_of(kind: type[TableRow], *more_keys: str) -> str:
    """Return the part of a statement for rows whose keys exist. The table is called `known`."""
    if kind.on_conflict is OnConflict.FAIL:
        return ""
    names = kind.__struct_fields__
    keys = ", ".join(quoted((*names[: kind.key_columns], *more_keys)))
    adds = kind.on_conflict is OnConflict.ADD
    changes = []
    for name in names[kind.key_columns :]:
        column_type, new = kind.__annotations__[name], f"excluded.{name}"
        if adds and column_type is int:
            new = f"known.{name} + {new}"
        elif adds and column_type == int | None:
            new = f"coalesce({new}, known.{name})"
        changes.append(f"{name} = {new}")
    return f" ON CONFLICT ({keys}) DO UPDATE SET {', '.join(changes)}"


def quoted(names: Sequence[str]) -> list[str]:
    """Return column names for a statement, quoted because some are keywords."""
    return [f'"{name}"' for name in names]
