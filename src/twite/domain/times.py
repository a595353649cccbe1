"""Times as whole milliseconds since the Unix epoch (UTC), and their ISO 8601 form."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from twite.domain.fault import Fault, fault

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

# If a timer is later than this, the process stood still, for example because of SIGSTOP. Responses
# that arrived meanwhile are read for at most READING_TIME before a request fails.
LATE_TIMER: Final = 500
READING_TIME: Final = 5 * SECOND

# A shop's clock may be wrong. No mistake with time zones exceeds a day.
FUTURE_TOLERANCE: Final = DAY

# The time zones in X's general API documentation: Z, ±HHMM, ±HH:MM, ±HH. [doc FUND timezones]
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-9]{2}"
    r"(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?:[Zz]|[+-][0-9]{2}(?::?[0-5][0-9])?)",
    re.ASCII,
)
# The usual form consists of date, hour and minute, then seconds (`:59`), then `.999Z` or `Z`.
_USUAL_MINUTE: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII
)
_SECONDS: Final = tuple(f":{number:02d}" for number in range(60))
_ENDS: Final = tuple(f".{number:03d}Z" for number in range(SECOND))
_MS_OF_SECONDS: Final = {text: number * SECOND for number, text in enumerate(_SECONDS)}
_MS_OF_END: Final = {"Z": 0} | {text: number for number, text in enumerate(_ENDS)}
# The years 1 to 9999 in UTC, which ISO 8601 can express.
_EARLIEST: Final = -62_135_596_800_000
LATEST: Final = 253_402_300_799_999
_DAYS_AGO: Final = {"today": 0, "yesterday": 1}
_SPAN: Final = re.compile(r"([0-9]{1,5})([mhd])", re.ASCII)
_UNITS: Final = {"m": MINUTE, "h": HOUR, "d": DAY}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NO_LIMIT: Final = (
    "not a time: write today, yesterday, a span such as 2h or 7d, a day such as 2026-11-24, or a "
    "time with a zone, such as 2026-11-24T10:00:00Z"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str, *, now: int, path: str) -> int | Fault:
    """Convert a time with a zone to milliseconds, rounded down.

    `now` is in milliseconds. A time without a zone is a fault, because X rejects it [doc WEB]; so
    are the hour 24 and the second 60.
    """
    seconds, rest = _MS_OF_SECONDS.get(text[16:19]), _MS_OF_END.get(text[19:])
    if seconds is not None and rest is not None:
        # Many conversions fall into the same minute, so minutes are cached.
        minute = _read_minute(text[:16])
        if minute is not None:
            ms = minute + seconds + rest
            return fault(path, "time_in_future") if ms > now + FUTURE_TOLERANCE else ms
    if not _MOMENT.fullmatch(text):
        return fault(path, "not_a_time", _complaint(text))
    try:
        at = datetime.fromisoformat(text.upper())
    except ValueError:
        return fault(path, "not_a_time", _complaint(text))
    since = at - _EPOCH
    ms = (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
    if not _EARLIEST <= ms <= LATEST:
        return fault(path, "not_a_time", "a time outside the years 1 to 9999")
    if ms > now + FUTURE_TOLERANCE:
        return fault(path, "time_in_future")
    return ms


def time_limit(text: str, *, now: int, path: str) -> int | Fault:
    """Read a time as people write it: a word, a span before `now`, a UTC day, or a moment.

    The words are `today` and `yesterday`, for midnight UTC. A span is such as `90m`, `2h` or `7d`.
    """
    if text in _DAYS_AGO:
        return (now // DAY - _DAYS_AGO[text]) * DAY
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now - int(span[1]) * _UNITS[span[2]]
    if _DAY.fullmatch(text):
        text = f"{text}T00:00Z"
    read = moment(text, now=now, path=path)
    if isinstance(read, Fault) and read.code == "not_a_time":
        return fault(path, "not_a_time", _NO_LIMIT)
    return read


@lru_cache(maxsize=4_096)
def _read_minute(text: str) -> int | None:
    if _USUAL_MINUTE.fullmatch(text) is None:
        return None
    try:
        return int(datetime.fromisoformat(f"{text}:00+00:00").timestamp()) * SECOND
    except ValueError:
        return None


def spelled(ms: int) -> str:
    """Return a time in the form of X's validator: UTC, three digits of milliseconds, `Z`."""
    minute, rest = divmod(ms, MINUTE)
    return f"{_spelled_minute(minute)}{_SECONDS[rest // SECOND]}{_ENDS[rest % SECOND]}"


@lru_cache(maxsize=4_096)
def _spelled_minute(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).isoformat()[:16]


def _complaint(text: str) -> str:
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.,]+", text, re.ASCII):
        return "a time without a zone: end it with Z (UTC) or an offset such as +01:00"
    return "not a time with a zone, such as 2026-11-24T10:00:00.000Z"
