"""The tables that `twite store copy` copies from one engine to another.

Only columns that all engines have are listed. The key columns come first, and sort in the same
order in every engine. Tables of one row, and tables of a single engine, are not listed: each engine
writes its own.
"""

from pathlib import Path
from typing import Final

from twite.gateway.ports.store_copy import CopiedTable

_FILE: Final = Path(__file__).with_name("copied_tables.txt")
# Of these tables, only so many columns are compared: PostgreSQL also stores when a key was taken,
# while SQLite uses the time at which the conversion was received.
_COMPARED: Final = {"dedup": 2}


def _tables() -> tuple[CopiedTable, ...]:
    found = []
    # Each line has the table, the number of columns of its key, and the columns.
    for line in _FILE.read_text("utf-8").splitlines():
        name, key, *columns = line.split()
        compared = _COMPARED.get(name, len(columns))
        found.append(CopiedTable(name, tuple(columns), int(key), compared))
    return tuple(found)


TABLES: Final = _tables()


def quoted(names: tuple[str, ...]) -> list[str]:
    """Return column names for a statement, quoted because some are keywords."""
    return [f'"{name}"' for name in names]
