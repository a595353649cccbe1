"""`{{name}}` references to variables in texts: find them and fill them in.

A text that is one reference becomes the variable's value, of any type; in other texts, values are
inserted as JavaScript converts them to strings.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from twite.domain.json_tree import Tree
from twite.gtm.template.texts import UNDEFINED, Value, text_of

_NAME: Final = re.compile(r"\{\{([^{}]+)\}\}")
DEEPEST: Final = 50  # depth of variables that refer to each other
LONGEST: Final = 1024 * 1024  # characters: texts that contain each other twice grow without end


class TooLong(Exception):
    """A text has grown beyond the limit. Does not leave this module."""


def names_in(tree: Tree) -> Iterator[str]:
    """Yield the names in all texts of a tree, keys of objects too."""
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
    """Return the text without its references."""
    return _NAME.sub("", text)


def literals(text: str) -> list[str]:
    """Return the parts of a text before, between and after its references."""
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
