"""Parquet files, through polars, a batch of rows at a time."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from twite.domain.errors import ClientError, OperatorError
from twite.formats.files.values import as_cell
from twite.readers.input_file import MOST_IN_MEMORY, InputFile

if TYPE_CHECKING:
    from types import ModuleType

_BATCH: Final = 10_000  # rows
# Reads all of an object, and writes nothing.
_TRIAL: Final = """
import sys
import polars
frame = polars.scan_parquet(sys.stdin.buffer.read())
for _ in frame.collect_batches(chunk_size=10_000, maintain_order=True):
    pass
"""
_LONGEST_TRIAL: Final = 600  # seconds


class ParquetMissing(OperatorError):
    """The optional package that reads Parquet is not installed."""


class ParquetTable:
    """The rows of a Parquet file. `header` contains the column names; `height` counts the rows."""

    exact = "Save it as decimal(12, 2) or as text"

    def __init__(
        self, file: InputFile, find: "Callable[[str], ModuleType]" = import_module
    ) -> None:
        """Raises ParquetMissing, and ClientError if the file is not Parquet."""
        try:
            # It has no types of its own that matter here.
            self._polars: Any = find("polars")
        except ImportError:
            raise ParquetMissing(
                "Parquet needs the package polars, which is not installed in twite's environment: "
                f"run `{sys.executable} -m pip install polars`, or save the table as CSV or JSON "
                "Lines"
            ) from None
        exceptions = self._polars.exceptions
        # A damaged file may make polars panic, which is no Exception.
        self._errors = exceptions.PolarsError, exceptions.PanicException
        self._file = file
        self._content = b""
        if not file.is_local:
            # polars would read an object itself, with its own credentials.
            with file.open() as stream:
                self._content = stream.read(MOST_IN_MEMORY + 1)
            if len(self._content) > MOST_IN_MEMORY:
                raise ClientError(
                    f"{file.location}: larger than {MOST_IN_MEMORY >> 20} MiB: download it, and "
                    "send the file, or write several files"
                )
            self._require_harmless()
        try:
            frame = self._scanned()
            self.header: tuple[str, ...] = tuple(frame.collect_schema().names())
            self.height: int = frame.select(self._polars.len()).collect().item()
        except (OSError, *self._errors) as error:
            raise self._unreadable(error) from None

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (row number from 1, cells)."""
        number = 0
        try:
            for batch in self._scanned().collect_batches(chunk_size=_BATCH, maintain_order=True):
                for row in batch.rows():
                    number += 1
                    yield number, [as_cell(value) for value in row]
        except self._errors as error:
            raise self._unreadable(error) from None

    def _require_harmless(self) -> None:
        """Read the object in a process of its own first. Raises ClientError if that ends it.

        A damaged object may claim a size that no machine has: polars then ends the process, which
        for a sync is the gateway. All other errors are left to the reader.
        """
        command = [sys.executable, "-c", _TRIAL]
        try:
            tried = subprocess.run(  # noqa: S603  this interpreter
                command,
                input=self._content,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_LONGEST_TRIAL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ClientError(
                f"{self._file.location}: reading takes more than {_LONGEST_TRIAL // 60} minutes: "
                "write several files"
            ) from None
        if tried.returncode < 0:
            raise ClientError(
                f"{self._file.location}: cannot be read as Parquet: it is damaged, and signal "
                f"{-tried.returncode} ended the process that read it. Write it again"
            )

    def _scanned(self) -> Any:  # noqa: ANN401  # polars.LazyFrame
        if self._file.is_local:
            return self._polars.scan_parquet(self._file.path, glob=False)
        return self._polars.scan_parquet(self._content)

    def _unreadable(self, error: BaseException) -> ClientError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return ClientError(f"{self._file.location}: cannot be read as Parquet: {reason}")
