"""Until when new rows may get a cursor: a time may be local, a date lasts a day, clocks differ."""

import datetime as dt
import decimal
from typing import Final

from twite.domain.times import HOUR
from twite.formats.files.cells import Moment, read_moment

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND: Final = dt.timedelta(milliseconds=1)
# Where a local time without a known zone is last.
_LAST_ZONE: Final = dt.timezone(-dt.timedelta(hours=12))
_UTC_ENDINGS: Final = ("Z", "z", "UTC", "GMT", "+00:00", "+0000", "+00")


def settled_at(cursor: object, zone: dt.tzinfo | None) -> int:
    """Return the time (ms) after which no new row should have this cursor or an earlier one.

    It is 0 if the cursor is no time. `zone` is that of times without one; None if it is unknown.
    """
    if isinstance(cursor, int | decimal.Decimal) and not isinstance(cursor, bool):
        return _of_number(cursor)
    if isinstance(cursor, str):
        return _of_text(cursor, zone)
    if isinstance(cursor, dt.datetime):
        return _of_local(cursor, zone) if cursor.tzinfo is None else _milliseconds(cursor)
    return _of_date(cursor, zone) if isinstance(cursor, dt.date) else 0


def _of_number(number: int | decimal.Decimal) -> int:
    """Return the time if the number may be one: seconds since 1970, or a part of a second.

    A number that only looks like a time costs nothing but memory.
    """
    if not decimal.Decimal(number).is_finite():
        return 0
    at = read_moment(str(int(number)), zone=None)
    return _of_utc(at) if isinstance(at, Moment) else 0


def _of_text(text: str, zone: dt.tzinfo | None) -> int:
    """Return the time of a text. Texts are ordered by their local times, whatever the offset."""
    at = read_moment(text, zone=None)
    if isinstance(at, Moment):
        is_utc = text.strip().isdecimal() or text.strip().endswith(_UTC_ENDINGS)
        # When clocks go back, an hour of local times comes again.
        return _of_utc(at) + (0 if is_utc else HOUR)
    local = read_moment(text, zone=dt.UTC)
    if not isinstance(local, Moment):
        return 0
    found = dt.datetime.fromisoformat(local.text).replace(tzinfo=None)
    return _of_date(found, zone) if local.finding is not None else _of_local(found, zone)


def _of_utc(moment: Moment) -> int:
    return _milliseconds(dt.datetime.fromisoformat(moment.text))


def _of_date(day: dt.date, zone: dt.tzinfo | None) -> int:
    return _of_local(dt.datetime(day.year, day.month, day.day, 23, 59, 59, 999_999), zone)  # noqa: DTZ001  # local


def _of_local(local: dt.datetime, zone: dt.tzinfo | None) -> int:
    """Return the last time at which clocks show a local time."""
    both = (local.replace(tzinfo=zone or _LAST_ZONE, fold=fold) for fold in (0, 1))
    return max(map(_milliseconds, both))


def _milliseconds(at: dt.datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND
