"""Read files and other tables row by row: the same way for files, object storage and databases."""

import codecs
import csv
import gzip
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

import msgspec
import zstandard

from twite.domain.errors import ClientError
from twite.formats.files.date_columns import EXAMINED, unmapped_times
from twite.formats.files.findings import FileRow, RowIds
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
    separator_of,
)
from twite.formats.files.values import inexact_column
from twite.readers.input_file import MOST_IN_MEMORY, InputFile
from twite.readers.parquet import ParquetTable

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
_PIECE: Final = 1 << 20


class EmptyFile(ClientError):
    """A file without any content."""


class RowTable(Protocol):
    """A table whose rows have typed values, such as the result of a query.

    `exact` says how to make a column of amounts exact; `{}` stands for its name.
    """

    exact: str

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (row number from 1, cells)."""


class OpenedInput(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read to its end without an error, or a query whose rows can be read once.

    `report_path` is the place of a report without its ending. `size` and `digest` (SHA-256)
    describe the decompressed content of a file; `rows` counts the rows that are not blank, and is
    None for a query. `unmapped_times` are the unused columns that look like times, if no column is
    one.
    """

    name: str
    location: str
    report_path: Path
    kind: Kind
    size: int = 0
    digest: bytes
    file: InputFile | None = None
    encoding: str = "utf-8"
    separated: Separated = Separated(by=",")
    columns: ColumnMapping = ColumnMapping(header=(), taken={}, ignored=())
    unmapped_times: tuple[str, ...] = ()
    rows: int | None = None
    table: RowTable | None = None

    def mapped(self, chosen: Mapping[str, str]) -> "OpenedInput":
        """Map the columns again. Raises UnknownColumn."""
        return with_columns(self, self.columns.header, chosen)


