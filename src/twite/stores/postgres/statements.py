"""The named statements in PostgreSQL's dialect, which `make generate` writes."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from twite.stores.sql.rows.figure_tables import FlawRow, FlowRow, MatchedRow, WaitedRow
from twite.stores.sql.rows.insertions import TallyRow, conflict_of, quoted
from twite.stores.sql.rows.table_row import OnConflict, TableRow
from twite.stores.sql.statements import QUERIES

_TYPES: Final[Mapping[object, str]] = {
    int: "bigint",
    int | None: "bigint",
    str: "text",
    str | None: "text",
    bytes: "bytea",
    bytes | None: "bytea",
    bool: "boolean",
    float: "double precision",
}
# Tables in which each connection counts in rows of its own, to avoid lock conflicts, and the column
# that distinguishes them.
SLOTTED: Final[Mapping[type[TableRow], str]] = {
    FlawRow: "slot",
    FlowRow: "slot",
    MatchedRow: "slot",
    TallyRow: "slot",
    WaitedRow: "writer",
}
GENERATED: Final = Path(__file__).with_name("generated_statements.sql")
_NAMES: Final = {text: name for name, text in QUERIES.items()}


class PostgresStatement(msgspec.Struct, frozen=True):
    """A statement with `$n`, and the names of its values in order.

    `has_rows` is whether it returns rows. If not, its result is the number of rows it changed.
    """

    text: str
    names: tuple[str, ...] = ()
    has_rows: bool = True

    def values(self, values: Mapping[str, object] | Sequence[object]) -> Sequence[object]:
        if isinstance(values, Mapping):
            return [values[name] for name in self.names]
        return values


def shared(text: str) -> PostgresStatement:
    """Return the translation of a statement of stores/sql, or of a text without names."""
    name = _NAMES.get(text)
    if name is not None:
        return STATEMENTS[name]
    return PostgresStatement(text, has_rows=text.startswith(("SELECT", "WITH")))


@cache
def at_once(insertions: tuple[tuple[type[TableRow], tuple[str, ...]], ...]) -> str:
    """Return one statement for several insertions; its values are the arrays of their columns."""
    number = count(1)
    parts = [
        f"add_{kind.table()} AS ({_insertion(kind, columns, number)})"
        for kind, columns in insertions
    ]
    return f"WITH {', '.join(parts)} SELECT 1"


def _insertion(kind: type[TableRow], columns: tuple[str, ...], number: Iterator[int]) -> str:
    keys = columns[: kind.key_columns]
    types = kind.__annotations__
    own = SLOTTED.get(kind)
    if own is not None:
        columns, types = (own, *columns), types | {own: int}
    names = quoted(columns)
    arrays = ", ".join(
        f"unnest(${next(number)}::{_TYPES[types[column]]}[]) AS {name}"
        for column, name in zip(columns, names, strict=True)
    )
    text = f'INSERT INTO "{kind.table()}" AS known ({", ".join(names)}) SELECT {arrays}'
    if kind.on_conflict is OnConflict.FAIL:
        return text
    # All transactions lock rows in the same order.
    more_keys = () if own is None else (own,)
    return f"{text} ORDER BY {', '.join(quoted(keys))}{conflict_of(kind, *more_keys)}"


def _read(text: str) -> dict[str, PostgresStatement]:
    """Read sections with a head such as `-- rows: name(first, second)`."""
    found = {}
    for section in text.split("\n\n-- ")[1:]:
        head, _, body = section.partition("\n")
        result, _, signature = head.partition(": ")
        name, _, names = signature.removesuffix(")").partition("(")
        values = tuple(names.split(", ")) if names else ()
        found[name] = PostgresStatement(body.strip(), values, result == "rows")
    return found


STATEMENTS: Final = _read(GENERATED.read_text("utf-8"))
