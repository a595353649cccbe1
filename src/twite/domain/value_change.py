"""What a value rule made of a conversion's amount."""

from enum import StrEnum

import msgspec


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

    `before` and `after` are decimal strings, `before` None for a conversion without an amount;
    `currency` is that of `after`. With a `problem`, the amount is still `before`, `after` is
    None, and `detail` says what is wrong, without persons.
    """

    rule: str
    before: str | None = None
    after: str | None = None
    currency: str | None = None
    problem: RuleProblem | None = None
    detail: str = ""
