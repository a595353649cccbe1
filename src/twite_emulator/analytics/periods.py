"""Times of requests for statistics, and the buckets between them."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from twite_emulator.exchange import Problem
from twite_emulator.fields import invalid
from twite_emulator.switches import Switches

HOUR: Final = 3600
DAY: Final = 24 * HOUR
INVALID_TIME_WINDOW: Final = "INVALID_TIME_WINDOW"  # [doc FUND] for the code
# The messages are [guess], except the beginning of the first. [doc FUND error-codes]
_NOT_A_TIME: Final = 'Expected time, got "{value}" for {parameter}'
_NOT_AN_HOUR: Final = "{parameter} ({value}) must be expressed in whole hours"
_NOT_MIDNIGHT: Final = "{parameter} ({value}) must be midnight in the time zone of the account"
_NO_TIME_BETWEEN: Final = "end_time must be after start_time"
_TOO_LONG: Final = "The time range must not exceed {days} days"
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
)


class Period(Struct, frozen=True, kw_only=True):
    """A range of time, in epoch seconds; `end` is exclusive. `zone` is the account's."""

    start: float
    end: float
    zone: ZoneInfo

    def edges(self, granularity: str, switches: Switches) -> list[float]:
        """Return the ends of the buckets: one more than there are buckets."""
        if granularity == "TOTAL":
            return [self.start, self.end]
        if granularity == "HOUR" or switches.day_alignment == "today":
            step = HOUR if granularity == "HOUR" else DAY
            number = round((self.end - self.start) / step)
            return [self.start + step * place for place in range(number + 1)]
        return [midnight(day, self.zone) for day in self.days()] + [self.end]

    def days(self) -> list[date]:
        """Return the days of the account's time zone that the period touches."""
        day, last = day_of(self.start, self.zone), day_of(self.end - 1, self.zone)
        return [day + timedelta(place) for place in range((last - day).days + 1)]


@lru_cache(1_024)
def midnight(day: date, zone: ZoneInfo) -> float:
    """Return the beginning of a day, in epoch seconds."""
    return datetime.combine(day, time(), zone).timestamp()


def day_of(at: float, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at, zone).date()


@lru_cache(1_024)
def hours_of(day: date, zone: ZoneInfo) -> tuple[float, ...]:
    """Return the beginnings of the hours of a day: 23 to 25 of them, in epoch seconds."""
    start, end = midnight(day, zone), midnight(day + timedelta(1), zone)
    return tuple(start + HOUR * place for place in range(max(1, round((end - start) / HOUR))))


def read_period(
    pairs: Mapping[str, str],
    zone: ZoneInfo,
    *,
    granularity: str,
    days: int,
    at: float,
    switches: Switches,
) -> Period | list[Problem]:
    """Read `start_time` and `end_time`, and check their alignment and distance.

    A date without a time is midnight in the account's time zone. [doc]
    """
    is_midnight = _midnight_check(zone, granularity, at, switches)
    problems: list[Problem] = []
    found: dict[str, float] = {}
    for name in ("start_time", "end_time"):
        moment = _moment(name, pairs[name], zone)
        if isinstance(moment, Problem):
            problems.append(moment)
            continue
        # A whole hour as it was written, or in the account's zone: some zones are at half hours.
        if all(when.minute or when.second for when in (moment, moment.astimezone(zone))):
            problems.append(invalid(_NOT_AN_HOUR, name, pairs[name]))
        elif not is_midnight(moment):
            problems.append(invalid(_NOT_MIDNIGHT, name, pairs[name]))
        found[name] = moment.timestamp()
    if problems:
        return problems
    period = Period(start=found["start_time"], end=found["end_time"], zone=zone)
    if period.end <= period.start:
        return [Problem(INVALID_TIME_WINDOW, _NO_TIME_BETWEEN, "end_time")]
    if _is_too_long(period, days, switches):
        return [Problem(INVALID_TIME_WINDOW, _TOO_LONG.format(days=days), "end_time")]
    return period


def read_hours(pairs: Mapping[str, str], zone: ZoneInfo, *, days: int) -> Period | list[Problem]:
    """Read the times of a request for active entities, and widen them to whole hours.

    X documents both whole hours and times such as 00:15. [conflict]
    """
    problems: list[Problem] = []
    found: list[float] = []
    for name in ("start_time", "end_time"):
        moment = _moment(name, pairs[name], zone)
        if isinstance(moment, Problem):
            problems.append(moment)
        else:
            found.append(moment.timestamp())
    if problems:
        return problems
    start, end = found[0] // HOUR * HOUR, -(-found[1] // HOUR) * HOUR
    if end <= start:
        return [Problem(INVALID_TIME_WINDOW, _NO_TIME_BETWEEN, "end_time")]
    if found[1] - found[0] > days * DAY:
        return [Problem(INVALID_TIME_WINDOW, _TOO_LONG.format(days=days), "end_time")]
    return Period(start=start, end=end, zone=zone)


def _moment(name: str, text: str, zone: ZoneInfo) -> datetime | Problem:
    try:
        if _DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time(), zone)
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    return invalid(_NOT_A_TIME, name, text)


def _midnight_check(
    zone: ZoneInfo, granularity: str, at: float, switches: Switches
) -> Callable[[datetime], bool]:
    """Return whether a time is where a day begins; always true if the granularity needs no day."""
    if granularity == "HOUR" or (granularity == "TOTAL" and switches.total_alignment == "hour"):
        return lambda _: True
    if switches.day_alignment == "today":
        # "The offset of the current day, not the offset of the day in question". [doc FUND
        # timezones; conflicts with the page on analytics]
        offset = datetime.fromtimestamp(at, zone).utcoffset() or timedelta()
        return lambda moment: (moment.astimezone(UTC) + offset).time() == time()
    return lambda moment: moment.timestamp() == midnight(moment.astimezone(zone).date(), zone)


def _is_too_long(period: Period, days: int, switches: Switches) -> bool:
    if switches.stats_range == "days":
        return len(period.days()) > days
    return period.end - period.start > days * DAY
