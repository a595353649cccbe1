"""Parse cells of a file: amounts as people and spreadsheets write them, and times.

    12.50   12,50   1,234.50   1.234,50   1 234,50   1'234.50   GBP 55.45   55.45 €   -5.00   (5.00)

A comma or dot before exactly three digits (`1,234`) is ambiguous: decimals or thousands. It is read
only if something settles the question: a second separator, the currency's number of decimals, or
`--decimal`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from twite.domain.conversion import CURRENCIES, DECIMALS
from twite.domain.times import spelled
from twite.formats.files.findings import NOTES, RowFinding, shown

Decimal = Literal["comma", "point"]

# Symbols that stand for exactly one currency, unlike $ and ¥.
_SIGNS: Final[Mapping[str, str]] = MappingProxyType(
    {"€": "EUR", "£": "GBP", "₹": "INR", "₺": "TRY", "₩": "KRW", "₫": "VND", "₴": "UAH", "₪": "ILS"}
)
# Currencies without the sign $, of those that shops use most, and all with the sign ¥.
_NO_DOLLARS: Final = frozenset({*_SIGNS.values(), "JPY", "CNY", "CHF"})
_YEN_OR_YUAN: Final = frozenset({"JPY", "CNY"})
_NAMED: Final = re.compile(r"(?:([A-Za-z]{3})\s*)?([^A-Za-z]+?)(?:\s*([A-Za-z]{3}))?")
_DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_MARKED: Final = re.compile(r"(?=.{3,40}$)[0-9]{1,18}(?:[.,][0-9]{1,18})+", re.ASCII)
_POINTED: Final = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}", re.ASCII)
_SPACES: Final = re.compile(r"(?<=[0-9])[ \u00a0\u2009\u202f'\u2019](?=[0-9]{3}(?![0-9]))")
_THREE: Final = 3
_MOMENT: Final = re.compile(
    r"(?:(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})"
    r"|(?P<day2>\d{1,2})\.(?P<month2>\d{1,2})\.(?P<year2>\d{4}))"
    r"(?:(?:[Tt]|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r"(?:\s?(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?)?",
    re.ASCII,
)
# For times from 2001 to 2286, the number of digits determines the unit.
_SECONDS_DIGITS: Final = 10
_MILLISECONDS_DIGITS: Final = 13
_EPOCH_TEXT: Final = re.compile(r"(\d{10}|\d{13}|\d{16})(?:\.(\d{1,9}))?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOON: Final = 12
_SLASHED: Final = re.compile(r"\d{1,2}[/-]\d{1,2}[/-]\d{2,4}.*", re.ASCII)


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is a decimal string such as 1234.50; `currency` is the currency in the cell, if any.

    `sign` is a sign of several currencies, $ or ¥. `reread` says whether the text was interpreted
    rather than copied.
    """

    text: str
    currency: str | None = None
    sign: str = ""
    reread: bool = False

    def excludes(self, code: str) -> bool:
        """Return whether the amount has the sign of another currency."""
        if not self.sign:
            return False
        return code in _NO_DOLLARS if self.sign == "$" else code not in _YEN_OR_YUAN


def read_amount(cell: str, *, currency: str | None, decimal: Decimal | None) -> Amount | RowFinding:
    """Read a cell that is not empty. `currency` is the code in the currency column, upper-case."""
    plain = cell.strip()
    if _POINTED.fullmatch(plain) and not _may_be_grouped(plain):
        return Amount(text=plain)
    named, number = _apart(plain)
    if named and currency and named != currency:
        message = (
            f"the amount contains {named}, but the currency column contains {currency}: correct "
            "one of them"
        )
        return RowFinding("value", "currency_conflict", message)
    number, below_zero = _unsigned(number)
    text = _number(number, decimal=decimal, currency=named or currency or "")
    if text is None:
        return RowFinding(
            "value", "not_an_amount", f"{shown(cell)} is not an amount: write it like 49.90"
        )
    if text == "":
        return _ambiguous(cell, number)
    if below_zero and text.strip("0."):
        message = f"{shown(cell)} is below zero: a refund is not a conversion"
        return RowFinding("value", "amount_negative", message)
    sign = next((sign for sign in "$¥" if sign in plain), "")
    return Amount(text=text, currency=named, sign=sign, reread=text != plain)


def _ambiguous(cell: str, number: str) -> RowFinding:
    grouped = re.sub("[,.]", "", number)
    pointed = number.replace(",", ".")
    message = (
        f"{shown(cell)} may mean {grouped} or {pointed}: use --decimal comma or --decimal point"
    )
    return RowFinding("value", "amount_ambiguous", message)


def _apart(text: str) -> tuple[str | None, str]:
    """Split a currency from its number: `GBP 55.45`, `55.45 gbp`, `€55`.

    `$` is removed, but names no currency.
    """
    for sign, code in _SIGNS.items():
        if sign in text:
            return code, text.replace(sign, "", 1).strip()
    text = text.replace("$", "", 1).replace("¥", "", 1).strip()
    parts = _NAMED.fullmatch(text)
    if parts is None:
        return None, text
    before, number, after = parts.groups()
    code = (before or after or "").upper()
    # A word that is not a currency makes the whole cell invalid.
    if (before and after) or (code and code not in CURRENCIES):
        return None, text
    return code or None, number.strip()


