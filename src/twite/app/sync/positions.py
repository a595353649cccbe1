"""Positions in the rows of a query: the values of the cursor and the key, as texts that last.

A run reads the rows after the stored position. The position moves past a row some time after the
row was read, and after its cursor: until then, the row is remembered, and skipped. So a transaction
that commits late, with an earlier cursor, is still found, and a row with a wrong time hides no
other.
"""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from twite.app.sync.cursor_times import settled_at
from twite.domain.errors import ClientError
from twite.redaction.scrub_text import names_a_person

# Rows that are remembered. Of rows whose cursors are later than now, more are remembered.
MOST_RECENT: Final = 4_000
MOST_AHEAD: Final = 20_000

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
_SAME: Final = "two rows have the same cursor and key: choose a key that is different in each row"
# A number later than now may be no time.
_NUMBERS: Final = ("int:", "decimal:")


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
    """A row that was read. `at` (ms) is when, or the time of its cursor if that is later."""

    at: int
    position: RowPosition


class QueryProgress(msgspec.Struct, frozen=True, kw_only=True):
    """`position` is that of the last row that is no longer read; `recent` are later rows."""

    position: RowPosition | None = None
    recent: tuple[ReadRow, ...] = ()

    def trimmed(self, *, now: int, begin: int, look_back: int) -> "QueryProgress":
        """Move the position past the rows that were read before. Raises UnusableCursor.

        The run began at `begin` (ms): a row that it read itself stays, however long it lasts.
        """
        last = 0
        spare = len(self.recent) - MOST_RECENT
        for place, row in enumerate(self.recent, 1):
            may_go = row.at <= now or row.position.cursor.startswith(_NUMBERS)
            if row.at < begin - look_back or (place <= spare and may_go):
                last = place
        if len(self.recent) - last > MOST_AHEAD:
            raise UnusableCursor(
                f"more than {MOST_AHEAD:,} rows have a cursor that is later than now. Correct "
                "them, or set timezone if the cursor is a local time"
            )
        if not last:
            return self
        return QueryProgress(position=self.recent[last - 1].position, recent=self.recent[last:])


class ReadPositions(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a page, up to the first that has no position, and why it has none."""

    found: list[ReadRow]
    unusable: UnusableCursor | None = None


def column_places(header: Sequence[str], *columns: str) -> tuple[int, ...]:
    """Return the places of columns, whose names may differ in case. Raises ClientError."""
    places = []
    for column in columns:
        found = [place for place, name in enumerate(header) if name == column] or [
            place for place, name in enumerate(header) if name.casefold() == column.casefold()
        ]
        if len(found) != 1:
            raise ClientError(
                f'the query has {"no" if not found else "more than one"} column "{column}". '
                f"Its columns: {', '.join(header)}"
            )
        places += found
    return tuple(places)


def read_positions(
    rows: Sequence[Sequence[object]], places: tuple[int, ...], *, now: int, zone: dt.tzinfo | None
) -> ReadPositions:
    """Return the positions of rows whose cursor and key are at the two places."""
    found: list[ReadRow] = []
    cursor, key = places
    for row in rows:
        try:
            position = position_of(row[cursor], row[key])
        except UnusableCursor as error:
            return ReadPositions(found=found, unusable=error)
        if found and found[-1].position == position:
            return ReadPositions(found=found, unusable=UnusableCursor(_SAME))
        found.append(ReadRow(max(now, settled_at(row[cursor], zone)), position))
    return ReadPositions(found=found)


def position_of(cursor: object, key: object) -> RowPosition:
    """Return the position of a row. Raises UnusableCursor."""
    if key is None:
        raise UnusableCursor(
            "the key of a row is NULL: choose a column that is different in each row"
        )
    text = _text(key, "key")
    if names_a_person(str(key)):
        raise UnusableCursor("the key contains personal data: choose the order id")
    if names_a_person(str(cursor)):
        raise UnusableCursor("the cursor contains personal data: choose a time or a number")
    return RowPosition(cursor=_text(cursor, "cursor"), key=text)


def _text(value: object, what: str) -> str:
    if isinstance(value, dt.datetime | dt.date):
        name = "datetime" if isinstance(value, dt.datetime) else "date"
        return f"{name}:{value.isoformat()}"
    if isinstance(value, int | str) and not isinstance(value, bool):
        return f"{type(value).__name__}:{value}"
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        raise UnusableCursor(f"the {what} of a row is no finite number: it would hide later rows")
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
