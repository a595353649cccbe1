"""Positions in the rows of a query: the values of the cursor and the key, as texts that last.

A run reads the rows after the stored position. Rows that were read a short while ago are
remembered, and skipped: so a transaction that commits late, with an earlier cursor, is still found.
"""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from twite.domain.errors import ClientError
from twite.domain.times import FUTURE_TOLERANCE
from twite.formats.files.cells import Moment, read_moment
from twite.redaction.scrub_text import names_a_person

# Rows that are remembered, however long a sync looks back.
MOST_RECENT: Final = 4_000

_READ: Final[Mapping[str, Callable[[str], object]]] = MappingProxyType(
    {
        "int": int,
        "str": str,
        "decimal": decimal.Decimal,
        "uuid": uuid.UUID,
        "datetime": dt.datetime.fromisoformat,
        "date": dt.date.fromisoformat,
    }
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class UnusableCursor(ClientError):
    """A cursor or key that has no place in an order, or would hide later rows."""


class RowPosition(msgspec.Struct, frozen=True, array_like=True):
    """The cursor and the key of a row, such as `int:5`."""

    cursor: str
    key: str

    @property
    def values(self) -> tuple[object, object]:
        """The values for the database."""
        return _value(self.cursor), _value(self.key)


class ReadRow(msgspec.Struct, frozen=True, array_like=True):
    """A row that was read at a time (ms)."""

    at: int
    position: RowPosition


class QueryProgress(msgspec.Struct, frozen=True, kw_only=True):
    """`position` is that of the last row that is no longer read; `recent` are later rows."""

    position: RowPosition | None = None
    recent: tuple[ReadRow, ...] = ()

    def trimmed(self, *, before: int) -> "QueryProgress":
        """Move the position past the rows that were read before a time."""
        last = max(
            (place for place, row in enumerate(self.recent, 1) if row.at < before), default=0
        )
        last = max(last, len(self.recent) - MOST_RECENT)
        if not last:
            return self
        return QueryProgress(position=self.recent[last - 1].position, recent=self.recent[last:])


def position_of(cursor: object, key: object, *, now: int, column: str) -> RowPosition:
    """Return the position of a row. Raises UnusableCursor."""
    if key is None:
        raise UnusableCursor(
            "the key of a row is NULL: choose a column that is different in each row"
        )
    text = _text(key, "key")
    if names_a_person(str(key)):
        raise UnusableCursor("the key contains personal data: choose the order id")
    at = _moment(cursor)
    if at is not None and at > now + FUTURE_TOLERANCE:
        raise UnusableCursor(
            f'the cursor "{column}" of a row is in the future, and rows before it would be lost: '
            "correct the row, or leave it out of the query"
        )
    return RowPosition(cursor=_text(cursor, "cursor"), key=text)


def _text(value: object, what: str) -> str:
    if isinstance(value, dt.datetime | dt.date):
        name = "datetime" if isinstance(value, dt.datetime) else "date"
        return f"{name}:{value.isoformat()}"
    if isinstance(value, int | str) and not isinstance(value, bool):
        return f"{type(value).__name__}:{value}"
    if isinstance(value, decimal.Decimal | uuid.UUID):
        # Drivers have subclasses of UUID.
        return f"{'uuid' if isinstance(value, uuid.UUID) else 'decimal'}:{value}"
    raise UnusableCursor(
        f"the {what} has the type {type(value).__name__}: choose a column of whole numbers, times "
        "or texts"
    )


def _value(text: str) -> object:
    name, _, rest = text.partition(":")
    return _READ[name](rest)


def _moment(value: object) -> int | None:
    """Return the time of a cursor in ms, if it is one."""
    if isinstance(value, str):
        at = read_moment(value, zone=dt.UTC)
        if not isinstance(at, Moment):
            return None
        value = dt.datetime.fromisoformat(at.text)
    if not isinstance(value, dt.date):
        return None
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
    return (aware - _EPOCH) // dt.timedelta(milliseconds=1)
