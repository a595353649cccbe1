"""JMESPath expressions over JSON, with exact numbers.

The library `jmespath` knows only Python's numbers, and `to_number` makes a float of a text. Here,
numbers with a point are decimals in literals, functions and results. [ran: jmespath 1.1.0]
"""

import json
import math
from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from typing import Any, Final

import jmespath
import msgspec
from jmespath.exceptions import ArityError, JMESPathError, JMESPathTypeError, ParseError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from twite.formats.strict_json import decode, with_replacements

MAX_EXPRESSION: Final = 1_000
_DEEPEST: Final = 40
_LONGEST_NUMBER: Final = 40
_PLACES: Final = 12  # of an average, which may have no end
_EXACT: Final = Context(prec=200)
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

    def of(self, value: object) -> object:
        """Return the result: JSON with decimals. Raises ExpressionFailed."""
        try:
            with localcontext(_EXACT):
                return _INTERPRETER.visit(self.tree, value)
        except JMESPathTypeError as error:
            raise ExpressionFailed(
                f"{error.function_name}() does not take {_kind(error.actual_type)}"
            ) from None
        except (JMESPathError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
            raise ExpressionFailed(f"it does not fit ({type(error).__name__})") from None
        except RecursionError:
            raise ExpressionFailed("the value is nested too deeply") from None


@lru_cache(maxsize=4_096)
def compiled(text: str) -> Expression:
    """Compile an expression. Raises ExpressionRefused."""
    if len(text) > MAX_EXPRESSION:
        raise ExpressionRefused(f"is longer than {MAX_EXPRESSION} characters. Shorten it")
    try:
        return Expression(text=text, tree=_with_decimals(jmespath.compile(text).parsed))
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


class _ExactFunctions(Functions):  # type: ignore[misc]  # the library has no types
    """The functions of JMESPath, with decimals as numbers."""

    def _get_allowed_pytypes(self, types: list[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        allowed, inner = super()._get_allowed_pytypes(types)
        return (
            [*allowed, "Decimal"] if "float" in allowed else allowed,
            [(*each, "Decimal") if "float" in each else each for each in inner],
        )

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        found: str = super()._convert_to_jmespath_type(pyobject)
        return "number" if pyobject == "Decimal" else found

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


_FUNCTIONS: Final = _ExactFunctions()
_INTERPRETER: Final = TreeInterpreter(Options(custom_functions=_FUNCTIONS))


def _with_decimals(node: Node, depth: int = 0) -> dict[str, Any]:
    """Return the tree with decimals in its literals. Raises ExpressionRefused.

    The library finds a wrong function only when it calls it.
    """
    if depth > _DEEPEST:
        raise ExpressionRefused("is nested too deeply. Shorten it")
    if node["type"] == "function_expression":
        _require_function(node["value"], len(node["children"]))
    found = dict(node)
    if node["type"] == "literal":
        found["value"] = _literal(node["value"])
    found["children"] = [
        _with_decimals(child, depth + 1) if isinstance(child, dict) else child
        for child in node.get("children", ())
    ]
    return found


def _literal(value: object) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ExpressionRefused("has a number that is too large. Write a smaller one")
        return Decimal(repr(value))
    if isinstance(value, list):
        return [_literal(each) for each in value]
    if isinstance(value, dict):
        return {name: _literal(each) for name, each in value.items()}
    return value


def _require_function(name: str, given: int) -> None:
    known = _FUNCTIONS.FUNCTION_TABLE.get(name)
    if known is None:
        names = ", ".join(sorted(_FUNCTIONS.FUNCTION_TABLE))
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
