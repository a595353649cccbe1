"""Read input files row by row. Parquet needs `polars`, and is read like a CSV file."""

import codecs
import csv
import datetime as dt
import decimal
import gzip
import hashlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

import msgspec
import zstandard

from twite.domain.errors import ClientError, OperatorError
from twite.formats.files.date_columns import unmapped_times
from twite.formats.files.findings import FileRow
from twite.formats.files.json_rows import Conversions, elements, key_cells, keys_of
from twite.formats.files.rows import RowOptions, Rows
from twite.formats.files.table import (
    MAX_CELL,
    SAMPLE,
    ColumnMapping,
    Kind,
    Separated,
    UnreadableFile,
    cells,
    encoding_of,
    kind_of,
    not_text,
    recognise,
    row_id,
    separator_of,
)

if TYPE_CHECKING:
    from types import ModuleType

_SLICE: Final = 10_000  # rows converted to Python values at a time
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
_PIECE: Final = 1 << 20


class ParquetMissing(OperatorError):
    """The optional package that reads Parquet is not installed."""


class ParquetFrame(Protocol):
    """The part of polars.DataFrame that is used here."""

    columns: list[str]
    height: int

    def iter_slices(self, n_rows: int) -> Iterator["ParquetFrame"]: ...

    def rows(self) -> list[tuple[object, ...]]: ...


class ParquetTable:
    """A table in memory. `header` contains the column names; `height` is the number of rows."""

    def __init__(self, frame: "ParquetFrame") -> None:
        self._frame = frame
        self.header: tuple[str, ...] = tuple(frame.columns)
        self.height: int = frame.height

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (row number from 1, cells)."""
        number = 0
        for piece in self._frame.iter_slices(_SLICE):
            for row in piece.rows():
                number += 1
                yield number, [as_text(value) for value in row]


def open_table(path: Path, find: "Callable[[str], ModuleType]" = import_module) -> ParquetTable:
    """Read a Parquet file. Raises ParquetMissing, and ClientError if the file is not Parquet."""
    try:
        polars = find("polars")
    except ImportError:
        raise ParquetMissing(
            "Parquet needs the package polars, which is not installed in twite's environment: run "
            f"`{sys.executable} -m pip install polars`, or save the table as CSV or JSON Lines"
        ) from None
    try:
        return ParquetTable(polars.read_parquet(path, glob=False))
    except (OSError, polars.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ClientError(f"{path}: cannot be read as Parquet: {reason}") from None


def as_text(value: object) -> str:
    """Return a Parquet value as CSV text. `1.234` becomes `1.2340`, which cannot mean 1,234."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, float | decimal.Decimal):
        return _number(decimal.Decimal(repr(value) if isinstance(value, float) else value))
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)


def _number(value: decimal.Decimal) -> str:
    if not value.is_finite():
        return ""
    plain = f"{value:f}"
    if "." not in plain:
        return plain
    decimals = len(plain.rpartition(".")[2])
    return plain + "0" if decimals in {1, 3} else plain


class OpenedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read to its end without an error.

    `size` and `digest` (SHA-256) describe the decompressed content; `rows` counts the rows that are
    not blank. `unmapped_times` are the unused columns that look like times, if no column is one.
    """

    path: Path
    kind: Kind
    size: int
    digest: bytes
    encoding: str = "utf-8"
    separated: Separated = Separated(by=",")
    columns: ColumnMapping = ColumnMapping(header=(), taken={}, ignored=())
    unmapped_times: tuple[str, ...] = ()
    rows: int = 0
    table: ParquetTable | None = None


def examine(path: Path, chosen: Mapping[str, str], *, delimiter: str | None = None) -> OpenedFile:
    """Read a whole file before any row of it is sent.

    `chosen` is `--map`: field → column. `delimiter` separates the cells of a CSV; None detects it.
    Raises ClientError if the file cannot be read, UnknownColumn if `chosen` is wrong.
    """
    csv.field_size_limit(MAX_CELL)
    try:
        return _examined(path, chosen, delimiter)
    except UnreadableFile as error:
        raise ClientError(f"{path}: {error}") from None
    except (OSError, EOFError, zstandard.ZstdError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ClientError(f"{path}: cannot be read: {reason or error}") from None


def read_rows(opened: OpenedFile, options: RowOptions) -> Iterator[FileRow]:
    """Yield the rows that are not blank, in order."""
    name_row = partial(row_id, opened.digest)
    if opened.kind in {"json", "jsonl"}:
        conversions = Conversions(opened.columns, options, name_row=name_row)
        for number, written in _written(opened):
            yield conversions.read(number, written)
    else:
        rows = Rows(opened.columns, options, name_row=name_row)
        for number, row in _table(opened):
            yield rows.read(number, row)


def _examined(path: Path, chosen: Mapping[str, str], delimiter: str | None) -> OpenedFile:
    with _decompressed(path) as stream:
        start = stream.read(SAMPLE)
        size, digest = _measured(start, stream)
    if not start.strip():
        raise UnreadableFile("the file is empty")
    kind = kind_of(path.name, start)
    opened = OpenedFile(path=path, kind=kind, size=size, digest=digest)
    if kind == "parquet":
        with path.open("rb") as raw:
            if raw.read(len(_PARQUET)) != _PARQUET:
                raise UnreadableFile(
                    "Parquet files are compressed internally: decompress the file first"
                )
        table = open_table(path)
        opened = msgspec.structs.replace(opened, table=table, rows=table.height)
        return _mapped(opened, table.header, chosen)
    opened = msgspec.structs.replace(opened, encoding=encoding_of(start))
    _require_text(opened)
    if kind == "csv":
        return _with_columns(opened, start, chosen, delimiter)
    if kind == "json" and elements(_whole(opened)) is None:
        opened = msgspec.structs.replace(opened, kind="jsonl")
    opened = msgspec.structs.replace(opened, rows=sum(1 for _ in _written(opened)))
    return _mapped(opened, keys_of(written for _, written in _written(opened)), chosen)


def _mapped(opened: OpenedFile, header: Sequence[str], chosen: Mapping[str, str]) -> OpenedFile:
    columns = recognise(header, chosen)
    opened = msgspec.structs.replace(opened, columns=columns)
    if "time" in chosen:
        return opened
    if opened.kind in {"json", "jsonl"}:
        rows: Iterable[Sequence[str]] = key_cells((raw for _, raw in _written(opened)), columns)
    else:
        rows = (row for _, row in _table(opened))
    return msgspec.structs.replace(opened, unmapped_times=unmapped_times(columns, rows))


def _table(opened: OpenedFile) -> Iterator[tuple[int, list[str]]]:
    return opened.table.rows() if opened.table else _cells(opened)


def _with_columns(
    opened: OpenedFile, start: bytes, chosen: Mapping[str, str], delimiter: str | None
) -> OpenedFile:
    decoder = codecs.getincrementaldecoder(opened.encoding)()
    separated = separator_of(decoder.decode(start), chosen=delimiter)
    opened = msgspec.structs.replace(opened, separated=separated)
    # The header is the first row that is not blank.
    everything = _cells(opened, header=True)
    _, header = next(everything)
    rows = sum(1 for _ in everything)
    return _mapped(msgspec.structs.replace(opened, rows=rows), header, chosen)


def _cells(opened: OpenedFile, *, header: bool = False) -> Iterator[tuple[int, list[str]]]:
    with _text(opened) as lines:
        rows = cells(lines, opened.separated)
        if not header:
            next(rows, None)
        yield from rows


def _written(opened: OpenedFile) -> Iterator[tuple[int, bytes]]:
    """Yield (number, JSON): the line number in JSON Lines, or the position in an array, from 1."""
    if opened.kind == "json":
        found = elements(_whole(opened)) or []
        yield from ((number, bytes(raw)) for number, raw in enumerate(found, 1))
        return
    with _text(opened) as lines:
        for number, line in enumerate(lines, 1):
            text = line.lstrip("\ufeff").strip()
            if text:
                yield number, text.encode()


def _whole(opened: OpenedFile) -> bytes:
    with _text(opened) as text:
        return text.read().encode()


def _text(opened: OpenedFile) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        _decompressed(opened.path),
        encoding=opened.encoding,
        newline="" if opened.kind == "csv" else None,
    )


def _decompressed(path: Path) -> BinaryIO:
    """Open for reading. The first bytes, not the name, show whether the file is gzip or zstd."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_GZIP):
        return cast("BinaryIO", gzip.open(path))
    if start == _ZSTD:
        stream = zstandard.ZstdDecompressor().stream_reader(
            path.open("rb"), read_across_frames=True, closefd=True
        )
        return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", stream)))
    return path.open("rb")


def _measured(start: bytes, stream: BinaryIO) -> tuple[int, bytes]:
    digest, size = hashlib.sha256(start), len(start)
    while piece := stream.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return size, digest.digest()


def _require_text(opened: OpenedFile) -> None:
    """Raise Unreadable, which names the line, if the file has bytes invalid in its encoding."""
    decoder = codecs.getincrementaldecoder(opened.encoding)()
    line = 1
    with _decompressed(opened.path) as stream:
        while True:
            piece = stream.read(_PIECE)
            try:
                line += decoder.decode(piece, final=not piece).count("\n")
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise not_text(opened.encoding, line) from None
            if not piece:
                return
