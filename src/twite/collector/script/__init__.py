"""The first-party script: written to be read, served as short as it gets without a build step."""

import re
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from itertools import product
from string import ascii_letters
from typing import Final

import rjsmin

# Strings, and regular expressions where one may stand: what is in them stays as it is.
_LITERAL: Final = r"'[^'\n]*'|(?<=[(=,:|&!\[>?;{}])/(?:\\.|\[[^\]\n]*\]|[^/\\\n\[])+/[a-z]*"
_DECLARED: Final = re.compile(r"\b(?:const|let) (\w+)|\(([\w,]*)\)=>|\.\.\.(\w+)")
_PROPERTY: Final = re.compile(r"(?<!\.\.)\.(\w+)|(?<=[{,])(\w+):")
# A word that names a variable, if it names anything.
_WORD: Final = re.compile(rf"{_LITERAL}|(?<!\w)(?<!(?<!\.\.)\.)\w+")
# A declaration, the end of a block's last statement, an arrow's only parameter.
_LOOSE: Final = re.compile(rf"({_LITERAL})|\bconst\b|;(?=\}})|\((\w+)\)(?==>)")
_KEYWORDS: Final = frozenset({"as", "do", "if", "in", "is", "of"})


def script() -> str:
    """Return the script as browsers get it: without comments and spaces, its own names short."""
    written = files("twite.collector.script").joinpath("twite.js").read_text("utf-8")
    return tightened(shortened(str(rjsmin.jsmin(written)).strip())) + "\n"


def shortened(text: str) -> str:
    """Give variables and parameters short names, those used most the shortest.

    `text` has no spaces, no template strings and no destructuring. One name becomes one other
    everywhere, so that what hides what stays the same; a name that is a property's, too, is kept.
    """
    code = re.sub(_LITERAL, "''", text)
    declared = _words(_DECLARED, code) - _words(_PROPERTY, code)
    uses = Counter(_WORD.findall(text))
    order = sorted(declared & uses.keys(), key=lambda name: (-uses[name], name))
    short = dict(zip(order, _short_names(uses.keys() - declared), strict=False))
    return _WORD.sub(lambda match: short.get(match[0], match[0]), text)


def tightened(text: str) -> str:
    """Leave out what means nothing where no constant is assigned to and no statement is empty."""
    return _LOOSE.sub(
        lambda match: match[1] or match[2] or ("let" if match[0] == "const" else ""), text
    )


def _words(pattern: re.Pattern[str], code: str) -> set[str]:
    return {name for found in pattern.findall(code) for name in re.findall(r"\w+", " ".join(found))}


def _short_names(taken: set[str]) -> Iterator[str]:
    for length in (1, 2):
        for letters in product(ascii_letters, repeat=length):
            name = "".join(letters)
            if name not in taken and name not in _KEYWORDS:
                yield name
