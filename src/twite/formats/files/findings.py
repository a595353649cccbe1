"""Findings about a row of a file: a stable code, a place, a sentence."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from twite.redaction.shapes import holds_a_person

# Codes that only files have; every other code of a row is the gateway's (domain.fault.CODES, and
# the codes of a request of the wrong shape).
ERRORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "amount_ambiguous": "a separator that may stand before decimals or thousands",
        "cells_missing": "the row has fewer cells than the header",
        "cells_too_many": "the row has more cells than the header",
        "consent_unreadable": "neither a yes nor a no",
        "currency_conflict": "the amount names a different currency from its column",
        "id_rounded": "an id in scientific notation: a spreadsheet cut off its last digits",
        "id_shared": "the order and event of an earlier row, with another person, time or value",
        "time_missing": "the row has no time, but other rows do",
        "too_large": "a row that is too large for a request",
        "not_sent": "the gateway refused the whole request, and a retry would not help",
    }
)
NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answer_lost": "a response was lost; rows resent may be duplicates",
        "amount_read": "an amount with separators, interpreted as a person would",
        "clock_change": "a local time that the clock showed twice, or never",
        "currency_read": "the currency was in the cell of the amount",
        "differs_from_earlier": "the order and event of an earlier row, with other content",
        "items_unread": "the items could not be read: the conversion goes without them",
        "placeholder": "a cell for an unknown value, treated as empty",
        "same_as_earlier": "the order and event of an earlier row",
        "suppressed": "why the gateway will not send it",
        "time_of_day_missing": "a date without a time of day, taken as noon",
    }
)


class RowFinding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One finding about one row.

    `field` is ours, as in `value` or `contents[0].price`, "" for the row; `message` never repeats
    an email, a phone number or another identifier.
    """

    field: str
    code: str
    message: str


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row, read.

    `number` is the row number in a spreadsheet; `order` is the conversion id, or the generated one.
    `body` is a conversion of our own format as JSON, None if `errors` prevent it. It holds personal
    data: its repr is masked.
    """

    number: int
    order: str
    body: bytes | None
    errors: tuple[RowFinding, ...] = ()
    notes: tuple[RowFinding, ...] = ()

    def __repr__(self) -> str:
        return f"Row(number={self.number}, errors={self.errors}, notes={self.notes})"


# A spreadsheet shows 100023000001 as 1.00023E+11 (1,00023E+11), and saves what it shows; Java
# writes 1.00023E11. Without a point or a plus it may be an id: 12E4.
_ROUNDED: Final = re.compile(r"\d(?:[.,]\d+[eE]\+?|[eE]\+)\d{1,3}")


def rounded(order: str) -> RowFinding | None:
    """Return the error of an order id in scientific notation, which many orders share."""
    if not _ROUNDED.fullmatch(order.strip()):
        return None
    return RowFinding(
        field="conversion_id",
        code="id_rounded",
        message=f"{shown(order)} is a rounded number: a spreadsheet cut off its last digits, and "
        "different orders share it. Export the file again with this column formatted as text",
    )


def shown(text: str) -> str:
    """Quote a cell, shortened and without characters that could control a terminal or a page."""
    if holds_a_person(text):
        return '"…"'  # a person in the wrong column is still personal data
    kept = "".join(c if c.isprintable() else "?" for c in text[:24])
    return f'"{kept}{"…" if len(text) > 24 else ""}"'
