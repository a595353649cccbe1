"""Parse a time as exports spell it to ISO 8601 in UTC, or an error.

    2026-11-22T06:00:52Z   2026-11-22 06:00:52 +0000   2026-11-22T06:00:52.891+01:00
    1795327307   1795327307165   22.11.2026 06:00   2026/11/22 06:00   2026-11-22

`11/22/2026` and `22/11/2026` are not read: the order of day and month differs between countries,
and a file may hold both.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

import msgspec

from twite.domain.times import spelled
from twite.formats.files.findings import NOTES, RowFinding, shown

_MOMENT: Final = re.compile(
    r"(?:(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})"
    r"|(?P<day2>\d{1,2})\.(?P<month2>\d{1,2})\.(?P<year2>\d{4}))"
    r"(?:(?:[Tt]|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r"(?:\s?(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?)?",
    re.ASCII,
)
# The number of digits tells the unit for any time from 2001 to 2286.
_SECONDS: Final = 10
_MILLISECONDS: Final = 13
_EPOCH_TEXT: Final = re.compile(r"(\d{10}|\d{13}|\d{16})(?:\.(\d{1,9}))?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOON: Final = 12
_SLASHED: Final = re.compile(r"\d{1,2}[/-]\d{1,2}[/-]\d{2,4}.*", re.ASCII)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is UTC with milliseconds and `Z`."""

    text: str
    note: RowFinding | None = None


def read_moment(cell: str, *, zone: tzinfo | None, field: str = "time") -> Moment | RowFinding:
    """Read a cell that is not empty. `zone` applies to times without one."""
    plain = cell.strip()
    epoch = _EPOCH_TEXT.fullmatch(plain)
    if epoch is not None:
        return Moment(text=spelled(_milliseconds(epoch[1], epoch[2] or "")))
    parts = _MOMENT.fullmatch(plain)
    if parts is None:
        return _unread(plain, field)
    try:
        return _read(parts, zone, field)
    except ValueError:
        # An impossible date, an impossible offset, or a year outside 1 to 9999 in UTC.
        return _unread(plain, field)


def _milliseconds(digits: str, part: str) -> int:
    if len(digits) == _SECONDS:
        return int(digits) * 1_000 + int(part.ljust(3, "0")[:3])
    return int(digits) // (1 if len(digits) == _MILLISECONDS else 1_000)


def _read(parts: re.Match[str], zone: tzinfo | None, field: str) -> Moment | RowFinding:
    """Raises ValueError for an impossible date or time."""
    at = _local(parts)
    if parts["zone"] is not None:
        return _moment(at.replace(tzinfo=_zone(parts["zone"])))
    if zone is None:
        return RowFinding(
            field=field,
            code="not_a_time",
            message=f"{shown(parts.string)} names no time zone: use --timezone, as in --timezone "
            "Europe/London, or end it with Z (UTC) or an offset such as +01:00",
        )
    return _moment(at.replace(tzinfo=zone), _notes(at, zone, parts["hour"] is None, field))


def _local(parts: re.Match[str]) -> datetime:
    named = parts.groupdict()
    return datetime(  # noqa: DTZ001 — the caller knows the zone
        int(named["year"] or named["year2"]),
        int(named["month"] or named["month2"]),
        int(named["day"] or named["day2"]),
        _NOON if named["hour"] is None else int(named["hour"]),
        int(named["minute"] or 0),
        int(named["second"] or 0),
        int((named["part"] or "").ljust(6, "0")[:6]),
    )


def _zone(text: str) -> tzinfo:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-offset if text[0] == "-" else offset)


def _moment(at: datetime, note: RowFinding | None = None) -> Moment:
    return Moment(text=spelled((at - _EPOCH) // timedelta(milliseconds=1)), note=note)


def _notes(at: datetime, zone: tzinfo, dateless: bool, field: str) -> RowFinding | None:  # noqa: FBT001
    if dateless:
        code = "time_of_day_missing"
    elif at.replace(tzinfo=zone).utcoffset() != at.replace(tzinfo=zone, fold=1).utcoffset():
        code = "clock_change"
    else:
        return None
    return RowFinding(field=field, code=code, message=NOTES[code])


def _unread(text: str, field: str) -> RowFinding:
    message = f"{shown(text)} is not a time with a zone, as in 2026-11-24T10:00:00Z"
    if _SLASHED.fullmatch(text):
        message = f"{shown(text)} may have day or month first: write it as in 2026-11-24T10:00:00Z"
    return RowFinding(field=field, code="not_a_time", message=message)
