"""Value rules: replace the amount of a conversion by the result of an expression.

    [[value_rule]]
    name = "profit"
    events = ["purchase"]
    value = "sum(contents[].multiply(quantity, subtract(price, lookup('costs', id, 'cost'))))"
    currency = "EUR"

The first rule that fits a conversion applies. A pure function: the same rules, tables and
conversion give the same result, which is never negative. A rule that cannot be applied changes
nothing. Expressions always end: they have no loops, and their lists cannot multiply.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, Final

import msgspec
from jmespath.functions import signature

from twite.domain.conversion import DECIMALS, MAX_DIGITS, Conversion, amount
from twite.domain.fault import Fault
from twite.domain.test_mode import real_name
from twite.domain.value_change import NO_RULE_FIELDS, RuleFields, RuleProblem, ValueChange
from twite.formats.expressions import (
    ExactFunctions,
    Expression,
    ExpressionFailed,
    ExpressionRefused,
    Node,
    compiled,
    field_name,
    interpreter_of,
    is_true,
    kind_of,
    nodes,
    rounded,
)
from twite.formats.value_rule_fields import compares_amounts, fields_of, require_fields
from twite.formats.value_table import ValueTable
from twite.redaction.scrub_text import free_text

# The lines of an order that rules read. An expression takes a time in proportion to them.
MAX_LINES: Final = 1_000
# By how much the lists of an expression may multiply its input.
_MOST_COPIES: Final = 256
_LISTS: Final = frozenset({"multi_select_list", "multi_select_dict"})
# These make a text longer in each of several nested calls.
_TEXTS: Final = frozenset({"join", "to_string"})
_LOOKUP: Final = "lookup"
_SUMS: Final = frozenset({"add", "subtract"})
_LONGEST_KEY: Final = 64
# As many as twite.js sends.
_DECIMALS_READ: Final = 6
# Names that only the lines of an order have. `quantity` is also a name of the whole order.
FIELDS_OF_LINES: Final = frozenset({"id", "name", "price", "group", "type"})
FIELDS_OF_CONVERSIONS: Final = frozenset(
    {
        "value", "currency", "quantity", "contents", "description", "search", "url", "tax",
        "shipping", "new_customer",
    }
)  # fmt: skip
_NO_TABLES: Final[Mapping[str, ValueTable]] = {}


class _MissingRow(ExpressionFailed):
    pass


class _NoTable(ExpressionFailed):
    pass


class RuleFunctions(ExactFunctions):
    """The functions of value rules: also `lookup(table, id, column, default)`."""

    FUNCTION_TABLE: ClassVar[dict[str, Any]]

    def __init__(self, tables: Mapping[str, ValueTable] = _NO_TABLES) -> None:
        self._tables = tables

    @signature(  # type: ignore[untyped-decorator]
        {"types": ["string"]}, {"types": []}, {"types": [], "variadic": True}
    )
    def _func_lookup(self, table: str, key: object, column: str, *default: object) -> object:
        found = self._tables.get(table)
        if found is None:
            raise _NoTable(f"the table {table} cannot be read")
        number = None
        if isinstance(key, str | int):
            number = found.number(str(key).strip(), column)
        if number is not None:
            return number
        if default:
            return default[0]
        if not isinstance(key, str | int):
            raise _MissingRow(f"lookup() in {table} does not take {kind_of(key)} as an id")
        # It may come from any text of the conversion.
        shown = (free_text(str(key)) or "")[:_LONGEST_KEY]
        raise _MissingRow(f'the table {table} has no {column} for "{shown}"')


_FUNCTIONS: Final = RuleFunctions()


class ValueRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. Without `pixels`, `sources` or `events`, it applies to all of them.

    `events` are names of the settings. `currency` is that of the result for conversions without
    one; conversions in another currency are an error.
    """

    name: str
    value: str
    when: str | None = None
    pixels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    currency: str | None = None

    def lookups(self) -> Iterator[tuple[str, str]]:
        """Yield the (table, column) of each lookup. Raises ExpressionRefused."""
        for text in (self.when, self.value):
            if text is not None:
                yield from lookups_of(rule_expression(text))

    def fields(self) -> frozenset[str]:
        """Return the names of all fields that the rule reads, also of lines of the order."""
        return frozenset(name for tree in self._trees() for name in fields_of(tree))

    def compares_amounts(self) -> bool:
        """Return whether the rule compares an amount with a fixed one, as in value > `100`."""
        return any(map(compares_amounts, self._trees()))

    def _trees(self) -> Iterator[Node]:
        for text in (self.when, self.value):
            if text is not None:
                yield rule_expression(text).tree

    def has_own_amounts(self) -> bool:
        """Return whether the value has numbers of a table, or adds or subtracts a fixed one."""
        expression = rule_expression(self.value)
        return any(lookups_of(expression)) or any(
            node["type"] == "function_expression"
            and node["value"] in _SUMS
            # A sum of two fixed numbers may be a factor.
            and [bool(child.get("value")) for child in node["children"] if _is_literal(child)]
            == [True]
            for node, _ in nodes(expression.tree)
        )

    def may_name(self, event: str, names: Mapping[str, str]) -> bool:
        """Return whether the rule applies to X's event id, if `names` are those of its pixel."""
        return not self.events or any(names.get(name) == event for name in self.events)


class RuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion after the rules. `change` is None if no rule fits, or the value stays."""

    conversion: Conversion
    change: ValueChange | None = None
    rule: str | None = None


@lru_cache(maxsize=1_024)
def rule_expression(text: str) -> Expression:
    """Compile an expression of a rule. Raises ExpressionRefused."""
    expression = compiled(text, _FUNCTIONS)
    copies = 1
    for node, _ in nodes(expression.tree):
        if node["type"] in _LISTS:
            copies *= max(1, len(node["children"]))
        if node["type"] == "function_expression" and node["value"] in _TEXTS:
            raise ExpressionRefused(f"calls {node['value']}(), which value rules do not have")
    if copies > _MOST_COPIES:
        raise ExpressionRefused("has too many lists such as [a, b]. Use fewer")
    for _ in lookups_of(expression):
        pass
    require_fields(expression.tree, FIELDS_OF_CONVERSIONS | FIELDS_OF_LINES)
    return expression


def _is_literal(node: Node) -> bool:
    return bool(node["type"] == "literal")


def lookups_of(expression: Expression) -> Iterator[tuple[str, str]]:
    """Yield the (table, column) of each lookup. Raises ExpressionRefused."""
    for node, _ in nodes(expression.tree):
        if node["type"] != "function_expression" or node["value"] != _LOOKUP:
            continue
        table, _key, column, *default = node["children"]
        for name, child in (("table", table), ("column", column)):
            if child["type"] != "literal" or not isinstance(child["value"], str):
                raise ExpressionRefused(
                    f"calls lookup() without the name of a {name}. Write it as in "
                    "lookup('costs', id, 'cost')"
                )
        if len(default) > 1:
            raise ExpressionRefused("calls lookup() with more than 4 arguments. Remove some")
        yield table["value"], column["value"]


class ValueRules:
    """The rules in the order of the settings, with the tables that they read.

    `pixels` has the events of each pixel: name → X's id. A table that is not in `tables` could
    not be read: rules that need it fail.
    """

    def __init__(
        self,
        rules: Sequence[ValueRule] = (),
        *,
        pixels: Mapping[str, Mapping[str, str]],
        tables: Mapping[str, ValueTable] = _NO_TABLES,
    ) -> None:
        self.rules = tuple(rules)
        self._interpreter = interpreter_of(RuleFunctions(tables))
        # For events without a name, the rules that name no event.
        self._by_pixel: dict[str, tuple[ValueRule, ...]] = {}
        self._by_event: dict[tuple[str, str], tuple[ValueRule, ...]] = {}
        for pixel, names in pixels.items():
            own = [rule for rule in rules if not rule.pixels or pixel in rule.pixels]
            self._by_pixel[pixel] = tuple(rule for rule in own if not rule.events)
            for event in names.values():
                self._by_event[pixel, event] = tuple(
                    rule for rule in own if rule.may_name(event, names)
                )
        self._elsewhere = tuple(rule for rule in rules if not rule.pixels and not rule.events)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def of(self, *, source: str, pixel: str, event: str) -> tuple[ValueRule, ...]:
        """Return the rules for conversions of X's event id, if their `when` is true."""
        real_pixel = real_name(pixel)
        found = self._by_event.get((real_pixel, event))
        if found is None:
            found = self._by_pixel.get(real_pixel, self._elsewhere)
        if not found:
            return ()
        name = real_name(source)
        return tuple(rule for rule in found if not rule.sources or name in rule.sources)

    def applied(
        self,
        conversion: Conversion,
        *,
        source: str,
        rule_fields: RuleFields = NO_RULE_FIELDS,
    ) -> RuleResult:
        """Return the conversion with the value that the first fitting rule gives it."""
        found = self.of(source=source, pixel=conversion.pixel, event=conversion.event)
        if not found:
            return RuleResult(conversion=conversion)
        if len(conversion.contents) > MAX_LINES:
            detail = f"the order has more than {MAX_LINES:,} lines"
            return _failed(found[0], conversion, RuleProblem.TOO_MANY_LINES, detail)
        document = document_of(conversion, rule_fields)
        for rule in found:
            key = "when"
            try:
                if rule.when is not None and not is_true(
                    rule_expression(rule.when).of(document, self._interpreter)
                ):
                    continue
                key = "value"
                result = rule_expression(rule.value).of(document, self._interpreter)
            except ExpressionFailed as failed:
                return _failed(rule, conversion, _problem(failed), f"{key}: {failed}")
            return _result(rule, conversion, result)
        return RuleResult(conversion=conversion)


