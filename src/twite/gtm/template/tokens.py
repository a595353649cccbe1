"""Tokenize JavaScript: enough to search for words, not to parse it."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec


class TokenKind(StrEnum):
    """What a token is."""

    WORD = "word"
    NUMBER = "number"
    TEXT = "text"  # a string
    TEMPLATE = "template"  # a template literal, whole
    REGEX = "regex"
    SIGN = "sign"  # punctuation


class JsToken(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One token and the line it begins on, from 1."""

    sort: TokenKind
    text: str
    line: int


def tokens(code: str) -> Iterator[JsToken]:
    """Yield the tokens, without spaces and comments; an unknown character is a token of its own."""
    at, line = 0, 1
    before: JsToken | None = None
    while at < len(code):
        found = _SKIPPED.match(code, at)
        if found is not None:
            line += found[0].count("\n")
            at = found.end()
            continue
        sort, text = _next(code, at, before)
        before = JsToken(sort=sort, text=text, line=line)
        yield before
        line += text.count("\n")
        at += len(text)


def _next(code: str, at: int, before: JsToken | None) -> tuple[TokenKind, str]:
    if code[at] == "/" and _may_begin_regex(before):
        found = _REGEX.match(code, at)
        if found is not None:
            return TokenKind.REGEX, found[0]
    for sort, pattern in _PATTERNS:
        found = pattern.match(code, at)
        if found is not None:
            return sort, found[0]
    return TokenKind.SIGN, code[at]


def _may_begin_regex(before: JsToken | None) -> bool:
    """Return whether a slash begins a regular expression here, and does not divide."""
    if before is None:
        return True
    match before.sort:
        case TokenKind.WORD:
            return before.text in _BEFORE_REGEX
        case TokenKind.SIGN:
            return before.text not in {")", "]", "}"}
    return False


_SKIPPED: Final = re.compile(r"\s+|//[^\n\r\u2028\u2029]*|/\*[\s\S]*?\*/")
_REGEX: Final = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
_BEFORE_REGEX: Final = frozenset(
    {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "do", "else"}
)
_PATTERNS: Final = (
    (TokenKind.WORD, re.compile(r"[A-Za-z_$][\w$]*")),
    (
        TokenKind.NUMBER,
        re.compile(r"0[xXbBoO][\da-fA-F_]+n?|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?n?"),
    ),
    (TokenKind.TEXT, re.compile(r"'(?:\\[\s\S]|[^'\\\n])*'|\"(?:\\[\s\S]|[^\"\\\n])*\"")),
    (TokenKind.TEMPLATE, re.compile(r"`(?:\\[\s\S]|[^`\\])*`")),
    (TokenKind.SIGN, re.compile(r"\.\.\.|=>|\?\.(?!\d)|\?\?|[=!]==?|&&|\|\||\*\*")),
)
