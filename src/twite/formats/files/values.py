"""Values of typed tables (Parquet, databases) as the cells of a row."""

import datetime as dt
import decimal
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from twite.formats.files.table import ColumnMapping

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


class FloatCell(str):
    """A floating-point number: an amount, an id or a phone number may have lost digits."""

    __slots__ = ()


def as_cell(value: object) -> str:
    """Return a value as CSV text. `1.234` becomes `1.2340`, which cannot mean 1,234."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, float | decimal.Decimal):
        is_float = isinstance(value, float)
        text = _number(decimal.Decimal(repr(value) if is_float else value))
        return FloatCell(text) if is_float else text
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(value))
    if isinstance(value, list | tuple | dict):
        return _ENCODER.encode(_exact(value)).decode()
    return str(value)


def inexact_column(columns: ColumnMapping, rows: Iterable[Sequence[str]]) -> tuple[str, str] | None:
    """Return the first field whose column has floating-point numbers, and the column's name.

    A time may be one, such as seconds since 1970.
    """
    taken = [(field, place) for field, place in columns.taken.items() if field != "time"]
    for row in rows:
        for field, place in taken:
            if isinstance(row[place], FloatCell) and row[place].lower() != "nan":
                return field, columns.header[place]
    return None


def _number(value: decimal.Decimal) -> str:
    if not value.is_finite():
        return str(value)
    plain = f"{value:f}"
    if "." not in plain:
        return plain
    decimals = len(plain.rpartition(".")[2])
    return plain + "0" if decimals in {1, 3} else plain


def _text(value: bytes) -> str:
    """Return bytes that are no text, such as a binary UUID, in hexadecimal."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _exact(value: object) -> object:
    """Leave out the fractions in nested values: the price of an item would be inexact."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, dict):
        return {str(key): _exact(inner) for key, inner in value.items()}
    return [_exact(inner) for inner in value] if isinstance(value, list | tuple) else value
