"""Convert one row of a table into a native conversion, with findings.

An ambiguous value is refused, and the error names the option that resolves it. The gateway checks
whether an identifier is usable, and reports that in its response.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from types import MappingProxyType
from typing import Final

import msgspec

from twite.domain.conversion import currency
from twite.domain.normalize import PLACEHOLDERS
from twite.formats.files.cells import Amount, Decimal, Moment, read_amount, read_moment
from twite.formats.files.findings import (
    ERRORS,
    NOTES,
    UNKNOWN_IDS,
    FileRow,
    Repeats,
    RowAge,
    RowFinding,
    RowIds,
    rounded,
)
from twite.formats.files.table import NAMES, ColumnMapping
from twite.formats.files.values import FloatCell

Content = dict[str, str | int]

_SEPARATOR: Final = re.compile(r"\s*[|;\n]\s*")
_AFTER: Final = re.compile(r"(.+?)\s+[x\u00d7]\s?(\d{1,9})(?:\s*@\s*(\S.*))?", re.ASCII)
_BEFORE: Final = re.compile(r"(\d{1,9})\s?[x\u00d7]\s+(.+?)(?:\s*@\s*(\S.*))?", re.ASCII)
_ALONE: Final = re.compile(r"([^@{}\[\]]+?)(?:\s*@\s*(\S.*))?")
# Names for the fields of an item: Twite's own first, then those of other systems.
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "id": ("id", "sku", "item_id", "product_id", "variant_id"),
        "name": ("name", "item_name", "title", "product_name"),
        "price": ("price", "item_price", "unit_price"),
        "quantity": ("quantity", "qty", "count"),
        "group": ("group", "group_id", "item_group_id"),
        "type": ("type", "item_category", "category", "product_type"),
    }
)
_LINES: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ID: Final = "conversion_id"
_IDENTIFYING: Final = (
    _ID, "email", "email_sha256", "phone", "phone_sha256", "twclid", "ip", "user_agent", "user_id",
    "visitor_id",
)  # fmt: skip
# "0" and "false" are placeholders in personal data, but not in amounts and consent. NaN is the
# result of a calculation that failed, and no order without an amount.
_EMPTY: Final[dict[str, frozenset[str]]] = (
    dict.fromkeys(NAMES, PLACEHOLDERS - {"0", "false"})
    | dict.fromkeys(_IDENTIFYING, UNKNOWN_IDS)
    | dict.fromkeys(("description", "search", "consent"), frozenset())
    | {"value": PLACEHOLDERS - {"0", "false", "nan"}}
    | {"new_customer": frozenset()}
)
# A spreadsheet writes ="007" to keep a text. A program that read a phone number as a floating-point
# number writes 447911123456.0.
_REWRITTEN: Final = re.compile(r'\A(?:="([^"]*)"|(\+?\d{7,15})[.,]0{1,2})\Z', re.ASCII)
_YES: Final = frozenset({"granted", "grant", "true", "1", "yes", "y", "t", "opt-in", "accepted"})
_NO: Final = frozenset({"denied", "deny", "false", "0", "no", "n", "f", "opt-out", "rejected"})
_ENCODER: Final = msgspec.json.Encoder()
_COPIED: Final = frozenset((
    "email", "email_sha256", "phone", "phone_sha256", "twclid", "ip", "user_agent", "url",
    "description", "search", "pixel", "user_id", "visitor_id",
))  # fmt: skip
_ITEMS_UNREAD: Final = RowFinding("contents", "items_unread", NOTES["items_unread"])
_EVENT_MISSING: Final = RowFinding(
    "event", "event_missing", "the row has no event: use --event NAME for such rows"
)
TIME_MISSING: Final = RowFinding(
    "time", "time_missing", "the row has no time, but other rows do: add its time"
)
_CONSENT_UNREADABLE: Final = RowFinding(
    "consent", "consent_unreadable", 'neither yes nor no: write "granted" or "denied"'
)
ID_MISSING: Final = RowFinding(
    "conversion_id", "id_missing", "the row has no order id: leave such rows out"
)
ID_DERIVED: Final = RowFinding("conversion_id", "id_derived", NOTES["id_derived"])
_NUMBER_INEXACT: Final = (
    "a floating-point number, which may have lost digits: make it a decimal number, a whole number "
    "or text"
)
_CURRENCY_MISSING: Final = RowFinding(
    "currency",
    "currency_missing",
    "an amount without a currency would be counted in US dollars: use --currency for such rows, as "
    "in --currency EUR",
)


def read_items(cell: str, *, currency: str | None, decimal: Decimal | None) -> list[Content] | None:
    """Read a basket in one cell that is not empty; None if it is ambiguous.

    CAP-7 x2 @18.00 | PRINT-A2 x1 @120.00      also 2 x CAP-7, CAP-7; `;` as separator
    [{"sku": "CAP-7", "quantity": 2, "price": "18.00"}]
    """
    text = cell.strip()
    if text.startswith("["):
        return _read_json(text, currency, decimal)
    lines = [_line(line, currency, decimal) for line in _SEPARATOR.split(text) if line]
    found = [line for line in lines if line is not None]
    return found if found and len(found) == len(lines) else None


def _line(text: str, currency: str | None, decimal: Decimal | None) -> Content | None:
    if (parts := _AFTER.fullmatch(text)) is not None:
        name, quantity, price = parts.groups()
    elif (parts := _BEFORE.fullmatch(text)) is not None:
        quantity, name, price = parts.groups()
    elif (parts := _ALONE.fullmatch(text)) is not None:
        (name, price), quantity = parts.groups(), None
    else:
        return None
    if quantity is not None and int(quantity) == 0:
        return None
    content: Content = {"id": name.strip()}
    if quantity is not None:
        content["quantity"] = int(quantity)
    return _priced(content, price, currency, decimal)


def _priced(
    content: Content, price: str | None, currency: str | None, decimal: Decimal | None
) -> Content | None:
    if price is None:
        return content
    amount = read_amount(price, currency=currency, decimal=decimal)
    if not isinstance(amount, Amount):
        return None
    return content | {"price": amount.text}


def _read_json(text: str, currency: str | None, decimal: Decimal | None) -> list[Content] | None:
    try:
        lines = _LINES.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    contents = [_mapped(line, currency, decimal) for line in lines]
    found = [content for content in contents if content]
    return found if found and len(found) == len(contents) else None


def _mapped(
    line: Mapping[str, msgspec.Raw], currency: str | None, decimal: Decimal | None
) -> Content | None:
    content: Content = {}
    price = None
    for field, names in _FIELDS.items():
        raw = next((line[name] for name in names if name in line), None)
        text = _text(raw)
        if text is None:
            continue
        if field == "price":
            price = text
        elif field == "quantity":
            if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
                return None
            content[field] = int(text)
        else:
            content[field] = text
    return _priced(content, price, currency, decimal)


def _text(raw: msgspec.Raw | None) -> str | None:
    """Return a JSON text or number as written; None if it is empty or anything else."""
    if raw is None:
        return None
    written = bytes(raw).decode()
    if written.startswith('"'):
        return msgspec.json.decode(written, type=str).strip() or None
    return written if re.fullmatch(r"-?\d+(\.\d+)?", written, re.ASCII) else None


class RowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How rows are read. Without `age`, rows may have any age."""

    event: str | None = None
    currency: str | None = None
    decimal: Decimal | None = None
    zone: tzinfo | None = None
    age: RowAge | None = None


