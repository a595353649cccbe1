"""Minify the first-party script: `make generate` writes twite.min.js, which the gateway serves."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice, product
from pathlib import Path
from string import ascii_letters
from typing import Final

import rjsmin

# Strings, and regular expressions where they are allowed: their text stays unchanged.
_LITERAL: Final = (
    r"'[^'\n]*'|\"[^\"\n]*\""
    r"|(?<=[(=,:|&!\[>?;{}])/(?:\\.|\[[^\]\n]*\]|[^/\\\n\[])+/[a-z]*"
)
_DECLARED: Final = re.compile(r"\b(?:const|let) (\w+)|\(([\w,]*)\)=>|\.\.\.(\w+)\)=>")
# A property name in an object, and an identifier.
_WORD: Final = re.compile(rf"{_LITERAL}|(?<=[{{,])\w+:|(?<!\w)(?<!(?<!\.\.)\.)\w+")
_CONSTANT: Final = re.compile(rf"(const ([A-Z]+)=(\d[\de]*|{_LITERAL});)")
_OUTERMOST: Final = re.compile(r"(?:const|let) (\w+)")
# Brackets, and the places where a statement may end.
_END: Final = re.compile(rf"{_LITERAL}|[({{\[]|[)}}\]]|[;\n]")
# A declaration, a boolean, space around the end of a block, and the only parameter of an arrow
# function.
_LOOSE: Final = re.compile(
    rf"({_LITERAL})|\b(?:const|true|false|undefined)\b|;(?=\}})|(?<=\}})\n|(?<!\w)\((\w+)\)(?==>)"
)
_SHORTER: Final = {"const": "let", "true": "!0", "false": "!1", "undefined": "void 0"}
# Brackets, and the places where a declaration or another statement may begin.
_STEP: Final = re.compile(rf"{_LITERAL}|[({{\[]|[)}}\]]|;?\blet |;")
_KEYWORDS: Final = frozenset({"as", "do", "if", "in", "is", "of"})


SCRIPT: Final = Path(__file__).parents[1] / "src/twite/http/script/twite.js"


def minified() -> str:
    """Return the minified script: without comments and spaces, with short names."""
    written = SCRIPT.read_text("utf-8")
    plain = str(rjsmin.jsmin(written)).strip()
    plain = inlined(plain)
    # The script is one function, whose parameters are already short.
    start, end = plain.index("{") + 1, plain.rindex("}")
    short = f"{plain[:start]}{shortened(plain[start:end])}{plain[end:]}"
    return joined(tightened(short)) + "\n"


def shortened(text: str) -> str:
    """Give variables and parameters short names.

    `text` has no spaces, no template strings, no destructuring and no `{a}` for `{a:a}`. Each
    global name gets one short name, the most used the shortest; names that shadow it get the same.
    Local names are reused in every statement, in order of use, because repetition compresses best.
    New names consist of the letters that are most frequent in the script.
    """
    statements = _statements(text)
    shared = {found[1] for found in map(_OUTERMOST.match, statements) if found}
    own = [_own_names(statement, shared) for statement in statements]
    uses = Counter(_WORD.findall(text))
    declared = shared.union(*own)
    stays = _WORD.sub(lambda match: "" if match[0] in declared else match[0], text)
    letters = "".join(sorted(ascii_letters, key=lambda letter: (-stays.count(letter), letter)))
    names = _short_names(letters, uses.keys() - declared)
    few = list(islice(names, max(map(len, own))))
    order = sorted(shared & uses.keys(), key=lambda name: (-uses[name], name))
    short = dict(zip(order, names, strict=False))
    return "".join(
        _renamed(statement, {**short, **dict(zip(mine, few, strict=False))})
        for statement, mine in zip(statements, own, strict=True)
    )


def inlined(text: str) -> str:
    """Inline constants named in capitals: numbers, and values that are used once."""
    for declaration, name, value in _CONSTANT.findall(text):
        rest = text.replace(declaration, "")
        uses = re.compile(rf"\b{name}\b")
        if value[0].isdigit() or len(uses.findall(rest)) == 1:
            text = uses.sub(value.replace("\\", r"\\"), rest)
    return text


def tightened(text: str) -> str:
    """Remove redundant syntax, and use shorter spellings.

    `text` never assigns to a constant, and has no empty statement; each ends with a semicolon or a
    block. Using only one kind of quotation mark compresses best: the one that the settings use.
    """

    def shorter(match: re.Match[str]) -> str:
        literal = match[1]
        if literal and literal[0] == "'" and '"' not in literal:
            return f'"{literal[1:-1]}"'
        return literal or match[2] or _SHORTER.get(match[0], "")

    return _LOOSE.sub(shorter, text)


def joined(text: str) -> str:
    """Merge adjacent declarations: `let a=1;let b=2;` becomes `let a=1,b=2;`."""
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


def _statements(text: str) -> list[str]:
    """Split at the ends of outermost statements."""
    found, depth, start = list[str](), 0, 0
    for sign in _END.finditer(text):
        if sign[0] in "([{":
            depth += 1
        elif sign[0] in ")]}":
            depth -= 1
        elif sign[0] in ";\n" and not depth:
            found.append(text[start : sign.end()])
            start = sign.end()
    return [*found, text[start:]]


def _own_names(statement: str, shared: AbstractSet[str]) -> list[str]:
    """Return the local names of a statement, in order of use."""
    code = re.sub(_LITERAL, "''", statement)
    declared = {
        name for found in _DECLARED.findall(code) for name in re.findall(r"\w+", " ".join(found))
    }
    used = dict.fromkeys(_WORD.findall(statement))
    return [name for name in used if name in declared - shared]


def _renamed(statement: str, short: Mapping[str, str]) -> str:
    return _WORD.sub(lambda match: short.get(match[0], match[0]), statement)


def _short_names(letters: str, taken: set[str]) -> Iterator[str]:
    for length in (1, 2):
        for chosen in product(letters, repeat=length):
            name = "".join(chosen)
            if name not in taken and name not in _KEYWORDS:
                yield name


if __name__ == "__main__":
    SCRIPT.with_suffix(".min.js").write_text(minified(), "utf-8")
