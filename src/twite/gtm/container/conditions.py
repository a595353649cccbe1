"""Evaluate a trigger condition: compares both sides as JavaScript strings or numbers."""

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from types import MappingProxyType
from typing import Final

from twite.gtm.container import expressions
from twite.gtm.container.parts import Condition, Operator
from twite.gtm.template.references import filled
from twite.gtm.template.texts import Value, number_of, text_of


def holds(condition: Condition, value_of: Callable[[str], Value]) -> bool:
    """Return whether a condition holds, its negation included."""
    left, right = filled(condition.left, value_of), filled(condition.right, value_of)
    return _fits(condition, left, right) is not condition.negate


def _fits(condition: Condition, left: Value, right: Value) -> bool:
    compare = _NUMBERS.get(condition.operator)
    if compare is not None:
        # NaN is neither greater than anything nor less, in both languages.
        return compare(number_of(left), number_of(right))
    text, sought = text_of(left), text_of(right)
    if condition.operator is Operator.MATCHES:
        found = expressions.found(sought, text, ignore_case=condition.ignore_case)
        return found is not None
    if condition.ignore_case:
        text, sought = text.lower(), sought.lower()
    return _TEXTS[condition.operator](text, sought)


_TEXTS: Final[Mapping[Operator, Callable[[str, str], bool]]] = MappingProxyType(
    {
        Operator.EQUALS: str.__eq__,
        Operator.CONTAINS: str.__contains__,
        Operator.STARTS_WITH: str.startswith,
        Operator.ENDS_WITH: str.endswith,
    }
)
_NUMBERS: Final[Mapping[Operator, Callable[[float, float], bool]]] = MappingProxyType(
    {
        Operator.GREATER: gt,
        Operator.GREATER_OR_EQUAL: ge,
        Operator.LESS: lt,
        Operator.LESS_OR_EQUAL: le,
    }
)