@dataclasses.dataclass(slots=True)
class Rows:
    """Reads the rows of one table, in order.

    `ids` derives the id of a row without one. With None, such a row is refused.
    """

    columns: ColumnMapping
    options: RowOptions
    ids: RowIds | None
    _repeats: Repeats = dataclasses.field(default_factory=Repeats)

    def read(self, number: int, cells: Sequence[str]) -> FileRow:
        wrong = _wrong_width(len(cells), len(self.columns.header))
        if wrong is not None:
            return FileRow(number=number, order="", body=None, errors=(wrong,))
        draft = _Draft()
        self._fill(draft, cells)
        order = draft.given.get(_ID, "")
        if not order:
            order = self._derived_id(draft, cells)
        draft.conversion["conversion_id"] = order
        _read_event(draft, self.options)
        self._read_time(draft)
        _read_money(draft, self.options)
        _read_consent(draft)
        _read_new_customer(draft)
        draft.conversion.update(
            (field, text) for field, text in draft.given.items() if field in _COPIED
        )
        draft.add(rounded(order))
        if not draft.errors:
            draft.add(self._repeats.see(number, draft.conversion))
        old = None if self.options.age is None else self.options.age.see(draft.conversion)
        draft.add(old)
        skipped = old is not None and self.options.age is not None and self.options.age.is_skipped
        written = _ENCODER.encode(draft.conversion)
        return FileRow(
            number=number,
            order=order,
            body=None if draft.errors or skipped else written,
            partial=written if draft.errors else None,
            errors=tuple(draft.errors),
            notes=tuple(draft.notes),
            skipped=skipped and not draft.errors,
            is_old=self.options.age is not None and self.options.age.is_looked_up(draft.conversion),
        )

    def _derived_id(self, draft: "_Draft", cells: Sequence[str]) -> str:
        if self.ids is None:
            draft.errors.append(ID_MISSING)
            return ""
        name, note = self.ids.see(_ENCODER.encode([cell.strip() for cell in cells]))
        draft.add(note)
        if _ID in self.columns.taken and not any(note.field == _ID for note in draft.notes):
            draft.notes.append(ID_DERIVED)
        return name

    def _fill(self, draft: "_Draft", cells: Sequence[str]) -> None:
        for field, place in self.columns.taken.items():
            text = cells[place].strip()
            if not text:
                continue
            if text[0] == "=" or field == "phone":
                text = _REWRITTEN.sub(r"\1\2", text)
            if text.lower() in _EMPTY[field]:
                message = f'"{text}" means an unknown value: treated as empty'
                draft.notes.append(RowFinding(field, "placeholder", message))
            elif field != "time" and isinstance(cells[place], FloatCell):
                draft.errors.append(RowFinding(field, "number_inexact", _NUMBER_INEXACT))
            else:
                draft.given[field] = text

    def _read_time(self, draft: "_Draft") -> None:
        if "time" not in draft.given:
            if "time" in self.columns.taken:
                draft.errors.append(TIME_MISSING)
            return
        at = read_moment(draft.given["time"], zone=self.options.zone)
        if not isinstance(at, Moment):
            draft.errors.append(at)
            return
        draft.conversion["time"] = at.text
        if at.finding is not None:
            draft.notes.append(at.finding)