def document_of(
    conversion: Conversion, rule_fields: RuleFields = NO_RULE_FIELDS
) -> dict[str, object]:
    """Return what an expression reads: amounts as decimals, None for what is missing."""
    return {
        "value": _decimal(conversion.value),
        "currency": conversion.currency,
        "quantity": conversion.quantity,
        "contents": [
            {
                "id": line.id,
                "name": line.name,
                "price": _decimal(line.price),
                "quantity": line.quantity,
                "group": line.group,
                "type": line.type,
            }
            for line in conversion.contents
        ]
        or None,
        "description": conversion.description,
        "search": conversion.search,
        "url": conversion.url,
        "tax": _decimal(rule_fields.tax),
        "shipping": _decimal(rule_fields.shipping),
        "new_customer": rule_fields.new_customer,
    }


def _decimal(text: str | None) -> Decimal | None:
    """Read an amount without the rest of a sum of binary fractions: 1.0499999999999998 is 1.05."""
    if text is None:
        return None
    number = Decimal(text)
    return (
        number if len(text.partition(".")[2]) <= _DECIMALS_READ else rounded(number, _DECIMALS_READ)
    )


def _problem(failed: ExpressionFailed) -> RuleProblem:
    if isinstance(failed, _MissingRow):
        return RuleProblem.MISSING_ROW
    return RuleProblem.NO_TABLE if isinstance(failed, _NoTable) else RuleProblem.EXPRESSION


def _result(rule: ValueRule, conversion: Conversion, result: object) -> RuleResult:
    currency = conversion.currency or rule.currency
    if isinstance(result, bool) or not isinstance(result, int | Decimal):
        problem = RuleProblem.NO_NUMBER
        detail = f"value: the result is {kind_of(result)}, not a number"
        absent = None if result is not None else field_name(rule_expression(rule.value).tree)
        if absent:
            detail = f"{detail}: {absent} is missing"
    elif currency is None:
        problem = RuleProblem.NO_CURRENCY
        detail = "the conversion has no currency, and the rule has none"
    elif rule.currency is not None and rule.currency != currency:
        problem = RuleProblem.OTHER_CURRENCY
        detail = f"the conversion is in {currency}, the rule in {rule.currency}"
    elif (text := amount_of(Decimal(result), currency)) is None:
        is_negative = result < 0
        problem = RuleProblem.NEGATIVE if is_negative else RuleProblem.TOO_LARGE
        kind = "is negative" if is_negative else f"has more than {MAX_DIGITS} digits"
        detail = f"value: the result {kind}"
    elif (text, currency) == (conversion.value, conversion.currency):
        return RuleResult(conversion=conversion, rule=rule.name)
    else:
        return RuleResult(
            conversion=msgspec.structs.replace(conversion, value=text, currency=currency),
            change=ValueChange(
                rule=rule.name,
                before=conversion.value,
                currency_before=conversion.currency,
                after=text,
                currency=currency,
            ),
            rule=rule.name,
        )
    return _failed(rule, conversion, problem, detail)


def amount_of(number: Decimal, currency: str) -> str | None:
    """Return a number as an amount with the currency's decimals; None if it cannot be one.

    A half is rounded away from zero, as in 0.125 → 0.13. See `amount` for the form.
    """
    try:
        text = format(rounded(number, DECIMALS.get(currency, 2)), "f")
    except ExpressionFailed:
        return None
    # A loss of less than half a cent is zero.
    found = amount(text, path="value")
    return None if isinstance(found, Fault) else found


def _failed(
    rule: ValueRule, conversion: Conversion, problem: RuleProblem, detail: str
) -> RuleResult:
    change = ValueChange(
        rule=rule.name,
        before=conversion.value,
        currency_before=conversion.currency,
        currency=conversion.currency,
        problem=problem,
        detail=detail,
    )
    return RuleResult(conversion=conversion, change=change, rule=rule.name)