def examine(
    file: InputFile, chosen: Mapping[str, str], *, delimiter: str | None = None
) -> OpenedInput:
    """Read a whole file before any row of it is sent.

    `chosen` is `--map`: field → column. `delimiter` separates the cells of a CSV; None detects it.
    Raises ClientError if the file cannot be read, UnknownColumn if `chosen` is wrong.
    """
    csv.field_size_limit(MAX_CELL)
    try:
        return _examined(file, chosen, delimiter)
    except UnreadableFile as error:
        raise ClientError(f"{file.location}: {error}") from None
    except (OSError, EOFError, zstandard.ZstdError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ClientError(f"{file.location}: cannot be read: {reason or error}") from None


def with_columns(
    opened: OpenedInput, header: Sequence[str], chosen: Mapping[str, str]
) -> OpenedInput:
    """Map the columns of a table. Raises UnknownColumn, and ClientError for inexact columns."""
    columns = recognise(header, chosen)
    opened = msgspec.structs.replace(opened, columns=columns)
    if opened.table is not None:
        _require_exact(opened.table, columns)
    if "time" in chosen:
        return opened
    if opened.kind in {"json", "jsonl"}:
        rows: Iterable[Sequence[str]] = key_cells((raw for _, raw in _written(opened)), columns)
    else:
        rows = (row for _, row in _table(opened))
    return msgspec.structs.replace(opened, unmapped_times=unmapped_times(columns, rows))


def read_rows(
    opened: OpenedInput, options: RowOptions, *, derives_ids: bool = True
) -> Iterator[FileRow]:
    """Yield the rows that are not blank, in order.

    Without `derives_ids`, a row without an id is refused: if it is edited later, it would get
    another id. The same is true for a query.
    """
    ids = RowIds() if derives_ids and opened.kind != "query" else None
    if opened.kind in {"json", "jsonl"}:
        conversions = Conversions(opened.columns, options, ids=ids)
        for number, written in _written(opened):
            yield conversions.read(number, written)
    else:
        rows = Rows(opened.columns, options, ids=ids)
        for number, row in _table(opened):
            yield rows.read(number, row)


def _require_exact(table: RowTable, columns: ColumnMapping) -> None:
    found = inexact_column(columns, (row for _, row in islice(table.rows(), EXAMINED)))
    if found is None:
        return
    field, column = found
    fix = table.exact if field == "value" else "Make it a column of whole numbers or texts"
    raise UnreadableFile(
        f'the column "{column}" has floating-point numbers, which may have lost digits. '
        f"{fix.replace('{}', column)}"
    )


def _examined(file: InputFile, chosen: Mapping[str, str], delimiter: str | None) -> OpenedInput:
    with _decompressed(file) as stream:
        start = stream.read(SAMPLE)
        size, digest = _measured(start, stream)
    if not start.strip():
        raise EmptyFile(f"{file.location}: the file is empty")
    kind = kind_of(file.name, start)
    opened = OpenedInput(
        name=file.name,
        location=file.location,
        report_path=file.path,
        kind=kind,
        size=size,
        digest=digest,
        file=file,
    )
    if kind == "parquet":
        with file.open() as raw:
            if raw.read(len(_PARQUET)) != _PARQUET:
                raise UnreadableFile(
                    "Parquet files are compressed internally: decompress the file first"
                )
        table = ParquetTable(file)
        opened = msgspec.structs.replace(opened, table=table, rows=table.height)
        return with_columns(opened, table.header, chosen)
    if kind == "json" and size > MOST_IN_MEMORY:
        raise UnreadableFile(
            f"JSON of more than {MOST_IN_MEMORY >> 20} MiB is not read: write one conversion per "
            "line (JSON Lines), as in: jq -c '.[]' orders.json > orders.jsonl"
        )
    opened = msgspec.structs.replace(opened, encoding=encoding_of(start))
    _require_text(opened)
    if kind == "csv":
        return _with_columns(opened, start, chosen, delimiter)
    if kind == "json" and elements(_whole(opened)) is None:
        opened = msgspec.structs.replace(opened, kind="jsonl")
    opened = msgspec.structs.replace(opened, rows=sum(1 for _ in _written(opened)))
    return with_columns(opened, keys_of(written for _, written in _written(opened)), chosen)


def _table(opened: OpenedInput) -> Iterator[tuple[int, list[str]]]:
    return opened.table.rows() if opened.table else _cells(opened)


def _with_columns(
    opened: OpenedInput, start: bytes, chosen: Mapping[str, str], delimiter: str | None
) -> OpenedInput:
    decoder = codecs.getincrementaldecoder(opened.encoding)()
    separated = separator_of(decoder.decode(start), chosen=delimiter)
    opened = msgspec.structs.replace(opened, separated=separated)
    # The header is the first row that is not blank.
    everything = _cells(opened, header=True)
    _, header = next(everything)
    rows = sum(1 for _ in everything)
    return with_columns(msgspec.structs.replace(opened, rows=rows), header, chosen)


def _cells(opened: OpenedInput, *, header: bool = False) -> Iterator[tuple[int, list[str]]]:
    with _text(opened) as lines:
        rows = cells(lines, opened.separated)
        if not header:
            next(rows, None)
        yield from rows


def _written(opened: OpenedInput) -> Iterator[tuple[int, bytes]]:
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


def _whole(opened: OpenedInput) -> bytes:
    with _decompressed(opened.file) as stream:
        content = stream.read()
    is_utf_8 = opened.encoding.startswith("utf-8")
    return content if is_utf_8 else content.decode(opened.encoding).encode()


def _text(opened: OpenedInput) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        _decompressed(opened.file),
        encoding=opened.encoding,
        newline="" if opened.kind == "csv" else None,
    )


def _decompressed(file: InputFile | None) -> BinaryIO:
    """Open for reading. The first bytes, not the name, show whether the file is gzip or zstd."""
    assert file is not None  # noqa: S101  # only a query has no file: for the type checker
    raw = io.BufferedReader(cast("io.RawIOBase", file.open()))
    start = raw.peek(4)[:4]
    if start.startswith(_GZIP):
        return cast("BinaryIO", _ClosingGzip(raw))
    if start == _ZSTD:
        stream = zstandard.ZstdDecompressor().stream_reader(
            raw, read_across_frames=True, closefd=True
        )
        return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", stream)))
    return raw


class _ClosingGzip(gzip.GzipFile):
    """Also closes the file that it decompresses."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(fileobj=raw)
        self._raw = raw

    def close(self) -> None:
        super().close()
        self._raw.close()


def _measured(start: bytes, stream: BinaryIO) -> tuple[int, bytes]:
    digest, size = hashlib.sha256(start), len(start)
    while piece := stream.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return size, digest.digest()


def _require_text(opened: OpenedInput) -> None:
    """Raise Unreadable, which names the line, if the file has bytes invalid in its encoding."""
    decoder = codecs.getincrementaldecoder(opened.encoding)()
    line = 1
    with _decompressed(opened.file) as stream:
        while True:
            piece = stream.read(_PIECE)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise not_text(opened.encoding, line) from None
            if "\0" in text:
                line += text[: text.index("\0")].count("\n")
                raise UnreadableFile(
                    f"line {line}: the file has NUL characters, so that it is not UTF-8 or UTF-16: "
                    "save it as UTF-8"
                )
            line += text.count("\n")
            if not piece:
                return
