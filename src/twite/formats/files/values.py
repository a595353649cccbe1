"""Values of typed tables (Parquet, databases) as the cells of a row."""

import datetime as dt
import decimal
from typing import Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


class FloatCell(str):
    """A floating-point number of a database: as an amount, it may have lost digits."""

    __slots__ = ()


def as_text(value: object) -> str:
    """Return a value as CSV text. `1.234` becomes `1.2340`, which cannot mean 1,234."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, float | decimal.Decimal):
        return _number(decimal.Decimal(repr(value) if isinstance(value, float) else value))
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple | dict):
        return _ENCODER.encode(value).decode()
    return str(value)


def as_cell(value: object) -> str:
    """Return a database's value as a cell: NaN is not an empty amount, and floats are marked."""
    if isinstance(value, float):
        return FloatCell(as_text(value) or value)
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        return str(value)
    return as_text(value)


def _number(value: decimal.Decimal) -> str:
    if not value.is_finite():
        return ""
    plain = f"{value:f}"
    if "." not in plain:
        return plain
    decimals = len(plain.rpartition(".")[2])
    return plain + "0" if decimals in {1, 3} else plain
