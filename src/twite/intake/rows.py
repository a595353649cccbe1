"""One row of a table → a conversion of our own format, with what is to be said about it.

What a person would read, is read; what could mean two things is refused, with what settles it.
Whether an identifier can be used is left to the gateway, which says so in its answer.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final

import msgspec

from twite.domain.money import currency
from twite.domain.normalize import PLACEHOLDERS
from twite.intake.amounts import Amount, Decimal, read_amount
from twite.intake.columns import Columns
from twite.intake.findings import NOTES, Finding, Row
from twite.intake.items import read_items
from twite.intake.moments import Moment, read_moment
from twite.intake.repeats import Repeats

# "0" and "false" say nothing of a person, but something of money and consent.
_EMPTY: Final = PLACEHOLDERS - {"0", "false"}
_ID: Final = "conversion_id"
_IDENTIFYING: Final = frozenset(
    {_ID, "email", "email_sha256", "phone", "phone_sha256", "twclid", "ip", "user_agent"}
)
_FREE_TEXT: Final = frozenset({"description", "search"})
_YES: Final = frozenset({"granted", "grant", "true", "1", "yes", "y", "opt-in", "accepted"})
_NO: Final = frozenset({"denied", "deny", "false", "0", "no", "n", "opt-out", "rejected"})
_ENCODER: Final = msgspec.json.Encoder()

Conversion = dict[str, object]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How a person said the file is to be read, for what its rows leave open."""

    event: str | None = None
    currency: str | None = None
    decimal: Decimal | None = None
    zone: tzinfo | None = None


class Rows:
    """Reads the rows of one table, in order. `name_row` gives a row without an order id one.

    The id must depend on the file's bytes and the row's place alone: sent again, it is the same.
    """

    def __init__(
        self, columns: Columns, reading: Reading, *, name_row: Callable[[int], str]
    ) -> None:
        self._columns = columns
        self._reading = reading
        self._name_row = name_row
        self._repeats = Repeats()

    def read(self, number: int, cells: Sequence[str]) -> Row:
        """Read one row that is not blank. What is wrong with it is in the result."""
        errors: list[Finding] = []
        notes: list[Finding] = []
        wrong = _wrong_width(len(cells), len(self._columns.header))
        if wrong is not None:
            return Row(number=number, order="", body=None, errors=(wrong,))
        given = self._filled(cells, notes)
        order = given.get(_ID) or self._name_row(number)
        conversion: Conversion = {"conversion_id": order}
        self._read_event(given, conversion, errors)
        self._read_time(given, conversion, errors, notes)
        self._read_money(given, conversion, errors, notes)
        _read_consent(given, conversion, errors)
        for field in _COPIED:
            if field in given:
                conversion[field] = given[field]
        if errors:
            return Row(
                number=number, order=order, body=None, errors=tuple(errors), notes=tuple(notes)
            )
        repeat = self._repeats.see(number, conversion)
        if repeat is not None:
            notes.append(repeat)
        return Row(number=number, order=order, body=_ENCODER.encode(conversion), notes=tuple(notes))

    def _filled(self, cells: Sequence[str], notes: list[Finding]) -> Mapping[str, str]:
        """Return the cells that say something, by our field."""
        given = {}
        for field, place in self._columns.taken.items():
            text = cells[place].strip()
            if not text:
                continue
            empty = PLACEHOLDERS if field in _IDENTIFYING else _EMPTY
            if text.lower() in empty and field not in _FREE_TEXT | {"consent"}:
                notes.append(
                    Finding(
                        field=field,
                        code="placeholder",
                        message=f'"{text}" says that nothing was known: taken as empty',
                    )
                )
            else:
                given[field] = text
        return given

    def _read_event(
        self, given: Mapping[str, str], conversion: Conversion, errors: list[Finding]
    ) -> None:
        event = given.get("event") or self._reading.event
        if event is None:
            errors.append(
                Finding(
                    field="event",
                    code="event_missing",
                    message="the row names no event: say --event NAME for such rows",
                )
            )
        else:
            conversion["event"] = event

    def _read_time(
        self,
        given: Mapping[str, str],
        conversion: Conversion,
        errors: list[Finding],
        notes: list[Finding],
    ) -> None:
        if "time" not in given:
            if "time" in self._columns.taken:
                errors.append(
                    Finding(
                        field="time",
                        code="time_missing",
                        message="the row has no time: it would count as happening now",
                    )
                )
            return
        at = read_moment(given["time"], zone=self._reading.zone)
        if not isinstance(at, Moment):
            errors.append(at)
            return
        conversion["time"] = at.text
        if at.note is not None:
            notes.append(at.note)

    def _read_money(
        self,
        given: Mapping[str, str],
        conversion: Conversion,
        errors: list[Finding],
        notes: list[Finding],
    ) -> None:
        code, wrong = _currency(given.get("currency"))
        if "value" in given:
            amount = read_amount(given["value"], currency=code, decimal=self._reading.decimal)
            if isinstance(amount, Amount):
                notes.extend(_amount_notes(given["value"], amount, code))
                conversion["value"] = amount.text
                code = code or amount.currency
                # What is no currency at all gives way to the one beside the amount.
                wrong = None if code else wrong
            else:
                errors.append(amount)
            if wrong is None:
                code = code or self._reading.currency
            if code is None and isinstance(amount, Amount):
                errors.append(wrong or _CURRENCY_MISSING)
            elif wrong is not None:
                errors.append(wrong)
        code = code or self._reading.currency
        priced = self._read_contents(given, conversion, notes, code)
        # Without an amount there is nothing for a currency to be of.
        if code is not None and ("value" in given or priced):
            conversion["currency"] = code

    def _read_contents(
        self,
        given: Mapping[str, str],
        conversion: Conversion,
        notes: list[Finding],
        code: str | None,
    ) -> bool:
        """Return whether there are prices in it."""
        if "contents" not in given:
            return False
        contents = read_items(given["contents"], currency=code, decimal=self._reading.decimal)
        if contents is None:
            notes.append(_ITEMS_UNREAD)
            return False
        conversion["contents"] = contents
        return any("price" in content for content in contents)


