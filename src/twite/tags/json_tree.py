"""Read JSON of unknown shape: objects, arrays and strings, with checks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Tree: TypeAlias = "str | int | float | bool | list[Tree] | dict[str, Tree] | None"
else:
    Tree = Any  # used as a msgspec type, which cannot be recursive


class WrongShape(ValueError):
    """A value has the wrong type."""


def as_mapping(value: Tree) -> Mapping[str, Tree]:
    """Return an object. Raises WrongShape for other values."""
    if not isinstance(value, dict):
        raise WrongShape(f"an object was expected, not {_named(value)}")
    return value


def as_list(value: Tree) -> list[Tree]:
    """Return an array; null counts as empty. Raises WrongShape."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise WrongShape(f"an array was expected, not {_named(value)}")
    return value


def as_text(value: Tree) -> str:
    """Return a string; null counts as empty. Raises WrongShape."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise WrongShape(f"a string was expected, not {_named(value)}")
    return value


def _named(value: Tree) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"
