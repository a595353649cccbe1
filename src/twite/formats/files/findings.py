"""Findings about a row of a file, and orders that occur twice."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from types import MappingProxyType
from typing import Final
from zlib import crc32

import msgspec

from twite.domain.conversion import dedup_key, derived_id
from twite.domain.fault import ROW_CODES, Fault
from twite.domain.normalize import PLACEHOLDERS
from twite.domain.plural import plural
from twite.domain.secret import Masked
from twite.domain.times import FUTURE_TOLERANCE, LATEST, moment
from twite.redaction.scrub_text import names_a_person

# Errors that only rows have. All other codes are those of the gateway: domain.fault.CODES, and the
# codes for a request of the wrong shape.
ERRORS: Final[Mapping[str, str]] = MappingProxyType(ROW_CODES)
NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answer_lost": "a response was lost; resent rows may be duplicates",
        "amount_read": "Twite interpreted the separators in the amount",
        "clock_change": "the local time occurs twice or never, because the clocks change",
        "currency_read": "the currency was in the cell of the amount",
        "differs_from_earlier": "an earlier row has the same id and event, but different content",
        "id_decimal": "the id ends in .0, perhaps because a program read it as a number: if the "
        "page's id has no .0, X counts the order twice",
        "id_derived": "the row has no order id: X cannot match it to a conversion of its pixel",
        "items_unread": "the items could not be read: the conversion is sent without them",
        "older_skipped": "the row is older than the gateway's memory of duplicates",
        "part_unread": "the amount could not be read: rules for values do without it",
        "placeholder": "the cell contains a placeholder, which Twite treats as empty",
        "row_repeated": "an earlier row is equal; without an order id, each is an order of its own",
        "same_as_earlier": "an earlier row has the same id and event",
        "suppressed": "the gateway will not send the conversion; the message gives the reason",
        "time_of_day_missing": "the date has no time of day, so Twite uses noon",
    }
)
# Errors of an order itself, which no setting causes.
_OF_THE_ROW: Final = frozenset(
    {
        "amount_negative",
        "currency_conflict",
        "id_rounded",
        "id_shared",
        "older_than_memory",
        "too_large",
    }
)
# What spreadsheets write instead of a value that they cannot calculate.
_SHEET_ERRORS: Final = frozenset(
    {"#div/0!", "#n/a", "#name?", "#null!", "#num!", "#ref!", "#spill!", "#value!"}
)
UNKNOWN_IDS: Final = PLACEHOLDERS | _SHEET_ERRORS
_DECIMAL: Final = re.compile(r"\d+[.,]0+", re.ASCII)
# A spreadsheet shows 100023000001 as 1.00023E+11 (or 1,00023E+11), and saves that; Java writes
# 1.00023E11. Without a point or a plus, as in 12E4, the text may really be an id.
_ROUNDED: Final = re.compile(r"\d(?:[.,]\d+[eE]\+?|[eE]\+)\d{1,3}")
# An order takes about 200 bytes. The gateway deduplicates repeats that are further apart.
REMEMBERED: Final = 500_000
_PERSON: Final = ("email", "email_sha256", "phone", "phone_sha256", "twclid")
_FIELDS: Final = (
    "time", "value", "currency", *_PERSON, "ip",
    "user_agent", "url", "contents", "description", "search", "consent",
)  # fmt: skip
_NOTHING: Final = b"\0\0"
_PHONE_END: Final = 8  # the last digits, which are the same with and without a country code


class RowFinding(msgspec.Struct, frozen=True, gc=False):
    """One finding about one row.

    `field` is a native field, such as `value` or `contents[0].price`, or "" for the row; `message`
    never repeats an email, a phone number or another identifier.
    """

    field: str
    code: str
    message: str


class FileRow(Masked, frozen=True, kw_only=True):
    """One row after reading.

    `number` is the row number in a spreadsheet; `order` is the conversion id, given or generated.
    `body` is a native conversion as JSON, None if there are `errors`, or if the row is `skipped`
    because of its age. With errors, `partial` has the fields that could be read, None if there is
    none. With `is_old`, the gateway may have forgotten the row. It holds personal data: its repr is
    masked.
    """

    in_repr = ("number", "errors", "notes")
    number: int
    order: str
    body: bytes | None
    partial: bytes | None = None
    errors: tuple[RowFinding, ...] = ()
    notes: tuple[RowFinding, ...] = ()
    skipped: bool = False
    is_old: bool = False


def remembered_age(dedup_window: int) -> int:
    """Return up to which age (ms) the gateway remembers a row that it received before.

    The gateway counts from the receipt, which a row's time may follow by the tolerance for wrong
    time zones.
    """
    return dedup_window - FUTURE_TOLERANCE


class RowAge(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a row that is older than `oldest` (ms since 1970).

    The gateway remembers for `days` what it received: if an older row comes again, X could count it
    twice. Such a row is skipped or refused. A row from before `looked_up_before` is to be looked
    up in its history.
    """

    oldest: int
    days: int
    is_skipped: bool = False
    looked_up_before: int = 0

    def is_looked_up(self, conversion: Mapping[str, object]) -> bool:
        """Whether a conversion is to be looked up: it is old, or may be, as it has no time."""
        if not self.looked_up_before:
            return False
        if conversion.get("time") in {None, ""}:
            return not _denies(conversion.get("consent"))
        return _is_before(self.looked_up_before, conversion)

    def see(self, conversion: Mapping[str, object]) -> RowFinding | None:
        """Return an error or a note about a conversion that is too old.

        A row that denies consent is never too old, because the denial must reach the gateway.
        """
        if not _is_before(self.oldest, conversion):
            return None
        message = (
            f"older than {plural(self.days, 'day')}: the gateway would not notice if it received "
            "this order before. Use --older send if it did not, or --older skip to leave it out"
        )
        if self.is_skipped:
            message = f"older than {plural(self.days, 'day')}, left out"
            return RowFinding("time", "older_skipped", message)
        return RowFinding("time", "older_than_memory", message)


