"""The files of an export, CSV and Parquet, written part by part: memory does not grow with them."""

import asyncio
import io
import queue
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import msgspec

from twite.formats.files.csv_text import csv_text
from twite.gateway.operations.export_rows import COLUMNS, DECIMALS, DIGITS, ColumnKind

FileRow = Sequence[object]
_ROWS_OF_A_GROUP: Final = 20_000
NO_POLARS: Final = (
    "Parquet needs the package polars, which is not installed in Twite's environment. Install it "
    "with pip install polars, or export as CSV."
)


class ExportFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A file format: `name` is also the ending of the file."""

    name: str
    media_type: str


CSV: Final = ExportFormat(name="csv", media_type="text/csv; charset=utf-8")
PARQUET: Final = ExportFormat(name="parquet", media_type="application/vnd.apache.parquet")


def polars() -> ModuleType | None:
    """Return the optional package that writes Parquet; None if it is not installed."""
    try:
        return import_module("polars")
    except ImportError:
        return None


def parquet_schema(library: Any) -> dict[str, object]:  # noqa: ANN401  # polars
    """Return the columns of exports with their types in Parquet."""
    types = {
        ColumnKind.TEXT: library.String,
        ColumnKind.INTEGER: library.Int64,
        ColumnKind.DECIMAL: library.Decimal(DIGITS, DECIMALS),
        ColumnKind.TIME: library.Datetime("ms", "UTC"),
        ColumnKind.BOOLEAN: library.Boolean,
    }
    return {column.name: types[column.kind] for column in COLUMNS}


async def csv_parts(
    head: Sequence[str], pages: AsyncIterator[Sequence[FileRow]]
) -> AsyncIterator[bytes]:
    """Yield a CSV file (RFC 4180) with cells that no spreadsheet reads as formulas."""
    yield csv_text([head]).encode()
    async for rows in pages:
        yield await asyncio.to_thread(_csv_bytes, rows)


def _csv_bytes(rows: Sequence[FileRow]) -> bytes:
    return csv_text(rows).encode("utf-8", "replace")


async def parquet_parts(
    library: Any,  # noqa: ANN401  # polars, which is optional
    schema: Mapping[str, object],
    pages: AsyncIterator[Sequence[FileRow]],
) -> AsyncIterator[bytes]:
    """Yield a Parquet file, which polars writes in a thread.

    If the client leaves, polars ends the file, and nobody reads the rest.
    """
    feed = _RowFeed(asyncio.get_running_loop())
    written_parts = _WrittenParts()
    job = asyncio.ensure_future(asyncio.to_thread(_write, library, schema, feed, written_parts))
    job.add_done_callback(lambda _: feed.free.set())
    try:
        async for rows in pages:
            await feed.free.wait()
            if job.done():
                break
            feed.put(rows)
            yield written_parts.taken()
        await feed.free.wait()
    finally:
        feed.end()
        await asyncio.wait({job})
    job.result()
    yield written_parts.taken()


class _RowFeed:
    """Passes rows from the event loop to the thread of polars; `free` is set when it took them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._rows: queue.SimpleQueue[Sequence[FileRow] | None] = queue.SimpleQueue()
        self.free = asyncio.Event()
        self.free.set()

    def put(self, rows: Sequence[FileRow]) -> None:
        self.free.clear()
        self._rows.put(rows)

    def end(self) -> None:
        """Let the thread end the file, after the rows that it has not taken."""
        self._rows.put(None)

    def __iter__(self) -> Iterator[Sequence[FileRow]]:
        """Yield the rows in the thread."""
        while (rows := self._rows.get()) is not None:
            self._loop.call_soon_threadsafe(self.free.set)
            yield rows


def _write(
    library: Any,  # noqa: ANN401  # polars
    schema: Mapping[str, object],
    feed: _RowFeed,
    written_parts: "_WrittenParts",
) -> None:
    def frames(*_options: object) -> Iterator[object]:
        for rows in feed:
            yield library.DataFrame(rows, schema=schema, orient="row")

    source = import_module("polars.io.plugins").register_io_source(frames, schema=schema)
    source.sink_parquet(written_parts, row_group_size=_ROWS_OF_A_GROUP)


class _WrittenParts(io.RawIOBase):
    """A file whose content is taken away as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Any, /) -> int:  # noqa: ANN401  # any buffer
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
