"""When a trigger condition is true, by JavaScript's comparison rules."""

import pytest
from container_parts import condition

from twite.tags.container.conditions import holds
from twite.tags.template.texts import UNDEFINED

# left value, operator, right text, holds
CASES = [
    ("purchase", "equals", "purchase", True),
    ("purchase", "equals", "Purchase", False),
    (UNDEFINED, "equals", "undefined", True),
    (None, "equals", "null", True),
    (True, "equals", "true", True),
    (10, "equals", "10", True),
    (10.0, "equals", "10", True),
    (0.1, "equals", "0.1", True),
    ([1, None, "a"], "equals", "1,,a", True),
    ({"a": 1}, "equals", "[object Object]", True),
    ("https://shop.example/thanks", "contains", "thanks", True),
    ("https://shop.example/thanks", "contains", "", True),
    ("purchase", "starts_with", "pur", True),
    ("purchase", "starts_with", "chase", False),
    ("purchase", "ends_with", "chase", True),
    ("purchase", "ends_with", "pur", False),
    ("add_to_cart", "matches", "^(add|remove)_", True),
    ("view_cart", "matches", "^(add|remove)_", False),
    ("view_cart", "matches", "cart", True),
    ("aa", "matches", "(", False),
    ("10", "greater", "9", True),
    ("10", "greater", "10", False),
    ("10", "greater_or_equal", "10", True),
    ("9.5", "less", "10", True),
    ("10", "less", "10", False),
    ("10", "less_or_equal", "10", True),
    ("ten", "greater", "9", False),
    ("ten", "less", "9", False),
    (UNDEFINED, "less", "9", False),
    (None, "less", "9", True),
    ("", "less", "9", True),
    (True, "equals", "1", False),
    (True, "greater_or_equal", "1", True),
    ("1e3", "greater", "999", True),
]


@pytest.mark.parametrize(("left", "operator", "right", "expected"), CASES)
def test_operands_of_a_condition_are_compared_as_in_javascript(left, operator, right, expected):
    asked = condition("{{It}}", operator, right)

    assert holds(asked, {"It": left}.__getitem__) is expected


@pytest.mark.parametrize(("left", "operator", "right", "expected"), CASES)
def test_negation_inverts_every_condition(left, operator, right, expected):
    asked = condition("{{It}}", operator, right, negate=True)

    assert holds(asked, {"It": left}.__getitem__) is not expected


@pytest.mark.parametrize(
    ("operator", "right"),
    [
        ("equals", "PURCHASE"),
        ("contains", "CHA"),
        ("starts_with", "PUR"),
        ("ends_with", "CHASE"),
        ("matches", "^PUR.*E$"),
    ],
)
def test_condition_can_ignore_case(operator, right):
    said = {"It": "purchase"}.__getitem__

    strict = holds(condition("{{It}}", operator, right), said)
    lenient = holds(condition("{{It}}", operator, right, ignore_case=True), said)

    assert (strict, lenient) == (False, True)


def test_regular_expression_that_backtracks_is_fast():
    asked = condition("{{It}}", "matches", "^(a+)+$")

    assert not holds(asked, {"It": "a" * 5_000 + "!"}.__getitem__)


def test_lone_surrogate_in_a_pattern_is_accepted():
    asked = condition("{{It}}", "matches", "b.\U0001f600")

    assert holds(asked, {"It": "b\ud800\ud83d\ude00"}.__getitem__)
