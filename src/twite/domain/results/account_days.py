"""Days of an ads account: from midnight to midnight in its time zone, 23 to 25 hours long."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.times import DAY, HOUR, SECOND

_ONE: Final = timedelta(days=1)


class Granularity(StrEnum):
    """The length of X's figures in a series, as X spells it."""

    DAY = "DAY"
    HOUR = "HOUR"


class AccountDay(msgspec.Struct, frozen=True, order=True):
    """A day such as 2026-11-01, and its limits: `start <= time < end` (ms)."""

    day: str
    start: int
    end: int

    @property
    def hours(self) -> int:
        """Its number of hours, rounded up."""
        return -(-(self.end - self.start) // HOUR)


def account_day(day: date, zone: tzinfo) -> AccountDay:
    return AccountDay(
        day=day.isoformat(), start=_midnight(day, zone), end=_midnight(day + _ONE, zone)
    )


def day_at(at: int, zone: tzinfo) -> date:
    """Return the day that contains a time (ms)."""
    return datetime.fromtimestamp(at / SECOND, UTC).astimezone(zone).date()


def days_until(now: int, count: int, zone: tzinfo) -> list[AccountDay]:
    """Return the last `count` days in order; the last one contains `now`."""
    last = day_at(now, zone)
    return [account_day(last - _ONE * ago, zone) for ago in range(count - 1, -1, -1)]


def blocks(days: Iterable[AccountDay], *, most: int) -> list[Sequence[AccountDay]]:
    """Split days into ranges without gaps that last at most `most` times 24 hours.

    A week with a day of 25 hours is longer than X's limit, so such a range has a day less.
    """
    found: list[list[AccountDay]] = []
    for day in sorted(days):
        last = found[-1] if found else None
        if last and last[-1].end == day.start and day.end - last[0].start <= most * DAY:
            last.append(day)
        else:
            found.append([day])
    return list(found)


def granularity_of(days: Sequence[AccountDay], *, now: int, zone: tzinfo) -> Granularity:
    """Return in which parts to ask X for some days.

    X's pages contradict each other about midnight on days before the last change of the clocks:
    by one, it has the offset of the day in question, by the other, that of today. Hours are asked
    for where the two differ, because an hour is the same by both.
    """
    today = _offset(now, zone)
    is_same = all(_offset(at, zone) == today for day in days for at in (day.start, day.end))
    has_hours = all((day.end - day.start) % HOUR == 0 for day in days)
    return Granularity.DAY if is_same or not has_hours else Granularity.HOUR


def spelled_hour(at: int, zone: tzinfo = UTC) -> str:
    """Return a time in ISO 8601 as X accepts it: whole hours.

    It is in UTC, unless the zone's offset has a part of an hour.
    """
    utc = datetime.fromtimestamp(at / SECOND, UTC)
    if at % HOUR == 0:
        return utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    return utc.astimezone(zone).isoformat()


def _offset(at: int, zone: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(at / SECOND, UTC).astimezone(zone).utcoffset()


def _midnight(day: date, zone: tzinfo) -> int:
    # In a zone whose clocks skip midnight, this is the first time of the day.
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(local.timestamp()) * SECOND
