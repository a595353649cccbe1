"""Find columns that look like times, so that a file's times are not overlooked."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from twite.domain.normalize import PLACEHOLDERS
from twite.formats.files.table import ColumnMapping

# How many rows are examined. A query keeps as many in memory.
EXAMINED: Final = 500
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
# Names of columns whose numbers are times since 1970, or of a spreadsheet.
_NAMED: Final = re.compile(
    r"(?:^|[^a-z])(?:at|on|ts|am|le)$|time|date|datum|zeit|fecha|hora|data|giorno|dato|day|stamp",
    re.IGNORECASE,
)
# What may follow a date: a time, and a zone in any spelling.
_TIME: Final = r"(?:(?:[t,]|\s)[^\d]{0,6}\d{1,2}[:.h]\d{2}.{0,50})?"
# A name in English, German, French, Spanish, Italian, Portuguese or Dutch, without accents.
_MONTH: Final = (
    r"(?:de )?(?:jan|feb|fev|mar|mrt|apr|avr|abr|may|mai|mei|mag|maj|jun|juin|giu|jul|juil|lug|aug"
    r"|aou|ago|sep|set|oct|okt|ott|out|nov|dec|dez|dic|ene|gen)[a-z]{0,7}\.?(?: de)?"
)
_DAY: Final = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR: Final = r"(?:(?:19|20)\d{2})"
_SHORT_YEAR: Final = rf"(?:{_YEAR}|\d{{2}})"
_GAP: Final = r"[-./, ]{1,2}"
_DATE: Final = re.compile(
    r"(?:[a-z]{2,10}\.?,? )?(?:"
    rf"{_YEAR}([-./]){_DAY}\1{_DAY}"
    rf"|{_DAY}([-/]){_DAY}\2{_SHORT_YEAR}"
    rf"|{_DAY}\.{_DAY}\.{_YEAR}|[0-3]\d\.[01]\d\.\d{{2}}"
    rf"|{_YEAR}[01]\d[0-3]\dt\d{{4,6}}(?:\.\d+)?(?:z|[+-]\d{{2}}:?\d{{0,2}})?"
    rf"|{_DAY}(?:st|[nrt][dh])?{_GAP}{_MONTH}{_GAP}{_SHORT_YEAR}"
    rf"|{_MONTH}{_GAP}{_DAY}(?:st|[nrt][dh])?{_GAP}{_SHORT_YEAR}"
    rf"|{_YEAR}{_GAP}{_MONTH}{_GAP}{_DAY}"
    # As the command `date` writes it.
    rf"|{_MONTH} {{1,2}}{_DAY} \d{{1,2}}:\d{{2}}(?::\d{{2}})?(?: [a-z0-9+:-]{{1,6}})? {_YEAR}"
    rf"){_TIME}",
    re.ASCII,
)
_LONGEST: Final = 80


def unmapped_times(columns: ColumnMapping, rows: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the unused columns that look like times, if no column is the time.

    More than half of the cells are dates, or numbers, if the name says that they are times. Empty
    cells and placeholders do not count.
    """
    if "time" in columns.taken:
        return ()
    unused = [
        (place, name)
        for place, name in enumerate(columns.header)
        if place not in columns.taken.values()
    ]
    filled = dict.fromkeys(unused, 0)
    times = dict.fromkeys(unused, 0)
    for row in islice(rows, EXAMINED):
        for column in unused:
            place, name = column
            cell = row[place].strip() if place < len(row) else ""
            if cell.lower() not in PLACEHOLDERS:
                filled[column] += 1
                times[column] += _is_time(cell, name)
    return tuple(column[1] for column in unused if 2 * times[column] > filled[column])


def _is_time(cell: str, name: str) -> bool:
    if _NUMBER.fullmatch(cell):
        return bool(_NAMED.search(name))
    if len(cell) > _LONGEST:
        return False
    plain = unicodedata.normalize("NFKD", cell.lower())
    plain = " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())
    return _DATE.fullmatch(plain) is not None
