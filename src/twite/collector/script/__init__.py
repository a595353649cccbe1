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
# The name of a property in an object; and a word that names a variable, if it names anything.
_WORD: Final = re.compile(rf"{_LITERAL}|(?<=[{{,])\w+:|(?<!\w)(?<!(?<!\.\.)\.)\w+")
# A declaration, the end of a block's last statement, an arrow's only parameter.
_LOOSE: Final = re.compile(rf"({_LITERAL})|\bconst\b|;(?=\}})|\((\w+)\)(?==>)")
# What opens and closes, and where a declaration begins or another statement may.
_STEP: Final = re.compile(rf"{_LITERAL}|[({{\[]|[)}}\]]|;?\blet |;")
_KEYWORDS: Final = frozenset({"as", "do", "if", "in", "is", "of"})


def script() -> str:
    """Return the script as browsers get it: without comments and spaces, its own names short."""
    written = files("twite.collector.script").joinpath("twite.js").read_text("utf-8")
    return joined(tightened(shortened(str(rjsmin.jsmin(written)).strip()))) + "\n"


def shortened(text: str) -> str:
    """Give variables and parameters short names, those used most the shortest.

    `text` has no spaces, no template strings, no destructuring and no `{a}` for `{a:a}`. One name
    becomes one other everywhere, so that what hides what stays the same. New names are made of the
    letters that stay there most often, which compresses best.
    """
    code = re.sub(_LITERAL, "''", text)
    declared = _words(_DECLARED, code)
    uses = Counter(_WORD.findall(text))
    order = sorted(declared & uses.keys(), key=lambda name: (-uses[name], name))
    stays = _WORD.sub(lambda match: "" if match[0] in declared else match[0], text)
    letters = "".join(sorted(ascii_letters, key=lambda letter: (-stays.count(letter), letter)))
    short = dict(zip(order, _short_names(letters, uses.keys() - declared), strict=False))
    return _WORD.sub(lambda match: short.get(match[0], match[0]), text)


def tightened(text: str) -> str:
    """Leave out what means nothing where no constant is assigned to and no statement is empty."""
    return _LOOSE.sub(
        lambda match: match[1] or match[2] or ("let" if match[0] == "const" else ""), text
    )


def joined(text: str) -> str:
    """Make one declaration of those that follow each other: `let a=1;let b=2;`, `let a=1,b=2;`."""
    declaring = [False]

    def step(match: re.Match[str]) -> str:
        sign = match[0]
        if sign in "([{":
            declaring.append(False)
        elif sign in ")]}":
            declaring.pop()
        elif sign == ";":
            declaring[-1] = False
        elif sign.endswith("let "):
            sign = "," if sign[0] == ";" and declaring[-1] else sign
            declaring[-1] = True
        return sign

    return _STEP.sub(step, text)


def _words(pattern: re.Pattern[str], code: str) -> set[str]:
    return {name for found in pattern.findall(code) for name in re.findall(r"\w+", " ".join(found))}


def _short_names(letters: str, taken: set[str]) -> Iterator[str]:
    for length in (1, 2):
        for chosen in product(letters, repeat=length):
            name = "".join(chosen)
            if name not in taken and name not in _KEYWORDS:
                yield name
