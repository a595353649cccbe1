"""Convert values to text as JavaScript does, and replace `{{name}}` references in texts."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from msgspec import UNSET, UnsetType

from twite.tags.json_tree import Tree

Value: TypeAlias = "Tree | UnsetType"
UNDEFINED: Final = UNSET
_SPACES: Final = " \t\n\r\v\f\u00a0\ufeff\u2028\u2029"
_OF_NUMBERS: Final = frozenset("0123456789+-.eE")
_NAME: Final = re.compile(r"\{\{([^{}]+)\}\}")
DEEPEST: Final = 50  # depth of variables that refer to each other
LONGEST: Final = 1024 * 1024  # characters: texts that contain each other twice grow without limit


def text_of(value: Value) -> str:
    match value:
        case UnsetType():
            return "undefined"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return value
        case int() | float():
            is_short = isinstance(value, int) and abs(value) < 10**21
            return str(value) if is_short else _of_float(float(value))
        case list():
            return ",".join("" if element is None else text_of(element) for element in value)
    return "[object Object]"


def number_of(value: Value) -> float:
    match value:
        case None:
            return 0.0
        case UnsetType():
            return math.nan
        case bool() | int() | float():
            return _as_float(value)
    text = text_of(value).strip(_SPACES)
    if not text:
        return 0.0
    if text.removeprefix("-").removeprefix("+") == "Infinity":
        return -math.inf if text.startswith("-") else math.inf
    # JavaScript does not accept some numbers that Python accepts (inf, nan, 1_000).
    return _as_float(text) if set(text) <= _OF_NUMBERS else math.nan


def _as_float(value: float | str) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan


def _of_float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    digits, _, power = repr(value).partition("e")
    # JavaScript writes small numbers without an exponent down to 1e-6, Python down to 1e-4.
    if power and -7 < int(power) < 0:
        return f"{value:.{len(digits.replace('-', '').replace('.', '')) - 1 - int(power)}f}"
    return f"{digits}e{int(power):+d}" if power else digits


class TooLong(Exception):
    """A text exceeded the limit."""


def names_in(tree: Tree) -> Iterator[str]:
    if isinstance(tree, str):
        yield from (name.strip() for name in _NAME.findall(tree))
    elif isinstance(tree, list):
        for child in tree:
            yield from names_in(child)
    elif isinstance(tree, dict):
        for key, child in tree.items():
            yield from names_in(key)
            yield from names_in(child)


def literal(text: str) -> str:
    return _NAME.sub("", text)


def literals(text: str) -> list[str]:
    return [part for part in re.split(r"\{\{[^{}]+\}\}", text) if part]


def filled(tree: Tree, value_of: Callable[[str], Value]) -> Value:
    """Return the tree with values in place of references.

    An undefined value is absent from an object and null in an array, as in JSON.
    """
    if isinstance(tree, str):
        return _filled_text(tree, value_of)
    if isinstance(tree, list):
        values = [filled(child, value_of) for child in tree]
        return [None if value is UNDEFINED else value for value in values]
    if isinstance(tree, dict):
        pairs = {text_of(filled(k, value_of)): filled(child, value_of) for k, child in tree.items()}
        return {key: child for key, child in pairs.items() if child is not UNDEFINED}
    return tree


def _filled_text(text: str, value_of: Callable[[str], Value]) -> Value:
    if "{{" not in text:
        return text
    whole = _NAME.fullmatch(text)
    if whole is not None:
        return value_of(whole[1].strip())
    pieces, length, end = [], 0, 0
    for found in _NAME.finditer(text):
        put = text_of(value_of(found[1].strip()))
        length += found.start() - end + len(put)
        if length > LONGEST:
            raise TooLong
        pieces += [text[end : found.start()], put]
        end = found.end()
    return "".join([*pieces, text[end:]])