class _Draft(msgspec.Struct):
    given: dict[str, str] = {}
    conversion: dict[str, object] = {}
    errors: list[RowFinding] = []
    notes: list[RowFinding] = []

    def add(self, finding: RowFinding | None) -> None:
        if finding is not None:
            (self.errors if finding.code in ERRORS else self.notes).append(finding)


def _read_event(draft: _Draft, options: RowOptions) -> None:
    event = draft.given.get("event") or options.event
    if event is None:
        draft.errors.append(_EVENT_MISSING)
    else:
        draft.conversion["event"] = event


def _read_money(draft: _Draft, options: RowOptions) -> None:
    code = _read_amount(draft, options)
    priced = False
    if "contents" in draft.given:
        contents = read_items(draft.given["contents"], currency=code, decimal=options.decimal)
        if contents is None:
            draft.notes.append(_ITEMS_UNREAD)
        else:
            draft.conversion["contents"] = contents
            priced = any("price" in content for content in contents)
    for part in ("tax", "shipping"):
        if part in draft.given:
            found = read_amount(draft.given[part], currency=code, decimal=options.decimal)
            if isinstance(found, Amount):
                draft.conversion[part] = found.text
            else:
                draft.notes.append(RowFinding(part, "part_unread", NOTES["part_unread"]))
    # Without an amount, a currency means nothing.
    if code is not None and ("value" in draft.given or priced):
        draft.conversion["currency"] = code


def _read_amount(draft: _Draft, options: RowOptions) -> str | None:
    code, wrong = _currency(draft.given.get("currency"))
    # The default currency does not replace a currency cell that cannot be read.
    otherwise = None if wrong else options.currency
    if "value" not in draft.given:
        return code or otherwise
    amount = read_amount(draft.given["value"], currency=code, decimal=options.decimal)
    if not isinstance(amount, Amount):
        draft.errors.extend(finding for finding in (amount, wrong) if finding is not None)
        return code
    draft.notes.extend(_amount_notes(draft.given["value"], amount, code))
    draft.conversion["value"] = amount.text
    code = code or amount.currency or otherwise
    if code is None:
        draft.errors.append(wrong or _CURRENCY_MISSING)
    elif amount.excludes(code):
        message = f"the amount has the sign {amount.sign}, but its currency is {code}: correct one"
        draft.errors.append(RowFinding("value", "currency_conflict", message))
    return code


def _read_consent(draft: _Draft) -> None:
    answer = draft.given.get("consent", "").lower()
    if answer in _YES or answer in _NO:
        draft.conversion["consent"] = {"ad_storage": "granted" if answer in _YES else "denied"}
    elif answer not in PLACEHOLDERS:
        draft.errors.append(_CONSENT_UNREADABLE)


def _read_new_customer(draft: _Draft) -> None:
    """Read what only value rules need: another word is no answer."""
    answer = draft.given.get("new_customer", "").lower()
    if answer in _YES | _NO:
        draft.conversion["new_customer"] = answer in _YES


def _currency(cell: str | None) -> tuple[str | None, RowFinding | None]:
    if cell is None:
        return None, None
    code = currency(cell, path="currency")
    if isinstance(code, str):
        return code, None
    return None, RowFinding("currency", code.code, code.message)


def _wrong_width(cells: int, header: int) -> RowFinding | None:
    if cells == header:
        return None
    if cells < header:
        message = f"the row has {cells} of {header} cells: check whether the file was truncated"
        return RowFinding("", "cells_missing", message)
    message = (
        f"the row has {cells} cells, but the header has {header}: put cells that contain "
        "the separator in quotes"
    )
    return RowFinding("", "cells_too_many", message)


def _amount_notes(cell: str, amount: Amount, code: str | None) -> list[RowFinding]:
    read = f'"{cell}" read as {amount.text}'
    if amount.currency is not None and code is None:
        return [RowFinding("currency", "currency_read", f"{read} {amount.currency}")]
    return [RowFinding("value", "amount_read", read)] if amount.reread else []
