"""JMESPath with exact numbers: ids of 64 bits, money, and bounded expressions."""

from decimal import Decimal

import pytest

from twite.domain.errors import MalformedRequest
from twite.formats.expressions import (
    MAX_EXPRESSION,
    ExpressionFailed,
    ExpressionRefused,
    compiled,
    exact_json,
)


def found(expression, body):
    return compiled(expression).of(exact_json(body))


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("id", 820982911946154508),
        ("to_string(id)", "820982911946154508"),
        ("to_number(to_string(id))", Decimal(820982911946154508)),
        ("total", Decimal("403.10")),
        ("to_string(total)", "403.10"),
        ("to_number('403.10')", Decimal("403.10")),
        ("to_number('1e999999')", None),
        ("sum(lines[].price)", Decimal("0.3")),
        ("sum(lines[].price | [*])", Decimal("0.3")),
        ("sum([total, id])", Decimal("820982911946154911.10")),
        ("max(lines[].price)", Decimal("0.2")),
        ("avg(lines[].price)", Decimal("0.15")),
        ("avg([`1`, `1`, `2`])", Decimal("1.333333333333")),
        ("avg(`[]`)", None),
        ("abs(`-403.10`)", Decimal("403.10")),
        ("`0.1234567890123456789`", Decimal("0.1234567890123456789")),
        ('`{"price": 9007199254740993.01}`.price', Decimal("9007199254740993.01")),
        ("add(total, id)", Decimal("820982911946154911.10")),
        ("subtract(total, `0.10`)", Decimal("403.00")),
        ("multiply(lines[0].price, `3`)", Decimal("0.3")),
        ("divide(total, `2`)", Decimal("201.55")),
        ("round(divide(`2`, `3`), `2`)", Decimal("0.67")),
        ("ceil(total)", 404),
        ("total == `403.10`", True),
        ("total > `403.09`", True),
        ("lines[?price > `0.15`].sku | [0]", "B"),
        ("sort_by(lines, &price)[-1].sku", "B"),
        ("max_by(lines, &price).sku", "B"),
        ("type(total)", "number"),
        ("type(id)", "number"),
        ("to_string(lines[0])", '{"sku":"A","price":"0.1"}'),
        ("'EUR'", "EUR"),
        ("missing || 'EUR'", "EUR"),
        ('`{"price": 0.1}`.price', Decimal("0.1")),
        ("enormous", "1e999999"),
    ],
)
def test_numbers_are_exact(expression, result):
    body = b"""{"id": 820982911946154508, "total": 403.10, "enormous": 1e999999,
        "lines": [{"sku": "A", "price": 0.1}, {"sku": "B", "price": 0.2}]}"""

    value = found(expression, body)

    assert (value, type(value)) == (result, type(result))


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("data.", "ends too early. Complete the expression"),
        ("data..total", "is not JMESPath: unexpected '.total' at column 6. Write names as in"),
        ("data.order-id", "is not JMESPath: unexpected '-id' at column 11. Write names as in"),
        ("summe(items)", "has an unknown function summe(). Available: abs, add, avg,"),
        ("sum(a, b)", "calls sum() with 2 arguments: it takes 1"),
        ("items[?join(@)]", "calls join() with 1 arguments: it takes 2"),
        ("a" * (MAX_EXPRESSION + 1), "is longer than 1000 characters. Shorten it"),
        ("!" * 900 + "a", "is nested too deeply. Shorten it"),
        ("(" * 450 + "a" + ")" * 450, None),
        ("`1e999`", "has a number that is too large. Write a smaller one"),
        ("", "is not JMESPath"),
    ],
)
def test_wrong_expressions_are_refused_with_a_fix(expression, complaint):
    try:
        compiled(expression)
    except ExpressionRefused as refused:
        assert complaint is None or str(refused).startswith(complaint)  # noqa: PT017
    else:
        assert complaint is None


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("sum(names)", "sum() does not take text"),
        ("join(',', total)", "join() does not take a number"),
        ("length(total)", "length() does not take a number"),
        ("max_by(people, &@)", "max_by() does not take an object"),
        ("keys(names)", "keys() does not take a list"),
    ],
)
def test_failures_do_not_quote_the_message(expression, complaint):
    body = b'{"names": ["Zoe"], "total": 1.5, "people": [{"name": "Zoe"}]}'

    with pytest.raises(ExpressionFailed) as failed:
        found(expression, body)

    assert "Zoe" not in str(failed.value)
    assert str(failed.value).replace("this value", "a number") == complaint


def test_failures_have_no_cause_that_quotes_the_message():
    with pytest.raises(ExpressionFailed) as failed:
        found("sum(names)", b'{"names": ["Zoe"]}')

    assert failed.value.__suppress_context__


def test_deep_json_is_refused():
    with pytest.raises(MalformedRequest) as refused:
        exact_json(b"[" * 100_000 + b"]" * 100_000)

    assert refused.value.code == "too_deep"


def test_deep_values_fail_and_do_not_end_the_process():
    deep = b'{"a":' * 900 + b"1" + b"}" * 900

    with pytest.raises(ExpressionFailed):
        found("to_string(@) && sum(@)", deep)


def test_literals_of_others_who_use_the_library_stay_floats():
    import jmespath  # noqa: PLC0415

    compiled("`7.25`")

    assert type(jmespath.search("`7.25`", {})) is float
