"""Export into a new file, CSV or Parquet: the conversions as they are now."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from twite.app.export.run import ConversionPages, ExportBasis, ExportRange, ExportRun
from twite.console.export_files import (
    CSV,
    NO_POLARS,
    PARQUET,
    FileRow,
    csv_parts,
    parquet_parts,
    parquet_schema,
    polars,
)
from twite.domain.errors import ClientError
from twite.gateway.operations.export_rows import NAMES, cells_of, rejected_rows, row_of
from twite.gateway.ports.exports import ExportRow

ENDINGS: Final = (f".{CSV.name}", f".{PARQUET.name}")


async def export_file(path: Path, basis: ExportBasis, range_: ExportRange, run: ExportRun) -> None:
    """Write a file, and replace an older one once it is whole. Raises ClientError."""
    if path.suffix == f".{PARQUET.name}":
        library: Any = polars()
        if library is None:
            raise ClientError(NO_POLARS)
        parts = parquet_parts(library, parquet_schema(library), _rows(basis, range_, run))
    else:
        parts = csv_parts(NAMES, _cells(_rows(basis, range_, run)))
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            async for part in parts:
                await asyncio.to_thread(file.write, part)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise ClientError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


async def _rows(
    basis: ExportBasis, range_: ExportRange, run: ExportRun
) -> AsyncIterator[Sequence[ExportRow]]:
    pages = ConversionPages(basis, range_)
    async for page in pages.after(await pages.start()):
        rows = [
            row_of(each, basis.event_names, at=run.at)
            for each in page
            if each.received_at in range_
        ]
        run.read += len(page)
        run.rows += len(rows)
        yield rows
        basis.progressed(run)
    async for rejected in pages.rejections(range_.since):
        run.read += len(rejected)
        run.rejected += len(rejected)
        run.rows += len(rejected)
        yield rejected_rows(rejected, basis.event_names, at=run.at)


async def _cells(pages: AsyncIterator[Sequence[ExportRow]]) -> AsyncIterator[Sequence[FileRow]]:
    async for rows in pages:
        yield [cells_of(row) for row in rows]
