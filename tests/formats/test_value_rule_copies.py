"""Value rules give a page's copy and a server's copy the same amount, in every currency.

Pages and many servers calculate with binary fractions: 3 * 0.1 is 0.30000000000000004.
"""

import json
import re
from fractions import Fraction
from pathlib import Path

import quickjs
from hypothesis import example, given
from hypothesis import strategies as st
from readings import DESTINATIONS, NOW, a_source, read_bytes
from test_beacon import a_beacon_body, seen

from twite.consent.verdict import judging
from twite.domain.conversion import CURRENCIES, DECIMALS
from twite.formats.beacon.read import read as read_beacon
from twite.formats.native.read import read_parsed
from twite.formats.value_rules import ValueRule, ValueRules
from twite.formats.value_table import read_table

SCRIPT = Path(__file__).parents[2] / "src/twite/http/script/twite.js"
PIXELS = {"o8z6j": {"purchase": "o8z6k"}}
RATE = Fraction(119, 100)
COST = Fraction(1, 3).limit_denominator(1_000_000_000)
PROFIT = (
    "sum(contents[].multiply(quantity, max([subtract(price, lookup('costs', id, 'cost')), `0`])))"
)
# An order as a page's JavaScript makes it from whole numbers of minor units, and sends it.
ORDER = """
const order = (lines, shipping, tax, unit) => {
  const own = lines.map(([price, quantity]) => ({id: 'A', price: price / unit, quantity}));
  return {
    lines: own,
    value: own.reduce((sum, line) => sum + line.price * line.quantity, shipping / unit),
    shipping: shipping / unit,
    tax: tax / unit
  };
};
const sent = (...given) => {
  const made = order(...given);
  return JSON.stringify({
    contents: made.lines.map((line) => ({...line, price: text(line.price)})),
    value: text(made.value), shipping: text(made.shipping), tax: text(made.tax)
  });
};
const floats = (...given) => {
  const {lines: contents, ...parts} = order(...given);
  return JSON.stringify({contents, ...parts});
};
"""

lines = st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 50)), min_size=1, max_size=6)
minor_units = st.integers(0, 10**7)
currencies = st.sampled_from(sorted(CURRENCIES))


def javascript():
    [line] = re.findall(r"^const text = .*;$", SCRIPT.read_text("utf-8"), re.MULTILINE)
    context = quickjs.Context()
    context.eval(line + ORDER)
    return context


PAGE = javascript()


def of_page(order, currency):
    source = a_source()
    body = a_beacon_body(
        {**order, "conversion_id": "1", "currency": currency, "email_sha256": "a" * 64}
    )
    parsed = read_parsed(
        read_beacon(body, seen()).parsed,
        source=source,
        destinations=DESTINATIONS,
        now=NOW,
        salt=b"salt",
        judge=judging(policy=source.consent, now=NOW),
    )
    [result] = parsed.results
    return result


def of_server(order, currency):
    body = {
        **order,
        "event": "purchase",
        "conversion_id": "1",
        "currency": currency,
        "email": "shopper@example.com",
    }
    [result] = read_bytes(json.dumps(body).encode()).results
    return result


def value_after(result, expression):
    table = read_table(f"id,cost\nA,{float(COST):.9f}\n".encode(), ["cost"])
    rules = ValueRules(
        [ValueRule(name="own", value=expression)], pixels=PIXELS, tables={"costs": table}
    )
    assert not result.faults
    found = rules.applied(result.conversion, source="shop", rule_fields=result.rule_fields)
    assert found.change is None or found.change.problem is None, found.change
    return found.conversion.value


def exact_amount(fraction, places):
    """Round a fraction half away from zero, by whole numbers alone."""
    scaled = fraction * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    digits = str(whole).rjust(places + 1, "0")
    written = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    # X wants two decimals at least.
    return written if places > 1 else f"{written}.00"


# 3 * 0.35 is 1.0499999999999998, of which the half must not become 0.52.
@example([(35, 3)], 0, 0, "EUR")
@example([(1, 1)], 0, 0, "JPY")
@example([(1_115, 3)], 1, 1, "KWD")
@given(lines, minor_units, minor_units, currencies)
def test_copies_get_the_same_exact_amount_in_every_currency(sold, shipping, tax, currency):
    places = DECIMALS.get(currency, 2)
    unit = 10**places
    gross = Fraction(sum(price * count for price, count in sold) + shipping, unit)
    tax = min(tax, sold[0][0])
    ship, vat = Fraction(shipping, unit), Fraction(tax, unit)
    goods = [(Fraction(price, unit), count) for price, count in sold]
    cost = Fraction(f"{float(COST):.9f}")
    given_order = json.dumps([sold, shipping, tax, unit])[1:-1]
    strings = {
        "contents": [
            {"id": "A", "price": exact_amount(price, places), "quantity": count}
            for price, count in goods
        ],
        "value": exact_amount(gross, places),
        "shipping": exact_amount(ship, places),
        "tax": exact_amount(vat, places),
    }
    copies = (
        of_page(json.loads(PAGE.eval(f"sent({given_order})")), currency),
        of_server(json.loads(PAGE.eval(f"floats({given_order})")), currency),
        of_server(strings, currency),
    )
    expected = {
        "value": gross,
        "subtract(subtract(value, tax), shipping)": gross - vat - ship,
        "divide(value, `1.19`)": gross / RATE,
        "multiply(value, `0.5`)": gross / 2,
        "multiply(subtract(value, tax), `1.5`)": (gross - vat) * Fraction(3, 2),
        "sum(contents[].multiply(price, quantity))": sum(price * count for price, count in goods),
        PROFIT: sum(max(price - cost, 0) * count for price, count in goods),
    }

    for expression, exact in expected.items():
        amounts = {value_after(copy, expression) for copy in copies}
        assert amounts == {exact_amount(Fraction(exact), places)}, expression


@given(lines, minor_units, minor_units, currencies)
def test_parts_add_up_to_the_total_in_every_currency(sold, shipping, tax, currency):
    places = DECIMALS.get(currency, 2)
    unit = 10**places
    tax = min(tax, sold[0][0])
    copy = of_page(
        json.loads(PAGE.eval(f"sent({json.dumps([sold, shipping, tax, unit])[1:-1]})")), currency
    )
    parts = (
        "subtract(subtract(value, tax), shipping)",
        "tax",
        "shipping",
    )

    of_lines = value_after(copy, "sum(contents[].multiply(price, quantity))")
    total = Fraction(value_after(copy, "value"))

    assert sum(Fraction(value_after(copy, part)) for part in parts) == total
    assert Fraction(of_lines) + Fraction(value_after(copy, "shipping")) == total