def _unsigned(number: str) -> tuple[str, bool]:
    """Separate the sign: -5, 5- (as accounting systems export it), (5)."""
    if number.startswith("(") and number.endswith(")"):
        return number[1:-1].strip(), True
    if number[:1] in {"-", "\u2212"}:
        return number[1:].strip(), True
    if number.endswith("-"):
        return number[:-1].strip(), True
    return number.removeprefix("+").strip(), False


def _number(number: str, *, decimal: Decimal | None, currency: str) -> str | None:
    """Return a decimal string, "" if it is ambiguous, None if it is not a number."""
    number = _SPACES.sub("", number)
    if _DIGITS.fullmatch(number):
        return number
    if not _MARKED.fullmatch(number):
        return None
    marks = re.sub("[0-9]", "", number)
    whole, _, decimals = number.rpartition(marks[-1])
    if len(marks) == 1:
        if not _may_be_grouped(number):
            return f"{whole}.{decimals}"
        return _settled(whole, decimals, marks, decimal=decimal, currency=currency)
    if len(set(marks)) == 1:
        return _ungrouped(number)
    # Two kinds of separator: the last one, if it occurs once, is the decimal separator.
    plain = _ungrouped(whole) if marks.count(marks[-1]) == 1 else None
    return None if plain is None else f"{plain}.{decimals}"


def _settled(
    whole: str, decimals: str, mark: str, *, decimal: Decimal | None, currency: str
) -> str:
    if decimal is not None:
        pointed = mark == ("," if decimal == "comma" else ".")
    elif DECIMALS.get(currency) == 0:
        pointed = False
    elif DECIMALS.get(currency) == _THREE and mark == ".":
        pointed = True
    else:
        return ""
    return f"{whole}.{decimals}" if pointed else whole + decimals


def _may_be_grouped(number: str) -> bool:
    """Whether the single mark could be a thousands separator: 1 to 3 digits, mark, 3 digits."""
    whole, _, decimals = number.replace(",", ".").rpartition(".")
    return len(decimals) == _THREE and 0 < len(whole) <= _THREE and whole[0] != "0"


def _ungrouped(number: str) -> str | None:
    """Remove the thousands separators, including India's groups of two."""
    if _DIGITS.fullmatch(number):
        return number
    groups = re.split("[,.]", number)
    first, *inner, last = groups
    marks = set(re.findall("[,.]", number))
    sizes_fit = len(last) == _THREE and all(len(group) in {2, 3} for group in inner)
    if len(marks) != 1 or not 0 < len(first) <= _THREE or not sizes_fit:
        return None
    return "".join(groups)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is UTC with milliseconds and `Z`."""

    text: str
    finding: RowFinding | None = None


def read_moment(cell: str, *, zone: tzinfo | None) -> Moment | RowFinding:
    """Parse a time in a form that exports use, and convert it to UTC.

    `zone` applies to times without a zone. `11/22/2026` and `22/11/2026` are refused: the order of
    day and month differs between countries.
    """
    plain = cell.strip()
    epoch = _EPOCH_TEXT.fullmatch(plain)
    if epoch is not None:
        return Moment(text=spelled(_milliseconds(epoch[1], epoch[2] or "")))
    parts = _MOMENT.fullmatch(plain)
    if parts is None:
        return _unread(plain)
    try:
        return _read(parts, zone)
    except ValueError:
        # The date or offset does not exist, or the year is outside 1 to 9999 in UTC.
        return _unread(plain)


def _milliseconds(digits: str, part: str) -> int:
    if len(digits) == _SECONDS_DIGITS:
        return int(digits) * 1_000 + int(part.ljust(3, "0")[:3])
    return int(digits) // (1 if len(digits) == _MILLISECONDS_DIGITS else 1_000)


def _read(parts: re.Match[str], zone: tzinfo | None) -> Moment | RowFinding:
    at = _local(parts)
    if parts["zone"] is not None:
        return _moment(at.replace(tzinfo=_zone(parts["zone"])))
    if zone is None:
        return RowFinding(
            field="time",
            code="not_a_time",
            message=f"{shown(parts.string)} has no time zone: use --timezone, such as --timezone "
            "Europe/London, or end it with Z (UTC) or an offset such as +01:00",
        )
    return _moment(at.replace(tzinfo=zone), _notes(at, zone, parts["hour"] is None))


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


def _moment(at: datetime, finding: RowFinding | None = None) -> Moment:
    return Moment(text=spelled((at - _EPOCH) // timedelta(milliseconds=1)), finding=finding)


def _notes(at: datetime, zone: tzinfo, dateless: bool) -> RowFinding | None:  # noqa: FBT001
    if dateless:
        code = "time_of_day_missing"
    elif at.replace(tzinfo=zone).utcoffset() != at.replace(tzinfo=zone, fold=1).utcoffset():
        code = "clock_change"
    else:
        return None
    return RowFinding(field="time", code=code, message=NOTES[code])


def _unread(text: str) -> RowFinding:
    message = f"{shown(text)} is not a time with a zone, such as 2026-11-24T10:00:00Z"
    if _SLASHED.fullmatch(text):
        message = f"{shown(text)} is ambiguous: write it like 2026-11-24T10:00:00Z"
    return RowFinding(field="time", code="not_a_time", message=message)
