"""Give each function of a template its own `arguments`, an array, as in Google's sandbox.

In JavaScript, an arrow function has no `arguments`, and that of other functions is no array. In
Google's sandbox, every function has a list of its arguments: its interpreter, which is part of the
public gtm.js, sets `arguments` for each call, and the tests of public templates depend on it. The
changed code has the same lines as the original.

    (a) => arguments[1]        becomes   (function (a) {const arguments_=[...arguments];return(…)})
    function f(a) { …          becomes   function f(a) {const arguments_=[...arguments]; …
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from twite.tags.template.refused import JsToken, TokenKind, tokens

NAME: Final = "arguments"
# The order of changes at the same place.
_END: Final = 0
_BODY: Final = 1
_HEAD: Final = 2
_NAME: Final = 3
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_HEADS: Final = frozenset({"if", "while", "for", "with", "switch", "catch", "return", "typeof"})
_OPERATORS: Final = frozenset(
    {"in", "instanceof", "typeof", "delete", "void", "new", "return", "case", "throw", "do", "else"}
)


class _Unbalanced(Exception):
    """A bracket has no counterpart: the engine reports where."""


@dataclass(slots=True, kw_only=True)
class _Function:
    """A function by the positions of its tokens; `end` is the last token of its body.

    `arrow` is the position of `=>`, or None for another function. The body is an expression unless
    `is_block`.
    """

    head: int
    arrow: int | None
    body: int
    end: int
    is_block: bool
    uses: list[int] = field(default_factory=list)


def with_own_arguments(code: str, *, of_all: str = "[data]") -> str:
    """Return code in which `arguments` is an array of the arguments of the innermost function.

    `of_all` is the expression for `arguments` outside of all functions. Code that is not JavaScript
    is returned unchanged.
    """
    if NAME not in code:
        return code
    found = tuple(tokens(code))
    try:
        pairs = _pairs(found)
        functions = tuple(_functions(found, pairs))
    except _Unbalanced:
        return code
    uses = [at for at in range(len(found)) if _is_use(found, at, pairs)]
    if not uses:
        return code
    name = NAME + "_"
    while name in code:
        name += "_"
    edits = _Edits(found, pairs, name)
    for at in uses:
        inside = [function for function in functions if function.body <= at <= function.end]
        if inside:
            min(inside, key=lambda function: function.end - function.body).uses.append(at)
        edits.rename(at)
    outside = len(uses) > sum(len(function.uses) for function in functions)
    for function in reversed(functions):  # inner functions end before outer ones
        if function.uses:
            edits.declare(function)
    head = f"const {name}={of_all};" if outside else ""
    return head + edits.applied(code)


def _pairs(found: Sequence[JsToken]) -> dict[int, int]:
    """Return the counterpart of each bracket, in both directions. Raises _Unbalanced."""
    pairs: dict[int, int] = {}
    open_brackets: list[int] = []
    for at, token in enumerate(found):
        if token.sort is not TokenKind.SIGN:
            continue
        if token.text in _CLOSING.values():
            open_brackets.append(at)
        elif token.text in _CLOSING:
            if not open_brackets or found[open_brackets[-1]].text != _CLOSING[token.text]:
                raise _Unbalanced
            pairs[at] = open_brackets.pop()
            pairs[pairs[at]] = at
    if open_brackets:
        raise _Unbalanced
    return pairs


def _functions(found: Sequence[JsToken], pairs: dict[int, int]) -> Iterator[_Function]:
    for at, token in enumerate(found):
        after = found[at + 1].text if at + 1 < len(found) else ""
        if token.text == "=>" and at and after:
            head = pairs.get(at - 1, at - 1)
            is_block = after == "{"
            end = pairs[at + 1] if is_block else _end_of_expression(found, at + 1, pairs)
            yield _Function(head=head, arrow=at, body=at + 1, end=end, is_block=is_block)
        elif token.text == ")" and after == "{" and _ends_parameters(found, at, pairs):
            end = pairs[at + 1]
            yield _Function(head=pairs[at], arrow=None, body=at + 1, end=end, is_block=True)


def _ends_parameters(found: Sequence[JsToken], at: int, pairs: dict[int, int]) -> bool:
    """Return whether a bracket before `{` closes the parameters of a function or method."""
    name = pairs[at] - 1
    if name < 0 or found[name].text in _HEADS:
        return False
    words = {found[before].text for before in (name, name - 1, name - 2) if before >= 0}
    # A method's body begins on the same line. On the next line, it can be a block after a call.
    return "function" in words or found[at].line == found[at + 1].line


def _end_of_expression(found: Sequence[JsToken], at: int, pairs: dict[int, int]) -> int:
    """Return the last token of an arrow function's body that begins at `at`."""
    questions = 0
    last = at
    while at < len(found):
        token = found[at]
        if at > last and _begins_statement(found[last], token):
            return last
        if token.text in {",", ";", ")", "]", "}"} or (token.text == ":" and not questions):
            return last
        questions += {"?": 1, ":": -1}.get(token.text, 0)
        last = pairs.get(at, at)
        if token.text == "=>" and at + 1 < len(found) and found[at + 1].text == "{":
            return pairs[at + 1]
        at = last + 1
    return last


