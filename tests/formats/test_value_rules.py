"""Value rules: exact money, rounding, the first fitting rule, and errors that change nothing."""

from decimal import ROUND_HALF_UP, Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.conversion import DECIMALS, Content, Conversion, Identifiers
from twite.domain.value_change import RuleProblem, ValueChange
from twite.formats.expressions import ExpressionRefused
from twite.formats.value_rules import MAX_LINES, ValueRule, ValueRules, rule_expression
from twite.formats.value_table import TableRefused, read_table

PIXELS = {"o8z6j": {"purchase": "o8z6k", "order": "o8z6k", "lead": "o8z6m"}, "other": {}}
COSTS = b"id,name,cost\nA,Shoe,0.10\nB,Hat,3.333\nLOSS,Sock,99\nEMPTY,Belt,\n"
PROFIT = "sum(contents[].multiply(quantity, subtract(price, lookup('costs', id, 'cost'))))"

amounts = st.decimals(min_value=0, max_value=10**9, places=2)
currencies = st.sampled_from(["EUR", "JPY", "KWD", "USD"])


def conversion(**fields):
    given = {"value": "49.90", "currency": "EUR", "event": "o8z6k", "pixel": "o8z6j"} | fields
    return Conversion(conversion_id="1", time=0, identifiers=Identifiers(click_id="c"), **given)


def line(id_, price, quantity=1):
    return Content(id=id_, price=price, quantity=quantity)


def rules(value, costs=COSTS, **keys):
    tables = {} if costs is None else {"costs": read_table(costs, ["cost"])}
    return ValueRules([ValueRule(name="a rule", value=value, **keys)], pixels=PIXELS, tables=tables)


def value_after(expression, **fields):
    return rules(expression).applied(conversion(**fields), source="shop").conversion.value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("subtract(value, `4.90`)", "45.00"),
        ("add(`0.1`, `0.2`)", "0.30"),
        ("multiply(value, `1.5`)", "74.85"),
        ("divide(value, `1.19`)", "41.93"),
        ("multiply(divide(`10`, `3`), `3`)", "10.00"),
        ("`0.125`", "0.13"),
        ("`0.124999999999999999999999999999`", "0.12"),
        ("`9007199254740993.01`", "9007199254740993.01"),
        ("`123456789012345678.12`", "123456789012345678.12"),
        ("round(divide(value, `3`), `1`)", "16.60"),
        ("max([subtract(value, `100`), `0`])", "0.00"),
        ("`-0.004`", "0.00"),
        (PROFIT, "3.63"),
        ("lookup('costs', 'NONE', 'cost', value)", "49.90"),
        ("lookup('costs', 'EMPTY', 'cost', `7`)", "7.00"),
        ("quantity", "4.00"),
    ],
)
def test_results_are_exact_and_rounded_half_up(expression, value):
    lines = (line("A", "0.30", 3), line("B", "6.366"))

    assert value_after(expression, contents=lines, quantity=4) == value


@pytest.mark.parametrize(
    ("currency", "value"), [("EUR", "41.93"), ("JPY", "42.00"), ("KWD", "41.933")]
)
def test_results_have_the_decimals_of_their_currency(currency, value):
    assert value_after("divide(value, `1.19`)", currency=currency) == value


@given(amounts, amounts, currencies)
def test_calculations_equal_those_of_decimals(value, other, currency):
    places = Decimal(1).scaleb(-DECIMALS.get(currency, 2))
    cases = {
        f"add(value, `{other}`)": value + other,
        f"subtract(value, `{other}`)": value - other,
        f"multiply(value, `{other}`)": value * other,
        f"sum([value, `{other}`, value])": value + other + value,
    }
    for expression, exact in cases.items():
        after = value_after(expression, value=str(value), currency=currency)
        expected = exact.quantize(places, ROUND_HALF_UP)
        in_range = 0 <= expected < 10**18
        assert Decimal(after) == (expected if in_range else value)


@given(st.lists(st.tuples(amounts, st.integers(1, 1_000)), min_size=1, max_size=20), amounts)
def test_profit_is_the_sum_of_exact_lines(given_lines, cost):
    table = f"id,cost\nA,{cost}\n".encode()
    lines = tuple(line("A", str(price), count) for price, count in given_lines)
    exact = sum(count * (price - cost) for price, count in given_lines)

    result = rules(PROFIT, table).applied(conversion(contents=lines), source="shop")

    if 0 <= exact < 10**18:
        assert Decimal(result.conversion.value) == exact
    else:
        assert result.conversion.value == "49.90"


