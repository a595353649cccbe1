"""Salvage the intact rows of a damaged database, by table."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from twite.domain.delivery import State
from twite.domain.outcome import AttemptOutcome
from twite.stores.sql.rows.table_row import TableRow
from twite.stores.sql.rows.tables import (
    AccountRow,
    AttemptRow,
    ConversionRow,
    OutboxRow,
    QueueRow,
    SubmissionRow,
)
from twite.stores.sqlite.engine.page_records import TABLE_LEAF, Value
from twite.stores.sqlite.recovery.pages import INDEX_LEAF, LeafPage, PageRow, Pages

# The states in the outbox.
UNSETTLED: Final = frozenset({State.QUEUED, State.SENDING, State.HELD, State.DEAD})
_OUTCOMES: Final = frozenset(AttemptOutcome)
_RECEIPT: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
# Delivery numbers are below this, times in milliseconds above.
_MOMENTS: Final = 1_000_000_000_000
_LONGEST: Final = 128  # characters of the name of an event


class SalvagedRow(NamedTuple):
    """A row, by column name. `sure` is whether the row was reached from the root of its table."""

    values: Mapping[str, Value]
    sure: bool


class Salvage:
    """Reads the tables of a damaged database, using the schema of a new one."""

    def __init__(self, pages: Pages, connection: sqlite3.Connection) -> None:
        """`connection` is a database with the newest schema, and is used only for the schema."""
        self._pages = pages
        self._columns = {
            name: _stored(connection, name)
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
        self._trees = {}
        reached = {1} | pages.free()
        for name, root in roots(pages).items():
            tree = pages.tree(root)
            reached.update(tree.pages)
            self._trees[name] = tree
        self._strays = [
            number
            for number in range(2, pages.count + 1)
            if number not in reached and pages.kind(number) in {TABLE_LEAF, INDEX_LEAF}
        ]
        # Pages with rows of which some are invalid, so that a part cannot be read.
        self.damaged_pages: set[int] = set()

    def whole(self, table: str) -> bool:
        """Whether every row of a table is readable. Call it after reading the rows."""
        tree = self._trees.get(table)
        return (
            tree is not None
            and tree.whole
            and self._pages.log_is_whole
            and not self.damaged_pages.intersection(tree.pages)
        )

    def rows(self, table: str) -> Iterator[SalvagedRow]:
        """Yield the rows of a table that can be found, possibly with duplicates."""
        columns = self._columns[table]
        tree = self._trees.get(table)
        for number in () if tree is None else tree.pages:
            for row in self._read(number).rows:
                named = _named(columns, row)
                if named is not None:
                    yield SalvagedRow(named, sure=tree.whole if tree else False)
        looks = LOOKS.get(table)
        if looks is None:
            return
        for number in self._strays:
            for row in self._pages.leaf(number).rows:
                named = _named(columns, row) if looks(row.values) else None
                if named is not None:
                    yield SalvagedRow(named, sure=False)

    def _read(self, number: int) -> LeafPage:
        leaf = self._pages.leaf(number)
        if not leaf.whole:
            self.damaged_pages.add(number)
        return leaf


def roots(pages: Pages) -> dict[str, int]:
    """Return the root of each table, as far as the schema can be read."""
    roots = {}
    for number in pages.tree(1).pages:
        for row in pages.leaf(number).rows:
            match row.values:
                case ("table", str(name), _, int(root), str()) if root > 1:
                    roots[name] = root
    return roots


class _Columns(NamedTuple):
    """The names of the stored columns, and of the column that is the rowid."""

    names: tuple[str, ...]
    rowid: str | None


def _stored(connection: sqlite3.Connection, table: str) -> _Columns:
    columns = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
    kept: list[tuple[str, str, int]] = [
        (name, kind, key) for _, name, kind, _, _, key, hidden in columns if not hidden
    ]
    sql = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    if "WITHOUT ROWID" in sql:
        keys = [name for _, name in sorted((key, name) for name, _, key in kept if key)]
        return _Columns((*keys, *(name for name, _, key in kept if not key)), None)
    rowids = [name for name, kind, key in kept if key and kind == "INTEGER"]
    return _Columns(tuple(name for name, _, _ in kept), rowids[0] if len(rowids) == 1 else None)


def _named(columns: _Columns, row: PageRow) -> dict[str, Value] | None:
    """Return the values by column, without those of later columns; None if there are too many."""
    if len(row.values) > len(columns.names):
        return None
    named = dict(zip(columns.names, row.values, strict=False))
    if columns.rowid is not None:
        named[columns.rowid] = row.rowid
    return named


def _like(
    kind: type[TableRow],
    until: str,
    last: str,
    *,
    also: Callable[[Mapping[str, Value]], bool] = lambda _row: True,
) -> Callable[[Sequence[Value]], bool]:
    """Return a test for rows: the columns up to `until` have their types, and `last` is there.

    The first column is the rowid, which SQLite stores elsewhere.
    """
    columns = kind.__struct_fields__
    typed = columns[1 : columns.index(until) + 1]
    least = columns.index(last) + 1

    def looks(values: Sequence[Value]) -> bool:
        row = dict(zip(columns, values, strict=False))
        return (
            least <= len(values) <= len(columns)
            and values[0] is None
            and all(isinstance(row[name], kind.__annotations__[name]) for name in typed)
            and also(row)
        )

    return looks


def _attempted(values: Sequence[Value]) -> bool:
    match values:
        case (int(delivery), int(attempt)):
            return 0 < delivery < _MOMENTS and 0 < attempt < _MOMENTS
    return False


# What rows of a table look like, to recognize them on a page that no root leads to. Rows of other
# tables are not guessed. A pattern ends with the last column of the first schema: columns that were
# added later may follow, and `_named` rejects rows with too many.
LOOKS: Final[Mapping[str, Callable[[Sequence[Value]], bool]]] = {
    "submission": _like(
        SubmissionRow,
        "body",
        "unfired",
        also=lambda row: bool(_RECEIPT.fullmatch(str(row["receipt"]))),
    ),
    "conversion": _like(ConversionRow, "body", "cause"),
    "outbox": _like(OutboxRow, "state", "cause", also=lambda row: row["state"] in UNSETTLED),
    "attempt": _like(AttemptRow, "outcome", "size", also=lambda row: row["outcome"] in _OUTCOMES),
    "attempted": _attempted,
    "account": _like(AccountRow, "rejected", "rejected"),
    "queue": _like(QueueRow, "event", "event", also=lambda row: len(str(row["event"])) < _LONGEST),
}
