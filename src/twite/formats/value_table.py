"""Tables of numbers by id, for value rules: CSV files such as

    id,cost
    SHOE-42,19.90

The first column has the ids. Cells of other columns may be anything, unless a rule reads them.
"""

import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from twite.formats.files.table import (
    SAMPLE,
    UnreadableFile,
    cells,
    encoding_of,
    not_text,
    separator_of,
)

MAX_TABLE: Final = 64 << 20  # bytes
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_LONGEST_SHOWN: Final = 20


class TableRefused(Exception):
    """A file that is no table of numbers: the message says where, why, and what to do."""


class ValueTable(msgspec.Struct, frozen=True, kw_only=True):
    """`columns` has the numbers of each column that a rule reads, by id; empty cells are absent."""

    columns: Mapping[str, Mapping[str, Decimal]]
    rows: int

    def number(self, key: str, column: str) -> Decimal | None:
        return self.columns[column].get(key)


def read_table(content: bytes, columns: Collection[str]) -> ValueTable:
    """Read a CSV file. Raises TableRefused if `columns` are missing, or have no numbers."""
    if len(content) > MAX_TABLE:
        raise TableRefused(f"larger than {MAX_TABLE >> 20} MiB. Split it, or remove columns")
    encoding = encoding_of(content[:SAMPLE])
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TableRefused(str(not_text(encoding, line))) from None
    separated = separator_of(text[:SAMPLE])
    try:
        rows = cells(io.StringIO(text, newline=""), separated)
        return _table(rows, sorted(columns))
    except UnreadableFile as unreadable:
        raise TableRefused(str(unreadable)) from None


def _table(rows: Iterator[tuple[int, list[str]]], columns: Sequence[str]) -> ValueTable:
    _, header = next(rows, (1, []))
    names = [name.strip().lstrip("\ufeff") for name in header]
    if not names:
        raise TableRefused('empty. Write a first line with names, such as "id,cost"')
    places = {name: _place(name, names) for name in columns}
    numbers: dict[str, dict[str, Decimal]] = {name: {} for name in columns}
    seen: set[str] = set()
    for line, row in rows:
        key = row[0].strip()
        if not key:
            raise TableRefused(f"row {line}: no id in the first column. Write one")
        if key in seen:
            raise TableRefused(f"row {line}: {_shown(key)} has a row already. Remove one of them")
        seen.add(key)
        if any(cell.strip() for cell in row[len(names) :]):
            # Such as 4,10 between commas: reading 4 would be a wrong amount.
            raise TableRefused(
                f"row {line}: more cells than the first row. Write numbers like 12.50, and put "
                "quotes around texts with a separator"
            )
        for name, place in places.items():
            cell = row[place].strip() if place < len(row) else ""
            if not cell:
                continue
            if not _NUMBER.fullmatch(cell):
                raise TableRefused(
                    f"row {line}: {_shown(cell)} in column {name} is not a number. Write it like "
                    "12.50"
                )
            numbers[name][key] = Decimal(cell)
    return ValueTable(columns=numbers, rows=len(seen))


def _place(column: str, names: Sequence[str]) -> int:
    found = [place for place, name in enumerate(names) if name == column and place]
    if len(found) == 1:
        return found[0]
    if found:
        raise TableRefused(f'{len(found)} columns are named "{column}". Rename all but one')
    known = ", ".join(name for name in names[1:] if name) or "none"
    raise TableRefused(f'no column "{column}" after the first. Columns: {known}')


def _shown(text: str) -> str:
    return f'"{text[:_LONGEST_SHOWN]}{"…" if len(text) > _LONGEST_SHOWN else ""}"'
