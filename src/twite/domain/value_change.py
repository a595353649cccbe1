"""What a value rule made of a conversion's amount."""

from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.conversion import shown_amount


class RuleFields(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What only value rules read of an order: it is no part of a conversion, so X never gets it.

    `tax` and `shipping` are decimal strings in the conversion's currency.
    """

    tax: str | None = None
    shipping: str | None = None
    new_customer: bool | None = None


NO_RULE_FIELDS: Final = RuleFields()


class RuleProblem(StrEnum):
    """Why a rule could not be applied. The value is stored, so never change it later."""

    EXPRESSION = "expression_failed"  # a missing price, text instead of a number, a division by 0
    MISSING_ROW = "missing_row"  # a table has no row, or no number, for an id
    NO_TABLE = "table_unreadable"
    NO_NUMBER = "no_number"  # the result is null, a text, or a list
    NEGATIVE = "negative"
    TOO_LARGE = "too_large"
    NO_CURRENCY = "currency_missing"
    OTHER_CURRENCY = "currency_differs"
    TOO_MANY_LINES = "too_many_lines"


class ValueChange(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What the rule `rule` made of an amount.

    `before` and `after` are decimal strings in `currency_before` and `currency`, None for a
    conversion without an amount or currency. With a `problem`, the amount is still `before`,
    `after` is None, and `detail` says what is wrong, without persons.
    """

    rule: str
    before: str | None = None
    currency_before: str | None = None
    after: str | None = None
    currency: str | None = None
    problem: RuleProblem | None = None
    detail: str = ""


def change_text(change: ValueChange) -> str:
    """Return what a rule did, such as "profit: 49.90 EUR → 12.30 EUR"."""
    before = _money(change.before, change.currency_before)
    if change.problem is not None:
        return f"{change.rule} failed, so nothing changed ({before}): {change.detail}"
    return f"{change.rule}: {before} → {_money(change.after, change.currency)}"


def _money(value: str | None, currency: str | None) -> str:
    if value is None:
        return "no amount"
    return f"{shown_amount(value, currency or '')} {currency or ''}".rstrip()


class RuleFailures(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule failed with a problem. `detail` is that of one failure."""

    rule: str
    problem: RuleProblem
    times: int
    detail: str