_COPIED: Final = (
    "email", "email_sha256", "phone", "phone_sha256", "twclid", "ip", "user_agent", "url",
    "description", "search", "pixel",
)  # fmt: skip
_ITEMS_UNREAD: Final = Finding(field="contents", code="items_unread", message=NOTES["items_unread"])
_CURRENCY_MISSING: Final = Finding(
    field="currency",
    code="currency_missing",
    message="an amount without a currency would be counted in US dollars: say --currency, as in "
    "--currency EUR, for such rows",
)


def _currency(cell: str | None) -> tuple[str | None, Finding | None]:
    """Return the code, or what is wrong with it."""
    if cell is None:
        return None, None
    code = currency(cell, path="currency")
    if isinstance(code, str):
        return code, None
    return None, Finding(field="currency", code=code.code, message=code.message)


def _wrong_width(cells: int, header: int) -> Finding | None:
    if cells == header:
        return None
    if cells < header:
        return Finding(
            field="",
            code="cells_missing",
            message=f"the row has {cells} of {header} cells: is the file cut off?",
        )
    return Finding(
        field="",
        code="cells_too_many",
        message=f"the row has {cells} cells, the header {header}: is a cell with a separator not "
        "in quotes?",
    )


def _amount_notes(cell: str, amount: Amount, code: str | None) -> list[Finding]:
    notes = []
    if amount.currency is not None and code is None:
        notes.append(
            Finding(
                field="currency",
                code="currency_read",
                message=f'"{cell}" read as {amount.text} {amount.currency}',
            )
        )
    elif amount.reread:
        notes.append(
            Finding(field="value", code="amount_read", message=f'"{cell}" read as {amount.text}')
        )
    return notes


def _read_consent(given: Mapping[str, str], conversion: Conversion, errors: list[Finding]) -> None:
    if "consent" not in given:
        return
    said = given["consent"].lower()
    if said in _YES or said in _NO:
        conversion["consent"] = {"ad_storage": "granted" if said in _YES else "denied"}
    elif said not in PLACEHOLDERS:
        errors.append(
            Finding(
                field="consent",
                code="consent_unreadable",
                message='neither a yes nor a no: write "granted" or "denied"',
            )
        )
