"""Tables for spreadsheets: what came from outside stays text there."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.responses import Response

from twite.console.render import shown

# What a spreadsheet takes for the beginning of a formula, in both widths. (OWASP ASVS 1.2.10)
_FORMULA: Final = frozenset(
    "=+-@\t\r\n\0\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)
_LONGEST: Final = 32_767  # what a cell of a spreadsheet holds


def cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula; what is invisible is spelled out."""
    cut = shown(text[:_LONGEST].replace("\0", "\N{SYMBOL FOR NULL}"), _LONGEST)[:_LONGEST]
    first = text.lstrip(" \N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}\N{BYTE ORDER MARK}")[:1]
    return f"'{cut}" if first in _FORMULA and first else cut


def table(name: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Response:
    """Return a file of that name (ours: letters and dashes), by RFC 4180."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerow(head)
    writer.writerows([cell(text) for text in row] for row in rows)
    return Response(
        written.getvalue().encode("utf-8", "replace"),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )
