"""Untrusted text made visible, and CSV for spreadsheets. It imports no templates."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

LONGEST: Final = 200
_FORMULA: Final = frozenset(
    "=+-@\t\r\n\0\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
_LONGEST_CELL: Final = 32_767  # the size limit of a spreadsheet cell


def shown(text: object, longest: int = LONGEST) -> str:
    """Format untrusted text: escape invisible and text-reversing characters, and shorten it."""
    held = str(text)
    cut = held[:longest]
    visible = "".join(c if c.isprintable() else _spelled_out(c) for c in cut)
    return visible if len(held) <= longest else f"{visible}…"


def _spelled_out(c: str) -> str:
    if c in "\n\t":
        return " "
    if "\ud800" <= c <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    return f"⟨U+{ord(c):04X}⟩"


def cell(text: str) -> str:
    """Return text that no spreadsheet reads as a formula, with invisible characters escaped."""
    cut = shown(text[:_LONGEST_CELL].replace("\0", "\N{SYMBOL FOR NULL}"), _LONGEST_CELL)[
        :_LONGEST_CELL
    ]
    first = text.lstrip(" \N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}\N{BYTE ORDER MARK}")[:1]
    return f"'{cut}" if first in _FORMULA and first else cut


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Return lines of a CSV file (RFC 4180), with safe cells."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerows([cell(str(value)) for value in row] for row in rows)
    return written.getvalue().encode("utf-8", "replace")
