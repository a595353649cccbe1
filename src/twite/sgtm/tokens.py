"""JavaScript as tokens: enough to look for words, not to understand it."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec


class Sort(StrEnum):
    """What a token is."""

    WORD = "word"
    NUMBER = "number"
    TEXT = "text"  # a string
    TEMPLATE = "template"  # a template literal, whole
    REGEX = "regex"
    SIGN = "sign"  # punctuation


class Token(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One token and the line it begins on, from 1."""

    sort: Sort
    text: str
    line: int


def tokens(code: str) -> Iterator[Token]:
    """Yield the tokens, without spaces and comments; what fits nothing is a sign of its own."""
    at, line = 0, 1
    before: Token | None = None
    while at < len(code):
        found = _SKIPPED.match(code, at)
        if found is not None:
            line += found[0].count("\n")
            at = found.end()
            continue
        sort, text = _next(code, at, before)
        before = Token(sort=sort, text=text, line=line)
        yield before
        line += text.count("\n")
        at += len(text)


def _next(code: str, at: int, before: Token | None) -> tuple[Sort, str]:
    if code[at] == "/" and _may_begin_regex(before):
        found = _REGEX.match(code, at)
        if found is not None:
            return Sort.REGEX, found[0]
    for sort, pattern in _PATTERNS:
        found = pattern.match(code, at)
        if found is not None:
            return sort, found[0]
    return Sort.SIGN, code[at]


def _may_begin_regex(before: Token | None) -> bool:
    """Say whether a slash begins a regular expression here, and does not divide."""
    if before is None:
        return True
    match before.sort:
        case Sort.WORD:
            return before.text in _BEFORE_REGEX
        case Sort.SIGN:
            return before.text not in {")", "]", "}"}
    return False


_SKIPPED: Final = re.compile(r"\s+|//[^\n\r\u2028\u2029]*|/\*[\s\S]*?\*/")
_REGEX: Final = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
_BEFORE_REGEX: Final = frozenset(
    {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "do", "else"}
)
_PATTERNS: Final = (
    (Sort.WORD, re.compile(r"[A-Za-z_$][\w$]*")),
    (
        Sort.NUMBER,
        re.compile(r"0[xXbBoO][\da-fA-F_]+n?|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?n?"),
    ),
    (Sort.TEXT, re.compile(r"'(?:\\[\s\S]|[^'\\\n])*'|\"(?:\\[\s\S]|[^\"\\\n])*\"")),
    (Sort.TEMPLATE, re.compile(r"`(?:\\[\s\S]|[^`\\])*`")),
    (Sort.SIGN, re.compile(r"\.\.\.|=>|\?\.(?!\d)|\?\?|[=!]==?|&&|\|\||\*\*")),
)
