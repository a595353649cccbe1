"""The fields that expressions of value rules may read, and comparisons of amounts."""

import pytest

from twite.domain.conversion import Conversion, Identifiers
from twite.formats.expressions import ExpressionRefused
from twite.formats.value_rules import FIELDS_OF_CONVERSIONS, ValueRule, document_of, rule_expression


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("vlaue", "reads vlaue, which no conversion has. Did you mean 'value'?"),
        ("contents[?prcie > `1`] | [0].price", "reads prcie, which no conversion has. Did you"),
        ("cart.total", "reads cart, which no conversion has. Available: contents, currency, "),
        ("email", "reads email: rules never get identifiers of persons"),
        ("length(identifiers[?phone])", "reads identifiers: rules never get identifiers"),
    ],
)
def test_names_that_no_conversion_has_are_refused(expression, complaint):
    with pytest.raises(ExpressionRefused) as refused:
        rule_expression(expression)

    assert str(refused.value).startswith(complaint)


@pytest.mark.parametrize(
    "expression",
    [
        *FIELDS_OF_CONVERSIONS,
        "sum(contents[].{all: multiply(quantity, price)}.all)",
        '`{"de": 5}`.de',
        "contents[0].group",
    ],
)
def test_fields_of_conversions_lines_and_own_objects_may_be_read(expression):
    rule_expression(expression)


def test_fields_of_conversions_are_those_of_documents():
    conversion = Conversion(
        pixel="o8z6j", event="o8z6k", conversion_id="a", time=1, identifiers=Identifiers()
    )

    assert document_of(conversion).keys() == FIELDS_OF_CONVERSIONS


@pytest.mark.parametrize(
    ("when", "compares"),
    [
        ("value > `100`", True),
        ("`9.5` <= subtract(value, tax)", True),
        ("contents[?price > `50`]", True),
        ("value > `0`", False),
        ("new_customer", False),
        ("quantity > `3`", False),
        ("value > tax", False),
    ],
)
def test_comparison_of_an_amount_with_a_number_is_found(when, compares):
    assert ValueRule(name="r", value="value", when=when).compares_amounts() is compares
    assert not ValueRule(name="r", value="value").compares_amounts()
