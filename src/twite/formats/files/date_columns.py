"""Find columns that look like times, so that a file's times are not overlooked."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC
from itertools import islice
from typing import Final

from twite.formats.files.cells import Moment, read_moment
from twite.formats.files.table import ColumnMapping

# How many rows are examined.
EXAMINED: Final = 500
_SLASHED: Final = re.compile(r"\d{1,2}[/-]\d{1,2}[/-]\d{2,4}\b.*", re.ASCII)
_DIGITS: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
# Names of columns whose numbers are times since 1970, or of a spreadsheet.
_NAMED: Final = re.compile(
    r"(?:^|[^a-z])(?:at|on|ts|am|le)$|time|date|datum|zeit|fecha|hora|data|giorno|dato|day|stamp",
    re.IGNORECASE,
)


def unmapped_times(columns: ColumnMapping, rows: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the unused columns that look like times, if no column is the time.

    Every cell of such a column is a date, or a number, if the name says that it is a time. Empty
    cells and columns without any other cell do not count.
    """
    if "time" in columns.taken:
        return ()
    unused = [
        (place, name)
        for place, name in enumerate(columns.header)
        if name in columns.ignored and place not in columns.taken.values()
    ]
    found = {name: False for _, name in unused}
    for row in islice(rows, EXAMINED):
        for place, name in unused:
            cell = row[place].strip() if place < len(row) else ""
            if cell and name in found:
                found[name] = True
                if not _is_time(cell, name):
                    del found[name]
    return tuple(name for name, is_filled in found.items() if is_filled)


def _is_time(cell: str, name: str) -> bool:
    if _DIGITS.fullmatch(cell):
        return bool(_NAMED.search(name))
    return isinstance(read_moment(cell, zone=UTC), Moment) or bool(_SLASHED.fullmatch(cell))
