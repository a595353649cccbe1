"""Trigger conditions: compare values as JavaScript strings or numbers, or match them by RE2.

RE2 runs in linear time. Patterns may come from variables, and therefore from clients: an invalid
pattern matches nothing, and the number of cached compiled patterns is limited.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Final, Protocol

import re2

from twite.tags.container.parts import Condition, Operator
from twite.tags.template.texts import Value, filled, number_of, text_of

_MEMORY: Final = 1024 * 1024  # the most bytes for one compiled pattern with its automaton
_KEPT: Final = 1024
_TEXTS: Final[Mapping[Operator, Callable[[str, str], bool]]] = {
    Operator.EQUALS: str.__eq__,
    Operator.CONTAINS: str.__contains__,
    Operator.STARTS_WITH: str.startswith,
    Operator.ENDS_WITH: str.endswith,
}
_NUMBERS: Final[Mapping[Operator, Callable[[float, float], bool]]] = {
    Operator.GREATER: gt,
    Operator.GREATER_OR_EQUAL: ge,
    Operator.LESS: lt,
    Operator.LESS_OR_EQUAL: le,
}


class Match(Protocol):
    def group(self, which: int = 0) -> str | None:
        """Return the text of a group; 0 is the whole match."""

    def groups(self) -> tuple[str | None, ...]:
        """Return the texts of all groups."""


class _Pattern(Protocol):
    def search(self, text: str) -> Match | None: ...

    def fullmatch(self, text: str) -> Match | None: ...


def regex_match(
    pattern: str, text: str, *, ignore_case: bool = False, whole: bool = False
) -> Match | None:
    """Return the match of a pattern in the text; if `whole`, it must match the whole text."""
    compiled = _compiled(_sound(pattern), ignore_case)
    if not isinstance(compiled, str):
        return compiled.fullmatch(_sound(text)) if whole else compiled.search(_sound(text))
    return None


def regex_error(pattern: str) -> str | None:
    compiled = _compiled(_sound(pattern), False)  # noqa: FBT003  arguments of a cached function are positional
    return compiled if isinstance(compiled, str) else None


@lru_cache(maxsize=_KEPT)
def _compiled(pattern: str, ignore_case: bool) -> _Pattern | str:  # noqa: FBT001  as above
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    options.max_mem = _MEMORY
    try:
        compiled: _Pattern = re2.compile(pattern, options)
    except re2.error as error:
        message = error.args[0] if error.args else "it is not a valid pattern"
        return message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return compiled


def _sound(text: str) -> str:
    """Return the text with lone surrogates, which UTF-8 cannot encode, replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def holds(condition: Condition, value_of: Callable[[str], Value]) -> bool:
    left, right = filled(condition.left, value_of), filled(condition.right, value_of)
    return _fits(condition, left, right) is not condition.negate


def _fits(condition: Condition, left: Value, right: Value) -> bool:
    compare = _NUMBERS.get(condition.operator)
    if compare is not None:
        # In both languages, NaN is neither greater nor less than any value.
        return compare(number_of(left), number_of(right))
    text, sought = text_of(left), text_of(right)
    if condition.operator is Operator.MATCHES:
        found = regex_match(sought, text, ignore_case=condition.ignore_case)
        return found is not None
    if condition.ignore_case:
        text, sought = text.lower(), sought.lower()
    return _TEXTS[condition.operator](text, sought)