def _is_before(limit: int, conversion: Mapping[str, object]) -> bool:
    """Whether a conversion is older than a time, and does not deny consent."""
    at = moment(str(conversion.get("time", "")), now=LATEST, path="time")
    return not isinstance(at, Fault) and at < limit and not _denies(conversion.get("consent"))


def shared_error(rows: Sequence[FileRow]) -> RowFinding | None:
    """Return an error that every row has, if a setting or a changed column may cause it."""
    shared = set.intersection(*({each.code for each in row.errors} for row in rows))
    causes = (each for each in rows[0].errors if each.code in shared - _OF_THE_ROW)
    return next(causes, None)


def rounded(order: str) -> RowFinding | None:
    """Return a finding about an order id that a program read as a number.

    Several orders may share one in scientific notation: an error. 1001.0 is noted.
    """
    plain = order.strip()
    if not plain[:1].isdigit():
        return None
    if _DECIMAL.fullmatch(plain):
        return RowFinding("conversion_id", "id_decimal", NOTES["id_decimal"])
    if not _ROUNDED.fullmatch(plain):
        return None
    message = (
        f"{shown(order)} is a rounded number: a spreadsheet cut off its last digits, and "
        "different orders share it. Export the file again with this column formatted as text"
    )
    return RowFinding("conversion_id", "id_rounded", message)


def shown(text: str) -> str:
    """Quote a cell, shortened and without characters that could control a terminal or a page."""
    if names_a_person(text):
        return '"…"'  # a person in the wrong column is still personal data
    kept = "".join(c if c.isprintable() else "?" for c in text[:24])
    return f'"{kept}{"…" if len(text) > 24 else ""}"'