def _begins_statement(previous_token: JsToken, token: JsToken) -> bool:
    """Return whether a line break between two tokens ends a statement."""
    if token.line == previous_token.line + previous_token.text.count("\n"):
        return False
    if previous_token.sort is TokenKind.SIGN and previous_token.text not in {")", "]", "}"}:
        return False
    if previous_token.sort is TokenKind.WORD and previous_token.text in _OPERATORS:
        return False
    if token.sort is TokenKind.SIGN:
        return token.text in {"{", "!", "~"}
    return token.sort is not TokenKind.TEMPLATE and token.text not in {"in", "instanceof"}


def _is_use(found: Sequence[JsToken], at: int, pairs: dict[int, int]) -> bool:
    token = found[at]
    if token.sort is not TokenKind.WORD or token.text != NAME:
        return False
    before = found[at - 1].text if at else ""
    after = found[at + 1].text if at + 1 < len(found) else ""
    is_key = after == ":" and before in {"{", ","} and _bracket(found, at, pairs) == "{"
    # In the parameters of a function, the engine's own `arguments` stays.
    return before not in {".", "?."} and not is_key and not _in_parameters(found, at, pairs)


def _bracket(found: Sequence[JsToken], at: int, pairs: dict[int, int]) -> str:
    """Return the innermost open bracket around a token."""
    opening = [first for first, last in pairs.items() if first < at < last]
    return found[max(opening)].text if opening else ""


def _in_parameters(found: Sequence[JsToken], at: int, pairs: dict[int, int]) -> bool:
    return any(
        first < at < last
        and last + 1 < len(found)
        and found[last].text == ")"
        and found[last + 1].text == "{"
        and _ends_parameters(found, last, pairs)
        for first, last in pairs.items()
    )


class _Edits:
    """Changes of code: text to insert at offsets, and pieces to replace."""

    def __init__(self, found: Sequence[JsToken], pairs: dict[int, int], name: str) -> None:
        self._found = found
        self._pairs = pairs
        self._name = name
        # Begin, order at the same place, end, text.
        self._changes: list[tuple[int, int, int, str]] = []

    def rename(self, at: int) -> None:
        """Rename a use of `arguments`; in `{arguments}`, keep the key."""
        found, token = self._found, self._found[at]
        before = found[at - 1].text if at else ""
        after = found[at + 1].text if at + 1 < len(found) else ""
        is_short = (
            before in {"{", ","} and after in {"}", ","} and _bracket(found, at, self._pairs) == "{"
        )
        text = f"{NAME}:{self._name}" if is_short else self._name
        self._changes.append((token.at, _NAME, token.end, text))

    def declare(self, function: _Function) -> None:
        """Declare the array at the start of a function's body."""
        found = self._found
        declared = f"const {self._name}=[...{NAME}];"
        body, end = found[function.body], found[function.end]
        if function.arrow is None:
            self._insert(body.end, _BODY, declared)
            return
        head, arrow = found[function.head], found[function.arrow]
        has_brackets = head.text == "("
        self._insert(head.at, _HEAD, "(function " if has_brackets else "(function (")
        self._changes.append((arrow.at, _NAME, arrow.end, "" if has_brackets else ")"))
        if function.is_block:
            self._insert(body.end, _BODY, declared)
            self._insert(end.end, _END, ");" if self._needs_end(function.end) else ")")
        else:
            self._insert(body.at, _BODY, "{" + declared + "return(")
            self._insert(end.end, _END, ")})")

    def applied(self, code: str) -> str:
        pieces: list[str] = []
        at = 0
        for begin, _, end, text in sorted(self._changes, key=lambda change: change[:2]):
            pieces += (code[at:begin], text)
            at = end
        return "".join((*pieces, code[at:]))

    def _insert(self, at: int, order: int, text: str) -> None:
        self._changes.append((at, order, at, text))

    def _needs_end(self, end: int) -> bool:
        """Return whether a semicolon must replace the line break after an arrow function.

        The next line would otherwise continue the function expression, for example as a call.
        """
        found = self._found
        following = found[end + 1] if end + 1 < len(found) else None
        if following is None or following.line == found[end].line:
            return False
        return following.text in {"(", "[", "+", "-", "/"} or following.sort is TokenKind.TEMPLATE
