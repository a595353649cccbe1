"""Time ranges as people say them, in the viewer's time zone."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec

from twite.console.page import FormData
from twite.domain.times import HOUR, MINUTE, SECOND

# The names of the field `when`, with their titles, in the order of the choice.
RANGES: Final[Mapping[str, str]] = {
    "hour": "Last hour",
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "Last 7 days",
    "last-week": "Last week",
    "30d": "Last 30 days",
    "all": "All",
}
FIELDS: Final = ("when", "from", "to")
UNREADABLE: Final = "Write dates as YYYY-MM-DD or YYYY-MM-DDTHH:MM, between 2000 and 2099."
REVERSED: Final = "The start of the time range is after its end."
_DAY_SPANS: Final = {"7d": 7, "30d": 30}
_DATE: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_MINUTE: Final = re.compile(_DATE.pattern + r"T[0-9]{2}:[0-9]{2}")
# English, whatever the locale of the process.
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


class TimeRange(msgspec.Struct, frozen=True, kw_only=True):
    """A half-open range in milliseconds. None as a limit is open.

    `name` is a key of RANGES, or "" for a range of the fields `from` and `to`, which are kept as
    typed. `problem` says what is wrong with them; the range is then the page's default. `label` is
    what happened in the range.
    """

    name: str
    since: int | None
    until: int | None = None
    typed_from: str = ""
    typed_to: str = ""
    problem: str = ""
    label: str = "Received"

    @property
    def title(self) -> str:
        if self.name:
            return RANGES[self.name]
        words = [("from", self.typed_from), ("to", self.typed_to)]
        said = " ".join(f"{word} {text.replace('T', ' ')}" for word, text in words if text)
        return said[:1].upper() + said[1:]

    @property
    def query(self) -> str:
        """The fields of a URL that choose this range."""
        if self.name:
            return urlencode({"when": self.name})
        typed = [("from", self.typed_from), ("to", self.typed_to)]
        return urlencode([pair for pair in typed if pair[1]], safe=":")


def minute_of(ms: int | None, zone: ZoneInfo) -> str:
    """Return a time as a field of a form takes it, such as 2026-11-25T10:30; "" for None."""
    return "" if ms is None else f"{local(ms, zone):%Y-%m-%dT%H:%M}"


def span_query(since: int, until: int | None, zone: ZoneInfo) -> str:
    """Return the fields of a URL for the time from `since` up to `until`, in milliseconds."""
    typed = {"from": minute_of(since, zone)}
    typed |= {} if until is None else {"to": minute_of(until, zone)}
    return urlencode(typed, safe=":")


def local(ms: int, zone: ZoneInfo) -> datetime:
    """Return a time in a zone. Raises OverflowError for years outside 1 to 9999."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)


def day_start(day: date, zone: ZoneInfo) -> int:
    """Return the first moment of a day in a zone: days have 23, 24 or 25 hours."""
    return _moment(datetime.combine(day, time()), zone)


def day_name(day: date) -> str:
    """Format a day, such as 25 Nov, whatever the locale."""
    return f"{day.day} {_MONTHS[day.month - 1]}"


def time_range_of(form: FormData, *, zone: ZoneInfo, now: int, default: str = "7d") -> TimeRange:
    """Read the fields `when`, or `from` and `to`, of a query string."""
    typed_from, typed_to = form.first("from").strip(), form.first("to").strip()
    if not (typed_from or typed_to):
        name = form.first("when")
        return named(name if name in RANGES else default, zone=zone, now=now)
    since = _typed(typed_from, zone, is_end=False) if typed_from else None
    until = _typed(typed_to, zone, is_end=True) if typed_to else None
    problem = ""
    if (typed_from and since is None) or (typed_to and until is None):
        problem = UNREADABLE
    elif since is not None and until is not None and since >= until:
        problem = REVERSED
    if problem:
        kept = {"typed_from": typed_from[:16], "typed_to": typed_to[:16], "problem": problem}
        return msgspec.structs.replace(named(default, zone=zone, now=now), **kept)
    return TimeRange(name="", since=since, until=until, typed_from=typed_from, typed_to=typed_to)


def named(name: str, *, zone: ZoneInfo, now: int) -> TimeRange:
    """Return the range with a name of RANGES. Weeks begin on Monday, as in ISO 8601."""
    today = local(now, zone).date()
    since: int | None = None
    until: int | None = None
    if name == "hour":
        since = now // MINUTE * MINUTE - HOUR
    elif name == "today":
        since = day_start(today, zone)
    elif name == "yesterday":
        since, until = day_start(today - timedelta(days=1), zone), day_start(today, zone)
    elif name == "last-week":
        monday = today - timedelta(days=today.weekday())
        since = day_start(monday - timedelta(days=7), zone)
        until = day_start(monday, zone)
    elif name in _DAY_SPANS:
        since = day_start(today - timedelta(days=_DAY_SPANS[name] - 1), zone)
    return TimeRange(name=name, since=since, until=until)


def _typed(text: str, zone: ZoneInfo, *, is_end: bool) -> int | None:
    """Return the moment of a date or a minute; None if unreadable. An end date is included."""
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return day_start(day + timedelta(days=1) if is_end else day, zone)
        if _MINUTE.fullmatch(text):
            wall = datetime.fromisoformat(text)
            return _moment(wall, zone, is_last=is_end)
    except ValueError:
        return None
    return None


def _moment(wall: datetime, zone: ZoneInfo, *, is_last: bool = False) -> int:
    """Return the moment of a clock time: if it exists twice, the first or the last one.

    A clock time that a change of the clocks skips is read by the offset before the change.
    """
    first, second = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    moment = max(first.timestamp(), second.timestamp()) if is_last else first.timestamp()
    return round(moment) * SECOND
