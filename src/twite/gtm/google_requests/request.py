"""One request to Google, and what a template is told of it."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.json_tree import Tree

FAILED: Final = "failed"
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,63}", re.ASCII)


class RequestNotSent(Exception):
    """What a template asks for cannot be said. `reason` is told to it, `words` to a person."""

    def __init__(self, words: str, *, reason: str = "invalid_argument") -> None:
        super().__init__(words)
        self.reason = reason
        self.words = words


class GoogleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `scopes` are what its token must be good for; without any there is none.

    `timeout` is in milliseconds, None where nothing was said. `passing` are statuses that may be
    others later, beside those that always may; `is_told` whether what comes back may be kept where
    all is well: documents may hold persons. It holds persons itself: it does not print.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = {}
    body: bytes = b""
    scopes: tuple[str, ...] = ()
    timeout: int | None = None
    passing: frozenset[int] = frozenset()
    is_told: bool = False

    def __repr__(self) -> str:
        return f"Asking({self.method})"


class GoogleResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it: with a `reason`, it failed, and `value` is what is told beside that."""

    value: Tree = None
    reason: str | None = None

    def __repr__(self) -> str:
        return f"Told({self.reason or 'done'})"


def posted(
    url: str, body: Tree, *, scope: str, passing: frozenset[int] = frozenset()
) -> GoogleRequest:
    """Return a request with a body of JSON."""
    return GoogleRequest(
        url=url,
        headers={"Content-Type": "application/json"},
        body=msgspec.json.encode(body),
        scopes=(scope,),
        passing=passing,
    )


def tree_of(body: bytes) -> Tree:
    """Return what an answer says, None for what is no JSON."""
    try:
        found: Tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found


def error_of(answer: Tree) -> Mapping[str, Tree]:
    """Return the error of an answer, also where it is one of a list; empty for none."""
    first = answer[0] if isinstance(answer, list) and answer else answer
    error = first.get("error") if isinstance(first, dict) else None
    return error if isinstance(error, dict) else {}


def reason_of(answer: Tree) -> str:
    """Return Google's word for what was wrong, in lower case: `not_found`, `aborted`."""
    status = error_of(answer).get("status")
    is_word = isinstance(status, str) and _WORD.fullmatch(status)
    return str(status).lower() if is_word else FAILED
