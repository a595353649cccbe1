"""Decode a file of conversions: kind, encoding, separator, and columns to fields.

The command reads the file from disk; this module interprets it.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from twite.domain.errors import ClientError

Kind = Literal["csv", "json", "jsonl", "parquet", "query"]

SAMPLE: Final = 65_536  # bytes at the start of a file that are enough to detect its kind
MAX_CELL: Final = 131_072  # characters; a longer cell is caused by a quote that was never closed

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
# Column names in exports, by field, most reliable first. Case, spaces and punctuation are ignored.
NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "conversion_id": (
            "conversion_id", "order_id", "order_number", "order_no", "order", "transaction_id",
            "transaction", "invoice_number", "lead_id", "event_id", "reference", "id",
        ),
        "event": ("event", "event_name", "conversion_event", "conversion_name"),
        "time": (
            "time", "conversion_time", "event_time", "created_at", "created", "order_date",
            "ordered_at", "processed_at", "paid_at", "occurred_at", "purchased_at", "timestamp",
            "datetime", "date",
        ),
        "value": (
            "value", "conversion_value", "order_value", "total", "order_total", "grand_total",
            "total_price", "total_amount", "amount", "revenue", "price",
        ),
        "currency": ("currency", "currency_code", "order_currency", "price_currency"),
        "email": (
            "email", "email_address", "customer_email", "user_email", "contact_email",
            "billing_email", "mail",
        ),
        "email_sha256": ("email_sha256", "sha256_email", "hashed_email", "email_hash"),
        "phone": (
            "phone", "phone_number", "customer_phone", "billing_phone", "telephone", "tel",
            "mobile", "mobile_phone",
        ),
        "phone_sha256": ("phone_sha256", "sha256_phone", "hashed_phone", "phone_hash"),
        "twclid": ("twclid", "x_click_id", "twitter_click_id", "click_id"),
        "ip": ("ip", "ip_address", "client_ip", "customer_ip", "browser_ip", "remote_ip"),
        "user_agent": ("user_agent", "browser_user_agent", "client_user_agent", "ua"),
        "contents": ("contents", "items", "line_items", "products", "basket", "cart"),
        "url": ("url", "page", "page_url", "page_location", "event_source_url"),
        "description": ("description",),
        "search": ("search", "search_string", "search_term"),
        # For value rules. A column `vat` is often a tax number.
        "tax": ("tax", "total_tax", "tax_amount"),
        "shipping": ("shipping", "shipping_total", "total_shipping", "shipping_amount"),
        "new_customer": ("new_customer", "is_new_customer"),
        "consent": ("consent", "ad_storage", "ad_consent", "marketing_consent"),
        "pixel": ("pixel", "pixel_id"),
        "user_id": ("user_id",),
        "visitor_id": ("visitor_id", "anonymous_id"),
    }
)  # fmt: skip
_REST: Final = re.compile(r"[\W_]+")


class UnreadableFile(ClientError):
    """A file that cannot be read; the message says why, and how to fix it. Nothing was sent."""


def kind_of(name: str, start: bytes) -> Kind:
    """Detect the kind of a file by its name and first decompressed bytes. Raises UnreadableFile."""
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"PK\x03\x04"):
        raise UnreadableFile(
            "this is a zip file or an Excel workbook: save the sheet as CSV (UTF-8), or unpack it"
        )
    ending = re.sub(r"\.(gz|gzip|zst|zstd)$", "", name.lower()).rpartition(".")[2]
    if ending in _ENDINGS and _ENDINGS[ending] != "parquet":
        return _ENDINGS[ending]
    if ending == "parquet":
        raise UnreadableFile("the file name says Parquet, but the content is not Parquet")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] in {b"{", b"["}:
        return "json" if text[:1] == b"[" else "jsonl"
    return "csv"


def encoding_of(start: bytes) -> str:
    """Detect the text encoding: UTF-8, or UTF-16 by its byte-order mark or its zero bytes."""
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
    if encoding.startswith("utf-16"):
        return UnreadableFile(f"line {line}: not valid UTF-16. Save the file as UTF-8")
    return UnreadableFile(
        f"line {line}: not UTF-8. It may be Windows-1252 or ISO-8859-1, which encode accented "
        "letters differently: save the file as UTF-8, or convert it, as in: iconv -f "
        "WINDOWS-1252 -t UTF-8 FILE"
    )


class Separated(msgspec.Struct, frozen=True, kw_only=True):
    """`skip` is the number of lines before the header (Excel's `sep=;`)."""

    by: str
    skip: int = 0


def separator_of(sample: str, *, chosen: str | None = None) -> Separated:
    """Detect the separator from the file's first lines, unless an option sets it.

    It is the candidate that splits every line into the same number of cells, at least two; if there
    are several, the one with the most cells. Otherwise it is the one that splits the header into
    the most cells, or the comma.
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
    """Yield (row number, cells), counted as in a spreadsheet: the header is row 1.

    Blank rows are counted, but not yielded. Raises UnreadableFile with the line of a broken quote.
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


def _widths(sample: str, separator: str) -> list[int]:
    """Count the cells of up to 20 rows, without the last of several: it may be truncated."""
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
        return f"row {number}: an opening quote is never closed"
    if "expected after" in text:
        return f'row {number}: a quote inside a quoted cell must be doubled, as in ""'
    return f"row {number}: not CSV ({text})"


class UnknownColumn(Exception):
    """A `--map` that names no field or no column, or two columns of one name.

    `message` lists the known ones, or says how to choose.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ColumnMapping(msgspec.Struct, frozen=True, kw_only=True):
    """`taken` maps a field to the column's index; `ignored` lists the names of unused columns.

    `spare` maps an unused column to the field that its name means, if no `--map` chose its column.
    """

    header: tuple[str, ...]
    taken: Mapping[str, int]
    ignored: tuple[str, ...]
    spare: Mapping[str, str] = {}

    def named(self) -> tuple[tuple[str, str], ...]:
        places = sorted(self.taken.items(), key=lambda item: item[1])
        return tuple((field, self.header[place]) for field, place in places)


def recognise(header: Sequence[str], chosen: Mapping[str, str]) -> ColumnMapping:
    """Map columns to fields.

    `chosen` maps a field to a column name, or "" for none; it overrides recognised names. A column
    chosen for one field is not used for another. Raises UnknownColumn.
    """
    names = tuple(cell.strip().lstrip("\ufeff") for cell in header)
    taken: dict[str, int] = {}
    for field, name in chosen.items():
        if field not in NAMES:
            wrong = f'"{field}" is not a field of a conversion'
            raise UnknownColumn(f"{wrong}. {_nearest(field, NAMES)}")
        if name:
            taken[field] = _place(name, names, field)
    by_name: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        by_name.setdefault(_plain(name), []).append(place)
    for field, known in NAMES.items():
        if field in chosen:
            continue
        for name in known:
            free = [place for place in by_name.get(_plain(name), ()) if place not in taken.values()]
            if free:
                taken[field] = _only(free, names, field)
                break
    _require_one_consent(names, taken, chosen)
    ignored = tuple(name for place, name in enumerate(names) if place not in taken.values())
    spare = {
        names[place]: field
        for field in taken.keys() - chosen.keys()
        for name in NAMES[field]
        for place in by_name.get(_plain(name), ())
        if place not in taken.values()
    }
    return ColumnMapping(
        header=names, taken=MappingProxyType(taken), ignored=ignored, spare=MappingProxyType(spare)
    )


def _place(name: str, names: Sequence[str], field: str) -> int:
    equal = [place for place, known in enumerate(names) if known == name]
    alike = [place for place, known in enumerate(names) if _plain(known) == _plain(name)]
    if equal or alike:
        return _only(equal or alike, names, field)
    raise UnknownColumn(f'the file has no column "{name}". {_nearest(name, names)}')


def _require_one_consent(
    names: Sequence[str], taken: Mapping[str, int], chosen: Mapping[str, str]
) -> None:
    """Raise UnknownColumn if a denial could be in another column than the one that is read."""
    known = {_plain(name) for name in NAMES["consent"]}
    free = set(range(len(names))) - {place for field, place in taken.items() if field != "consent"}
    found = [names[place] for place in sorted(free) if _plain(names[place]) in known]
    if "consent" not in chosen and len(found) > 1:
        raise UnknownColumn(
            f'the columns "{found[0]}" and "{found[1]}" may both contain the consent: choose one '
            "with --map consent=COLUMN"
        )


def _only(places: Sequence[int], names: Sequence[str], field: str) -> int:
    if len(places) > 1:
        raise UnknownColumn(
            f'two columns are named "{names[places[0]]}" and "{names[places[1]]}": give them '
            f"different names, or leave the field empty with --map {field}="
        )
    return places[0]


def _nearest(name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'Did you mean "{near[0]}"?' if near else f"Available: {', '.join(known)}"


def _plain(name: str) -> str:
    return _REST.sub("", name.casefold())
