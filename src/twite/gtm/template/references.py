"""`{{names}}` of variables in texts.

A text that is one name and nothing else becomes the variable's value, of whatever type; in any
other text the values are put as JavaScript writes them.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from twite.domain.json_tree import Tree
from twite.gtm.template.texts import UNDEFINED, Value, text_of

_NAME: Final = re.compile(r"\{\{([^{}]+)\}\}")
DEEPEST: Final = 50  # variables that need one another
LONGEST: Final = 1024 * 1024  # characters: texts that hold one another twice grow without end


class TooLong(Exception):
    """A text has grown over all measure. It does not leave this room."""


def names_in(tree: Tree) -> Iterator[str]:
    """Yield the names in all texts of a tree, keys of objects too."""
    if isinstance(tree, str):
        yield from (name.strip() for name in _NAME.findall(tree))
    elif isinstance(tree, list):
        for one in tree:
            yield from names_in(one)
    elif isinstance(tree, dict):
        for key, one in tree.items():
            yield from names_in(key)
            yield from names_in(one)


def literal(text: str) -> str:
    """Return the text without the names in it."""
    return _NAME.sub("", text)


def literals(text: str) -> list[str]:
    """Return what stands before, between and after the names in a text."""
    return [one for one in re.split(r"\{\{[^{}]+\}\}", text) if one]


def filled(tree: Tree, value_of: Callable[[str], Value]) -> Value:
    """Return the tree with values in place of names.

    In objects what is undefined is absent, in arrays it is null, as JSON has it.
    """
    if isinstance(tree, str):
        return _filled_text(tree, value_of)
    if isinstance(tree, list):
        values = [filled(one, value_of) for one in tree]
        return [None if value is UNDEFINED else value for value in values]
    if isinstance(tree, dict):
        pairs = {text_of(filled(k, value_of)): filled(one, value_of) for k, one in tree.items()}
        return {key: one for key, one in pairs.items() if one is not UNDEFINED}
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
