"""CSV that Twite writes (RFC 4180), with cells that no spreadsheet reads as formulas."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from twite.domain.normalize import visible_line

# Characters that start a formula in a spreadsheet (OWASP ASVS 1.2.10), including full-width ones.
_FORMULA: Final = frozenset("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
# A spreadsheet removes them from the beginning of a cell.
_BLANKS: Final = " \N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}\N{BYTE ORDER MARK}"
_LONGEST: Final = 32_767  # the size limit of a spreadsheet cell
# Most cells. This comparison takes half the time of the others.
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9][ -~]{,2000})?")


def harmless(text: str) -> str:
    """Return text that no spreadsheet reads as a formula, with invisible characters escaped."""
    if _PLAIN.fullmatch(text):
        return text
    is_formula = text.lstrip(_BLANKS)[:1] in _FORMULA
    kept = text if text.isprintable() else visible_line(text[:_LONGEST])
    return (f"'{kept}" if is_formula else kept)[:_LONGEST]


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return lines of CSV: None is an empty cell, and truth values are written as in JSON.

    All cells are quoted, so that a program that expects another separator does not split them.
    """
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str):
        return harmless(value)
    return str(value).lower() if isinstance(value, bool) else value
