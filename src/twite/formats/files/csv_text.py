"""CSV that Twite writes (RFC 4180), with cells that no spreadsheet reads as formulas."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

# Characters that start a formula in a spreadsheet (OWASP ASVS 1.2.10), including full-width ones.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def harmless(text: str) -> str:
    """Return text without invisible characters that no spreadsheet reads as a formula."""
    kept = "".join(c if c.isprintable() else "?" for c in text) if not text.isprintable() else text
    return f"'{kept}" if text.startswith(_FORMULA) else kept


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return lines of CSV: None is an empty cell, and truth values are written as in JSON."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return harmless(value) if isinstance(value, str) else value