class Repeats:
    """Remembers the orders of a file by dedup key, with a two-byte hash of each field."""

    def __init__(self, *, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._seen: OrderedDict[bytes, tuple[int, bytes]] = OrderedDict()

    def see(self, number: int, conversion: Mapping[str, object]) -> RowFinding | None:
        """Report whether an earlier row has this pixel, event and conversion id.

        The code is `same_as_earlier` or `differs_from_earlier`, which are notes, or `id_shared`, an
        error: if person, time or value differ, these are two orders, and one would be lost.
        Spellings of one value (case of an email, spaces) count as equal, and an empty field counts
        as equal to any value. A row that denies consent is never an error, because the denial must
        reach the gateway.
        """
        key = dedup_key(
            str(conversion.get("pixel", "")),
            str(conversion.get("event", "")).strip().lower(),
            str(conversion["conversion_id"]),
        )
        print_ = b"".join(_trace(field, conversion.get(field)) for field in _FIELDS)
        earlier = self._seen.get(key)
        if earlier is None:
            self._seen[key] = (number, print_)
            if len(self._seen) > self._remembered:
                self._seen.popitem(last=False)
            return None
        row, before = earlier
        pairs = {
            field: (before[2 * place : 2 * place + 2], print_[2 * place : 2 * place + 2])
            for place, field in enumerate(_FIELDS)
        }
        others = [] if _denies(conversion.get("consent")) else _contradictions(pairs)
        return _shared(row, others) if others else _note(row, pairs)


class RowIds:
    """Derives the ids of rows without one, so that a row has the same id in a longer file.

    The id depends on the row's content, and on the number of equal rows before it.
    """

    def __init__(self, *, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def see(self, content: bytes) -> tuple[str, RowFinding | None]:
        """Return the id of a row, and a note if an earlier row is equal."""
        key = sha256(content).digest()
        before = self._seen.get(key, 0)
        self._seen[key] = before + 1
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        name = derived_id(salt=key, scope="file", repeated=str(before).encode())
        if not before:
            return name, None
        return name, RowFinding("conversion_id", "row_repeated", NOTES["row_repeated"])


def _trace(field: str, value: object) -> bytes:
    if value is None or value in (b"null", ""):
        return _NOTHING
    text = value.decode() if isinstance(value, bytes) else str(value)
    text = "".join(text.split()).lower()
    if field == "value":
        text = _plain(text.strip('"'))
    elif field == "time":
        at = moment(str(value), now=LATEST, path="time")
        text = text if isinstance(at, Fault) else str(at)
    elif field == "phone":
        text = "".join(filter(str.isdigit, text))[-_PHONE_END:] or text
    return crc32(text.encode()).to_bytes(4)[:2]


def _plain(amount: str) -> str:
    try:
        return f"{Decimal(amount).normalize():f}"
    except InvalidOperation:
        return amount


def _contradictions(pairs: Mapping[str, tuple[bytes, bytes]]) -> list[str]:
    """Return which of person, time and value both rows have, but with different content.

    The person differs if the rows have no identifier in common.
    """
    same = {
        field: earlier == other
        for field, (earlier, other) in pairs.items()
        if _NOTHING not in {earlier, other}
    }
    persons = [same[field] for field in _PERSON if field in same]
    found = ["person"] if persons and not any(persons) else []
    if same.get("time") is False:
        found.append("time")
    if same.get("value") is False or same.get("currency") is False:
        found.append("value")
    return found


def _denies(consent: object) -> bool:
    words = consent.values() if isinstance(consent, Mapping) else ()
    return bool(consent) and any(word != "granted" for word in words)


def _shared(row: int, others: list[str]) -> RowFinding:
    message = (
        f"the same id and event as row {row}, but a different {' and '.join(others)}: two orders "
        "with one id would count as one. Use the column that distinguishes orders (--map "
        "conversion_id=COLUMN), or remove the wrong row"
    )
    return RowFinding("conversion_id", "id_shared", message)


def _note(row: int, pairs: Mapping[str, tuple[bytes, bytes]]) -> RowFinding:
    differing = [field for field, (earlier, other) in pairs.items() if earlier != other]
    message = f"the same order and event as row {row}"
    if not differing:
        return RowFinding("conversion_id", "same_as_earlier", message)
    message += f", but with a different {', '.join(differing)}: which row is correct?"
    return RowFinding("conversion_id", "differs_from_earlier", message)
