"""Parquet, where `polars` is installed: its values as the text that a CSV would hold."""

import datetime as dt
import decimal
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from twite.domain.errors import ClientError, OperatorError

if TYPE_CHECKING:
    from types import ModuleType

_SLICE: Final = 10_000  # rows turned into Python values at once


class ParquetMissing(OperatorError):
    """The optional part that reads Parquet is not installed."""


class ParquetFrame(Protocol):
    """What is used of polars.DataFrame."""

    columns: list[str]
    height: int

    def iter_slices(self, n_rows: int) -> Iterator["ParquetFrame"]: ...

    def rows(self) -> list[tuple[object, ...]]: ...


class ParquetTable:
    """A table in memory. `header` are its columns, `height` its rows."""

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
    """Read a Parquet file. Raises ParquetMissing, and SenderError where it is not one."""
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
    """Spell a value of Parquet as a CSV would hold it.

    A number stays one: `1.234` is spelled `1.2340`, which cannot be taken for 1,234.
    """
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