def test_change_says_what_the_rule_made_of_the_value():
    result = rules("`20`", currency="EUR").applied(
        conversion(value=None, currency=None), source="shop"
    )

    assert (result.conversion.value, result.conversion.currency) == ("20.00", "EUR")
    assert result.change == ValueChange(rule="a rule", before=None, after="20.00", currency="EUR")


def test_value_that_stays_is_no_change():
    result = rules("value").applied(conversion(), source="shop")

    assert (result.change, result.rule) == (None, "a rule")


@pytest.mark.parametrize(
    ("expression", "fields", "problem", "detail"),
    [
        ("subtract(value, `50`)", {}, "negative", "value: the result is negative"),
        ("multiply(value, `1e20`)", {}, "too_large", "value: the result has more than 18 digits"),
        (
            "search",
            {},
            "no_number",
            "value: the result is null, not a number: search is missing",
        ),
        ("'12.50'", {}, "no_number", "value: the result is text, not a number"),
        ("value > `1`", {}, "no_number", "value: the result is true or false, not a number"),
        ("divide(value, `0`)", {}, "expression_failed", "value: divide() by zero"),
        (
            "add(value, quantity)",
            {},
            "expression_failed",
            "value: add() does not take null: quantity is missing",
        ),
        (
            PROFIT,
            {},
            "expression_failed",
            "value: sum() does not take null: contents is missing",
        ),
        (
            "sum(contents[].multiply(price, quantity))",
            {"contents": (line("A", None),)},
            "expression_failed",
            "value: multiply() does not take null: price is missing",
        ),
        (
            "sum([value, contents[0].price])",
            {"contents": (line("A", None),)},
            "expression_failed",
            "value: sum() does not take null: contents.price is missing",
        ),
        (
            "add(value, max(contents[].price))",
            {"contents": (line("A", None),)},
            "expression_failed",
            "value: add() does not take null",
        ),
        (
            PROFIT,
            {"contents": (line("A", "1.00"), line("Z", "2.00"))},
            "missing_row",
            'value: the table costs has no cost for "Z"',
        ),
        (
            PROFIT,
            {"contents": (line("EMPTY", "1.00"),)},
            "missing_row",
            'value: the table costs has no cost for "EMPTY"',
        ),
        (
            PROFIT,
            {"contents": (line(None, "1.00"),)},
            "missing_row",
            "value: lookup() in costs does not take null as an id",
        ),
        (
            PROFIT,
            {"contents": (line("A", "1.00"),) * (MAX_LINES + 1)},
            "too_many_lines",
            "the order has more than 1,000 lines",
        ),
        (
            "`20`",
            {"value": None, "currency": None},
            "currency_missing",
            "the conversion has no currency, and the rule has none",
        ),
        (
            (
                "`1.111111111111111111111111111111111`"
                " | multiply(@, @) | multiply(@, @) | multiply(@, @)"
            ),
            {},
            "expression_failed",
            "value: multiply() gives a number with too many digits",
        ),
    ],
)
def test_rule_that_fails_changes_nothing(expression, fields, problem, detail):
    before = conversion(**fields)

    result = rules(expression).applied(before, source="shop")

    assert result.conversion == before
    assert (result.change.problem, result.change.before) == (RuleProblem(problem), before.value)
    assert result.change.detail == detail


def test_rule_in_another_currency_changes_nothing():
    result = rules("`20`", currency="EUR").applied(conversion(currency="USD"), source="shop")

    assert result.conversion.value == "49.90"
    assert result.change.problem is RuleProblem.OTHER_CURRENCY


def test_rule_without_its_table_changes_nothing():
    result = rules(PROFIT, None).applied(conversion(contents=(line("A", "1.00"),)), source="shop")

    assert result.change.problem is RuleProblem.NO_TABLE


def test_detail_contains_no_person():
    result = rules("lookup('costs', description, 'cost')").applied(
        conversion(description="for shopper@example.com"), source="shop"
    )

    assert "shopper" not in result.change.detail


