"""Parse an amount as people and spreadsheets write it to a decimal string, or an error.

    12.50   12,50   1,234.50   1.234,50   1 234,50   1'234.50   GBP 55.45   55.45 €   -5.00   (5.00)

A comma or dot before exactly three digits (`1,234`) is ambiguous: decimals or thousands. It is only
read if something settles it: a second separator, the currency's own decimals, or `--decimal`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from twite.domain.money import CURRENCIES
from twite.formats.files.findings import RowFinding, shown

Decimal = Literal["comma", "point"]

# ISO 4217: currencies without a minor unit, and those with a thousandth.
# fmt: off
_WHOLE: Final = frozenset(
    {
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV",
        "XAF", "XOF", "XPF",
    }
)
# fmt: on
_THOUSANDTHS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
# Symbols of exactly one currency; $ and ¥ are not.
_SIGNS: Final[Mapping[str, str]] = MappingProxyType(
    {"€": "EUR", "£": "GBP", "₹": "INR", "₺": "TRY", "₩": "KRW", "₫": "VND", "₴": "UAH", "₪": "ILS"}
)
_NAMED: Final = re.compile(r"(?:([A-Za-z]{3})\s*)?([^A-Za-z]+?)(?:\s*([A-Za-z]{3}))?")
_DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_MARKED: Final = re.compile(r"(?=.{3,40}$)[0-9]{1,18}(?:[.,][0-9]{1,18})+", re.ASCII)
_POINTED: Final = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}", re.ASCII)
_SPACES: Final = re.compile(r"(?<=[0-9])[ \u00a0\u2009\u202f'\u2019](?=[0-9]{3}(?![0-9]))")
_THREE: Final = 3


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is a decimal string as in 1234.50; `currency` is the one in the cell, if any.

    `reread` says whether the text was interpreted, not only copied.
    """

    text: str
    currency: str | None = None
    reread: bool = False


def read_amount(
    cell: str, *, currency: str | None, decimal: Decimal | None, field: str = "value"
) -> Amount | RowFinding:
    """Read a cell that is not empty. `currency` is the code in its own column, upper-case."""
    plain = cell.strip()
    if _POINTED.fullmatch(plain) and not _may_be_grouped(plain):
        return Amount(text=plain)
    named, number = _apart(plain)
    if named and currency and named != currency:
        return RowFinding(
            field=field,
            code="currency_conflict",
            message=f"the amount says {named}, the currency column {currency}: which is meant?",
        )
    number, below_zero = _unsigned(number)
    text = _number(number, decimal=decimal, currency=named or currency or "")
    if text is None:
        return RowFinding(
            field=field,
            code="not_an_amount",
            message=f"{shown(cell)} is not an amount as in 49.90",
        )
    if text == "":
        return _ambiguous(cell, number, field)
    if below_zero and text.strip("0."):
        return RowFinding(
            field=field,
            code="amount_negative",
            message=f"{shown(cell)} is below zero: a refund is not a conversion",
        )
    return Amount(text=text, currency=named, reread=text != plain)


def _ambiguous(cell: str, number: str, field: str) -> RowFinding:
    grouped = re.sub("[,.]", "", number)
    pointed = number.replace(",", ".")
    return RowFinding(
        field=field,
        code="amount_ambiguous",
        message=(
            f"{shown(cell)} may mean {grouped} or {pointed}: use --decimal comma or --decimal point"
        ),
    )


def _apart(text: str) -> tuple[str | None, str]:
    """Split a currency from its number: `GBP 55.45`, `55.45 gbp`, `€55`.

    `$` is split off, unnamed.
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
    """Split the sign off: -5, 5- (as accounting systems export it), (5)."""
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
    elif currency in _WHOLE:
        pointed = False
    elif currency in _THOUSANDTHS and mark == ".":
        pointed = True
    else:
        return ""
    return f"{whole}.{decimals}" if pointed else whole + decimals


def _may_be_grouped(number: str) -> bool:
    """Whether the single mark could be a thousands separator: 1 to 3 digits, mark, 3 digits."""
    whole, _, decimals = number.replace(",", ".").rpartition(".")
    return len(decimals) == _THREE and 0 < len(whole) <= _THREE and whole[0] != "0"


def _ungrouped(number: str) -> str | None:
    """Remove the thousands separators; India's groups of two count."""
    if _DIGITS.fullmatch(number):
        return number
    groups = re.split("[,.]", number)
    first, *inner, last = groups
    marks = set(re.findall("[,.]", number))
    sizes_fit = len(last) == _THREE and all(len(group) in {2, 3} for group in inner)
    if len(marks) != 1 or not 0 < len(first) <= _THREE or not sizes_fit:
        return None
    return "".join(groups)
