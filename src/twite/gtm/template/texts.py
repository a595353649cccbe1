"""JavaScript's String() and Number() conversions, which Google's conditions compare by.

UNDEFINED stands for a missing value, which JSON cannot express.
"""

import math
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from twite.domain.json_tree import Tree

Value: TypeAlias = "Tree | UnsetType"
UNDEFINED: Final = UNSET


def text_of(value: Value) -> str:
    """Return the result of `String(value)`."""
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
    """Return the result of `Number(value)`; NaN if it is not a number."""
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
    # Python's own spellings (inf, nan, 1_000) are not numbers in JavaScript.
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
    # JavaScript writes small numbers out as far as 1e-6, Python as far as 1e-4.
    if power and -7 < int(power) < 0:
        return f"{value:.{len(digits.replace('-', '').replace('.', '')) - 1 - int(power)}f}"
    return f"{digits}e{int(power):+d}" if power else digits


_SPACES: Final = " \t\n\r\v\f\u00a0\ufeff\u2028\u2029"
_OF_NUMBERS: Final = frozenset("0123456789+-.eE")
