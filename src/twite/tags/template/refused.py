"""Refuse code that no engine limit can contain, before it runs.

Only a full parser can tell a slash that divides from one that begins a regular expression, and a
wrong guess could make code look like a string or a comment. If it is unclear, the forbidden words
are searched everywhere, even in strings and comments.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

_SKIPPED: Final = re.compile(r"\s+|//[^\n\r\u2028\u2029]*|/\*[\s\S]*?\*/")
_REGEX: Final = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
_REGEX_MAY_FOLLOW: Final = frozenset(
    {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "do", "else"}
)
_HEADS: Final = frozenset({"if", "while", "for", "with"})
_BEFORE_REGEX: Final = frozenset(
    {"return", "typeof", "case", "in", "delete", "void", "throw", "new", "do", "else"}
)
# After these words, a regular expression may begin, unless the words are names.
_DOUBTFUL: Final = frozenset(
    {"of", "yield", "await", "instanceof", "extends", "break", "continue", "debugger", "default"}
)
_BEFORE_OPERAND: Final = frozenset("([{,;:?!~=+-*/%&|^<>") | {
    *("...", "=>", "??", "==", "!=", "===", "!==", "&&", "||", "**")
}
# A property with that name, and positions where a name may occur.
_NO_MEMBER: Final = r"(?<![\w$#])(?<!(?<!\.\.)\.)"
_WORDS: Final = (
    (
        re.compile(r"(?<![\w$\\])(?:0[xX][\da-fA-F_]+|0[oObB][\d_]+|\d[\d_]*)n(?![\w$])"),
        "BigInt is not supported",
    ),
    (
        re.compile(_NO_MEMBER + r"async(?![\w$])\s*(?![\s:=,;)\]}.?&|!<>%^+-]|$)"),
        "async functions are not supported",
    ),
    (re.compile(_NO_MEMBER + r"import(?![\w$])\s*(?![\s:=,;)\]}?]|$)"), "import is not supported"),
)


class TokenKind(StrEnum):
    WORD = "word"
    NUMBER = "number"
    TEXT = "text"  # a string
    TEMPLATE = "template"  # a template literal, whole
    REGEX = "regex"
    SIGN = "sign"  # punctuation


class JsToken(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One token, the line on which it begins (from 1), and its offset in the code."""

    sort: TokenKind
    text: str
    line: int
    at: int

    @property
    def end(self) -> int:
        return self.at + len(self.text)


def tokens(code: str) -> Iterator[JsToken]:
    """Yield the tokens, without spaces and comments; an unknown character is a separate token."""
    at, line = 0, 1
    previous_token: JsToken | None = None
    while at < len(code):
        found = _SKIPPED.match(code, at)
        if found is not None:
            line += found[0].count("\n")
            at = found.end()
            continue
        sort, text = _next(code, at, previous_token)
        previous_token = JsToken(sort=sort, text=text, line=line, at=at)
        yield previous_token
        line += text.count("\n")
        at += len(text)


def _next(code: str, at: int, previous_token: JsToken | None) -> tuple[TokenKind, str]:
    if code[at] == "/" and _may_begin_regex(previous_token):
        found = _REGEX.match(code, at)
        if found is not None:
            return TokenKind.REGEX, found[0]
    for sort, pattern in _PATTERNS:
        found = pattern.match(code, at)
        if found is not None:
            return sort, found[0]
    return TokenKind.SIGN, code[at]


def _may_begin_regex(previous_token: JsToken | None) -> bool:
    if previous_token is None:
        return True
    match previous_token.sort:
        case TokenKind.WORD:
            return previous_token.text in _REGEX_MAY_FOLLOW
        case TokenKind.SIGN:
            return previous_token.text not in {")", "]", "}"}
    return False


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


class RefusedCode(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    message: str


@lru_cache(maxsize=32)
def refused(code: str) -> RefusedCode | None:
    """Return the first forbidden piece of code.

    One operation on a BigInt may take minutes. The rest of an `async` function, or an `import`,
    stays in the engine's queue until the engine is freed: the sandbox cannot reach it there.
    """
    found = tuple(tokens(code))
    spans = [(1, code)] if _is_doubtful(code, found) else _sure(found)
    for line, text in spans:
        for pattern, message in _WORDS:
            word = pattern.search(text)
            if word is not None:
                return RefusedCode(line=line + text.count("\n", 0, word.start()), message=message)
    return None


def _sure(found: Sequence[JsToken]) -> Iterator[tuple[int, str]]:
    """Yield candidates with the following token, which tells a keyword from a name."""
    for at, token in enumerate(found):
        near = "".join(token.text for token in found[max(0, at - 1) : at])
        if token.sort is TokenKind.NUMBER:
            yield token.line, token.text
        elif token.text in {"async", "import"} and near[-3:] not in {".", "?."}:
            after = found[at + 1].text if at + 1 < len(found) else ""
            yield token.line, f"{token.text} {after}"


def _is_doubtful(code: str, found: Sequence[JsToken]) -> bool:
    if "<!--" in code or "-->" in code:  # these also begin comments
        return True
    heads: list[bool] = []  # for each open bracket: whether a statement follows it
    statement_follows = False
    for at, token in enumerate(found):
        before = found[at - 1] if at else None
        member = at > 1 and found[at - 2].text in {".", "?."}
        if token.text == "(":
            heads.append(before is not None and before.text in _HEADS and not member)
        elif token.text == ")":
            if not heads:
                return True
            statement_follows = heads.pop()
        elif token.text in {"'", '"', "`", "\\"} or (
            token.sort is TokenKind.TEMPLATE and "${" in token.text
        ):
            return True
        elif token.sort is TokenKind.REGEX or token.text == "/":
            divides = _divides(found[:at][-2:], after_head=statement_follows, member=member)
            if divides is not (token.text == "/"):
                return True
    return False


def _divides(before: Sequence[JsToken], *, after_head: bool, member: bool) -> bool | None:
    """Return whether a slash after these tokens divides; None if that is unclear."""
    if not before:
        return False
    last = before[-1]
    if last.sort is TokenKind.SIGN:
        return _divides_after_sign(before, after_head=after_head)
    if last.text in _BEFORE_REGEX:
        return None if member else False
    return None if last.text in _DOUBTFUL else True


def _divides_after_sign(before: Sequence[JsToken], *, after_head: bool) -> bool | None:
    last = before[-1].text
    if last == ")":
        return not after_head
    if last == "]":
        return True
    if last in {"+", "-"} and before[0] is not before[-1] and before[0].text == last:
        return None
    return False if last in _BEFORE_OPERAND else None
