"""JMESPath expressions over JSON, with exact numbers and arithmetic.

The library `jmespath` knows only Python's numbers: literals and `to_number` make floats. Here,
numbers with a point are decimals in literals, functions and results. [ran: jmespath 1.1.0]
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import lru_cache
from typing import Any, Final, NoReturn

import msgspec
from jmespath import ast
from jmespath.exceptions import ArityError, JMESPathError, JMESPathTypeError, ParseError
from jmespath.functions import Functions, signature
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from twite.formats.strict_json import decode, with_replacements

MAX_EXPRESSION: Final = 1_000
_DEEPEST: Final = 40
_LONGEST_NUMBER: Final = 40
_PLACES: Final = 12  # of an average, which may have no end
_EXACT: Final = Context(prec=200)
# Sums, differences and products are exact, or fail.
_ARITHMETIC: Final = Context(prec=200, traps=[InvalidOperation, Overflow, Inexact])
# A quotient has so many digits that rounding it again to an amount gives no other amount.
_DIVISION: Final = Context(prec=100, traps=[InvalidOperation, Overflow, DivisionByZero])
_MOST_PLACES: Final = 12  # that round() takes
# Functions of numbers only. `compiled` has counted their arguments.
_OF_NUMBERS: Final = frozenset({"add", "subtract", "multiply", "divide", "round"})
_NUMBERS: Final = frozenset({int, Decimal})
_LIST: Final = "multi_select_list"
# Nodes of which the first child is a list, which may be missing.
_OF_LISTS: Final = frozenset(
    {"flatten", "projection", "filter_projection", "index_expression", "value_projection"}
)
_JSON_LITERAL: Final = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)
# A node of the library's syntax tree: `type`, `children`, and perhaps `value`.
Node = Mapping[str, Any]


class ExpressionRefused(Exception):
    """A text that is no expression: the message says what is wrong, and what to do."""


class ExpressionFailed(Exception):
    """An expression does not fit a value. The message contains nothing of the value."""


class Expression(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled expression."""

    text: str
    tree: dict[str, Any]

    @property
    def is_null(self) -> bool:
        """Whether this is the literal null."""
        return self.tree["type"] == "literal" and self.tree["value"] is None

    def of(self, value: object, interpreter: TreeInterpreter | None = None) -> object:
        """Return the result: JSON with decimals. Raises ExpressionFailed.

        `interpreter` is for expressions that were compiled with other functions.
        """
        try:
            with localcontext(_EXACT):
                return (interpreter or _INTERPRETER).visit(self.tree, value)
        except (JMESPathError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
            raise ExpressionFailed(f"it does not fit ({type(error).__name__})") from None
        except RecursionError:
            raise ExpressionFailed("the value is nested too deeply") from None


class _ExactParser(Parser):  # type: ignore[misc]  # the library has no types
    """The library's parser, with decimals in literals."""

    def parse_exactly(self, text: str) -> dict[str, Any]:
        self._text = text
        tree: dict[str, Any] = self._do_parse(text).parsed
        return tree

    def _token_nud_literal(self, token: Mapping[str, Any]) -> object:
        lexeme = _JSON_LITERAL.match(self._text, token["start"])
        if lexeme is None:  # a raw string, such as 'EUR'
            return ast.literal(token["value"])
        try:
            value = json.loads(
                lexeme[1].replace("\\`", "`"),
                parse_float=_literal_number,
                parse_int=_literal_number,
                parse_constant=_refuse_constant,
            )
        except ValueError:  # a string without quotes, which JMESPath once allowed
            value = token["value"]
        return ast.literal(value)


@lru_cache(maxsize=4_096)
def compiled(text: str, functions: "ExactFunctions | None" = None) -> Expression:
    """Compile an expression, which may call `functions`. Raises ExpressionRefused."""
    if len(text) > MAX_EXPRESSION:
        raise ExpressionRefused(f"is longer than {MAX_EXPRESSION} characters. Shorten it")
    try:
        tree = _ExactParser().parse_exactly(text)
        _require_bounds(tree, functions or FUNCTIONS)
        return Expression(text=text, tree=tree)
    except ParseError as error:
        raise ExpressionRefused(_syntax(error, text)) from None
    except RecursionError:
        raise ExpressionRefused("is nested too deeply. Shorten it") from None
    except (JMESPathError, ValueError) as error:
        raise ExpressionRefused(f"is not JMESPath ({type(error).__name__})") from None


def exact_json(body: bytes) -> object:
    """Decode JSON with exact numbers. Raises MalformedRequest."""
    return decode(_DECODER, with_replacements(body))


def kind_of(value: object) -> str:
    """Name the type of a result, such as "a list"."""
    names = {bool: "true or false", dict: "an object", str: "text", type(None): "null"}
    return "a list" if isinstance(value, list) else names.get(type(value), "a number")


def _number(text: str) -> Decimal | str:
    """Return a number with a point or an exponent. An enormous one stays text."""
    if len(text) <= _LONGEST_NUMBER:
        number = Decimal(text)
        if abs(number.adjusted()) <= _LONGEST_NUMBER:
            return number
    return text


_DECODER: Final = msgspec.json.Decoder(object, float_hook=_number)


class ExactFunctions(Functions):  # type: ignore[misc]  # the library has no types
    """The functions of JMESPath, with decimals as numbers, and arithmetic."""

    def _get_allowed_pytypes(self, types: list[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        return _allowed_types(tuple(types))

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        found: str = super()._convert_to_jmespath_type(pyobject)
        return "number" if pyobject == "Decimal" else found

    def call_function(self, function_name: str, resolved_args: list[Any]) -> object:
        if function_name in _OF_NUMBERS and _NUMBERS.issuperset(map(type, resolved_args)):
            # The library checks each argument anew, which takes longer than the arithmetic.
            return self.FUNCTION_TABLE[function_name]["function"](self, *resolved_args)
        return super().call_function(function_name, resolved_args)

    @signature({"types": ["number"]}, {"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_add(self, left: Decimal, right: Decimal) -> Decimal:
        return _calculated("add", left, right)

    @signature({"types": ["number"]}, {"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_subtract(self, left: Decimal, right: Decimal) -> Decimal:
        return _calculated("subtract", left, right)

    @signature({"types": ["number"]}, {"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_multiply(self, left: Decimal, right: Decimal) -> Decimal:
        return _calculated("multiply", left, right)

    @signature({"types": ["number"]}, {"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_divide(self, left: Decimal, right: Decimal) -> Decimal:
        if not right:
            raise ExpressionFailed("divide() by zero")
        return _calculated("divide", left, right, _DIVISION)

    @signature({"types": ["number"]}, {"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_round(self, number: Decimal, places: Decimal) -> Decimal:
        if places not in range(_MOST_PLACES + 1):
            raise ExpressionFailed(f"round() takes 0 to {_MOST_PLACES} places")
        return rounded(Decimal(number), int(places))

    @signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
    def _func_avg(self, numbers: list[Any]) -> Decimal | None:
        return round(Decimal(sum(numbers)) / len(numbers), _PLACES) if numbers else None

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, value: object) -> object:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return value
        if not isinstance(value, str) or len(value) > _LONGEST_NUMBER:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            return None
        return number if number.is_finite() and abs(number.adjusted()) <= _LONGEST_NUMBER else None

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, value: object) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, Decimal):
            return format(value, "f")
        return json.dumps(value, separators=(",", ":"), default=lambda each: format(each, "f"))

    @signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_type(self, value: object) -> object:
        return "number" if isinstance(value, Decimal) else super()._func_type(value)


# Cached, because the library asks for the types of each argument of each call.
@lru_cache(maxsize=256)
def _allowed_types(types: tuple[str, ...]) -> tuple[list[str], list[tuple[str, ...]]]:
    allowed, inner = Functions()._get_allowed_pytypes(types)  # noqa: SLF001  # no public way
    return (
        [*allowed, "Decimal"] if "float" in allowed else allowed,
        [(*each, "Decimal") if "float" in each else each for each in inner],
    )


FUNCTIONS: Final = ExactFunctions()


class _NamingInterpreter(TreeInterpreter):  # type: ignore[misc]  # the library has no types
    """Names the field whose absence makes a function fail."""

    def visit_function_expression(self, node: Node, value: object) -> object:
        arguments = [self.visit(child, value) for child in node["children"]]
        try:
            return self._functions.call_function(node["value"], arguments)
        except JMESPathTypeError as error:
            message = f"{error.function_name}() does not take {_kind(error.actual_type)}"
            absent = None
            if error.current_value is None:
                absent = _absent(node["children"], arguments)
            raise ExpressionFailed(message + (f": {absent} is missing" if absent else "")) from None


def interpreter_of(functions: ExactFunctions) -> TreeInterpreter:
    """Return what evaluates expressions with these functions."""
    return _NamingInterpreter(Options(custom_functions=functions))


_INTERPRETER: Final = interpreter_of(FUNCTIONS)


def field_name(tree: Node) -> str | None:
    """Return the field that an expression reads, such as `contents.price`; None for others."""
    kind, children = tree["type"], tree.get("children", ())
    if kind == "field":
        return str(tree["value"])
    if kind in _OF_LISTS:
        return field_name(children[0])
    if kind == "subexpression":
        names = [field_name(child) for child in children]
        return None if None in names else ".".join(map(str, names))
    return None


def is_true(found: object) -> bool:
    """Return whether a result is true, as JMESPath defines it."""
    return found is not None and found is not False and found not in ("", [], {})


def rounded(number: Decimal, places: int) -> Decimal:
    """Round to decimals; a half is rounded away from zero. Raises ExpressionFailed."""
    try:
        return number.quantize(_unit(places), ROUND_HALF_UP, _EXACT)
    except DecimalException:
        raise ExpressionFailed("a number has too many digits") from None


@lru_cache(maxsize=64)
def _unit(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)


def nodes(tree: Node, depth: int = 0) -> Iterator[tuple[Node, int]]:
    """Yield the nodes of a tree, with their depth."""
    yield tree, depth
    for child in tree.get("children", ()):
        if isinstance(child, dict):
            yield from nodes(child, depth + 1)


def _absent(children: Sequence[Node], arguments: Sequence[object]) -> str | None:
    """Return the first field among the arguments of a function, or in a list, that is null."""
    for child, argument in zip(children, arguments, strict=True):
        if argument is None:
            return field_name(child)
        if isinstance(argument, list) and None in argument and child["type"] == _LIST:
            return _absent(child["children"], argument)
    return None


def _calculated(
    name: str, left: Decimal, right: Decimal, context: Context = _ARITHMETIC
) -> Decimal:
    try:
        found: Decimal = getattr(context, name)(Decimal(left), Decimal(right))
    except DecimalException:
        raise ExpressionFailed(f"{name}() gives a number with too many digits") from None
    return found


def _require_bounds(tree: Node, functions: ExactFunctions) -> None:
    """Raise ExpressionRefused for a tree that is too deep, or calls what does not exist.

    The library finds a wrong function only when it calls it.
    """
    for node, depth in nodes(tree):
        if depth > _DEEPEST:
            raise ExpressionRefused("is nested too deeply. Shorten it")
        if node["type"] == "function_expression":
            _require_function(node["value"], len(node["children"]), functions)


def _literal_number(text: str) -> Decimal | int:
    if "." not in text and "e" not in text.lower():
        return int(text)
    number = _number(text)
    if isinstance(number, str):
        raise ExpressionRefused("has a number that is too large. Write a smaller one")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ExpressionRefused(f"has {name}, which is no number. Write one")


def _require_function(name: str, given: int, functions: ExactFunctions) -> None:
    known = functions.FUNCTION_TABLE.get(name)
    if known is None:
        names = ", ".join(sorted(functions.FUNCTION_TABLE))
        raise ExpressionRefused(f"has an unknown function {name}(). Available: {names}")
    types = known["signature"]
    is_open = bool(types and types[-1].get("variadic"))
    if given < len(types) or (given > len(types) and not is_open):
        raise ExpressionRefused(f"calls {name}() with {given} arguments: it takes {len(types)}")


def _syntax(error: ParseError, text: str) -> str:
    if isinstance(error, ArityError) or error.lex_position >= len(text):
        return "ends too early. Complete the expression"
    column, token = error.lex_position + 1, text[error.lex_position :][:10]
    return (
        f"is not JMESPath: unexpected {token!r} at column {column}. Write names as in data.total, "
        "names with other characters as in data.\"order-id\", and constants as in 'EUR'"
    )


def _kind(name: str) -> str:
    names = {
        "string": "text", "str": "text", "null": "null", "NoneType": "null", "array": "a list",
        "list": "a list", "object": "an object", "dict": "an object", "boolean": "true or false",
        "bool": "true or false",
    }  # fmt: skip
    return names.get(name, "this value")
