"""Decode files of conversions: encoding, separator and header row.

Reading them from disk is the command's part; interpreting them happens here.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from twite.domain.dedup import derived_id
from twite.domain.errors import ClientError

Kind = Literal["csv", "json", "jsonl", "parquet"]

SAMPLE: Final = 65_536  # bytes at a file's start that suffice to detect its kind
MAX_CELL: Final = 131_072  # characters; a longer cell is a quote that was never closed

_ENDINGS: Final[dict[str, Kind]] = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "json": "json",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
}
_SEPARATORS: Final = ",;\t|"


class UnreadableFile(ClientError):
    """A file that cannot be read; the message says why, and how to fix it. Nothing was sent."""


def kind_of(name: str, start: bytes) -> Kind:
    """Detect the kind of a file by its name and first decompressed bytes.

    Raises UnreadableFile.
    """
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"PK\x03\x04"):
        raise UnreadableFile(
            "this is a zip file or an Excel workbook: save the sheet as CSV (UTF-8), or unpack it"
        )
    plain = re.sub(r"\.(gz|gzip|zst|zstd)$", "", name.lower())
    ending = plain.rpartition(".")[2]
    if ending in _ENDINGS and _ENDINGS[ending] != "parquet":
        return _ENDINGS[ending]
    if ending == "parquet":
        raise UnreadableFile("the name says Parquet, but the content is not")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] in {b"{", b"["}:
        return "json" if text[:1] == b"[" else "jsonl"
    return "csv"


def encoding_of(start: bytes) -> str:
    """Detect the text encoding: UTF-8, or UTF-16 by its BOM or its zeros."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if start.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    odd, even = start[1:400:2], start[0:400:2]
    if len(odd) > 1 and odd.count(0) > len(odd) // 2:
        return "utf-16-le"
    if len(even) > 1 and even.count(0) > len(even) // 2:
        return "utf-16-be"
    return "utf-8"


def not_text(encoding: str, line: int) -> UnreadableFile:
    """Report an encoding that is not detected."""
    if encoding.startswith("utf-16"):
        return UnreadableFile(f"line {line}: not UTF-16 after all. Save the file as UTF-8")
    return UnreadableFile(
        f"line {line}: not UTF-8. It may be Windows-1252 or ISO-8859-1, which look alike but for "
        "names and addresses: save the file as UTF-8, or convert it, as in: iconv -f "
        "WINDOWS-1252 -t UTF-8 FILE"
    )


class Separated(msgspec.Struct, frozen=True, kw_only=True):
    """`skip` is how many lines precede the header (Excel's `sep=;`)."""

    by: str
    skip: int = 0


def separator_of(sample: str, *, chosen: str | None = None) -> Separated:
    """Detect the separator from the file's first lines, unless an option sets it.

    It is the candidate that splits each of them into equally many cells, more than one; of several,
    the one with the most cells. Without a candidate: the comma, and one column.
    """
    named = re.match(r"sep=(.)\r?\n", sample)
    if named is not None:
        return Separated(by=chosen or named[1], skip=1)
    if chosen is not None:
        return Separated(by=chosen)
    best, most = ",", 1
    for candidate in _SEPARATORS:
        cells = _widths(sample, candidate)
        if cells and min(cells) > most and min(cells) == max(cells):
            best, most = candidate, min(cells)
    if most == 1:
        header = (_widths(sample, candidate)[:1] for candidate in _SEPARATORS)
        widths = dict(zip(_SEPARATORS, header, strict=True))
        best = max(_SEPARATORS, key=lambda mark: widths[mark] or [0])
    return Separated(by=best)


def cells(lines: Iterable[str], separated: Separated) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number, cells) as a spreadsheet counts them, the header as row 1.

    Blank rows count and are not yielded. Raises UnreadableFile with the line of a broken quote.
    """
    lines = iter(lines)
    for _ in range(separated.skip):
        next(lines, None)
    reader = csv.reader(lines, delimiter=separated.by, strict=True)
    number = separated.skip
    while True:
        number += 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UnreadableFile(_why_not_csv(error, number)) from None
        if any(cell.strip() for cell in row):
            yield number, row


def row_id(digest: bytes, number: int) -> str:
    """Return a conversion id for a row without one.

    It is derived from the file's SHA-256 and the row's index: sent again, it is the same.
    """
    return derived_id(salt=digest, scope="file", repeated=str(number).encode())


def _widths(sample: str, separator: str) -> list[int]:
    """Count the cells of up to 20 rows; the last may be truncated, and is left out of several."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator)
    found: list[int] = []
    try:
        for row in reader:
            if row:
                found.append(len(row))
            if len(found) > 20:
                break
    except csv.Error:
        return []
    return found[:-1] if len(found) > 1 else found


def _why_not_csv(error: csv.Error, number: int) -> str:
    text = str(error)
    if "end of data" in text or "larger than field limit" in text:
        return f"row {number}: a quote is opened and never closed"
    if "expected after" in text:
        return f'row {number}: a quote inside a quoted cell must stand twice, as in ""'
    return f"row {number}: not CSV ({text})"