def test_first_rule_that_fits_applies():
    ordered = ValueRules(
        [
            ValueRule(name="page", value="`1`", sources=("page",)),
            ValueRule(name="large", value="`2`", when="value > `100`", events=("purchase",)),
            ValueRule(name="lead", value="`3`", events=("lead",)),
            ValueRule(name="other", value="`4`", pixels=("other",)),
            ValueRule(name="rest", value="`5`", pixels=("o8z6j",)),
        ],
        pixels=PIXELS,
    )

    def rule(source="shop", **fields):
        return ordered.applied(conversion(**fields), source=source).rule

    assert rule(source="page") == "page"
    assert rule(source="test:page") == "page"
    assert rule(value="100.01") == "large"
    assert rule(value="100.00") == "rest"
    assert rule(event="o8z6m", value="100.01") == "lead"
    assert rule(event="unnamed", value="100.01") == "rest"
    assert rule(pixel="other") == "other"
    assert rule(pixel="test:other") == "other"
    assert rule(pixel="unknown") is None


def test_condition_that_fails_is_an_error_and_ends_the_search():
    ordered = ValueRules(
        [
            ValueRule(name="first", value="`1`", when="contains(search, 'x')"),
            ValueRule(name="second", value="`2`"),
        ],
        pixels=PIXELS,
    )

    result = ordered.applied(conversion(), source="shop")

    assert (result.rule, result.conversion.value) == ("first", "49.90")
    assert result.change.detail.startswith("when: contains() does not take null")


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("join('', [@, @])", "calls join(), which value rules do not have"),
        ("lookup(costs, id, 'cost')", "calls lookup() without the name of a table"),
        ("lookup('costs', id, cost)", "calls lookup() without the name of a column"),
        ("lookup('costs', id)", "calls lookup() with 2 arguments: it takes 3"),
        ("lookup('a', b, 'c', d, e)", "calls lookup() with more than 4 arguments"),
        ("|".join(["[@, @][]"] * 9), "has too many lists such as [a, b]"),
        ("value +", "is not JMESPath"),
        ("`NaN`", "has NaN, which is no number"),
    ],
)
def test_expressions_that_do_not_fit_a_rule_are_refused(expression, complaint):
    with pytest.raises(ExpressionRefused) as refused:
        rule_expression(expression)

    assert str(refused.value).startswith(complaint)


def test_lists_that_multiply_stay_small():
    found = rules("length(" + "|".join(["[@, @][]"] * 8) + ")")

    assert found.applied(conversion(), source="shop").conversion.value == "256.00"


@given(
    st.text(max_size=30),
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5) | amounts.map(str),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from(
        [PROFIT, "max(contents[].price)", "divide(value, quantity)", "search", "length(url)"]
    ),
)
def test_any_conversion_keeps_its_value_or_gets_a_valid_one(text, price, expression):
    given = conversion(
        search=text,
        url=text or None,
        contents=(line(text, price if isinstance(price, str) and price[:1].isdigit() else None),),
    )

    result = rules(expression).applied(given, source="shop")

    after = Decimal(result.conversion.value)
    assert after >= 0
    assert -after.as_tuple().exponent == 2
    assert msgspec.structs.replace(result.conversion, value=given.value) == given


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty. Write a first line with names"),
        (b"id,price\nA,1\n", 'no column "cost" after the first. Columns: price'),
        (b"cost\n1\n", 'no column "cost" after the first. Columns: none'),
        (b"id,cost,cost\nA,1,2\n", '2 columns are named "cost". Rename all but one'),
        (b"id,cost\nA,1\nA,2\n", 'row 3: "A" has a row already. Remove one of them'),
        (b"id,cost\n,1\n", "row 2: no id in the first column"),
        (b"id;cost\nA;12,50\n", 'row 2: "12,50" in column cost is not a number. Write it like'),
        (b"id,cost\nA,12,50\n", "row 2: more cells than the first row"),
        (b"id,cost\nA,NaN\n", 'row 2: "NaN" in column cost is not a number'),
        (b'id,cost\nA,"1\n', "row 2: an opening quote is never closed"),
        (b"id,cost\nB\xe4r,1\n", "line 2: not UTF-8"),
    ],
)
def test_files_that_are_no_tables_are_refused_with_their_row(content, complaint):
    with pytest.raises(TableRefused) as refused:
        read_table(content, ["cost"])

    assert str(refused.value).startswith(complaint)


def test_tables_are_read_as_spreadsheets_save_them():
    table = read_table("\ufeffid;Größe;cost\r\n1;x;-1.5\r\n\r\n2;y;0.30\r\n".encode(), ["cost"])

    assert table.rows == 2
    assert table.columns == {"cost": {"1": Decimal("-1.5"), "2": Decimal("0.30")}}
