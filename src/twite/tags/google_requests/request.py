"""A request to a Google service, and the result that a template gets."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from twite.tags.json_tree import Tree

FAILED: Final = "failed"
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,63}", re.ASCII)
ANALYTICS: Final = "https://www.google-analytics.com/g/collect"
# The URLs of scripts, by name. The sandbox has the same list.
PLACES: Final[Mapping[str, str]] = {
    "ANALYTICS": "https://www.google-analytics.com/analytics.js",
    "GTAG": "https://www.googletagmanager.com/gtag/js",
    "GTM": "https://www.googletagmanager.com/gtm.js",
}
_DEBUG_ANALYTICS: Final = "https://www.google-analytics.com/analytics_debug.js"
_OF_KEEPING: Final = ("cache-control", "expires", "last-modified")
_LONGEST: Final = 15_000


class RequestNotSent(Exception):
    """A call that cannot become a request. `reason` is for the template, `words` for the log."""

    def __init__(self, words: str, *, reason: str = "invalid_argument") -> None:
        super().__init__(words)
        self.reason = reason
        self.words = words


class GoogleRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to Google.

    `scopes` are the OAuth scopes of its token; without scopes, the request has no token. `timeout`
    is in milliseconds, None if not given. `passing` lists statuses that are temporary errors, in
    addition to the usual ones. `is_recorded` is whether a successful response may be stored:
    documents may contain personal data. The request itself contains personal data: its repr is
    masked.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = {}
    body: bytes = b""
    scopes: tuple[str, ...] = ()
    timeout: int | None = None
    passing: frozenset[int] = frozenset()
    is_recorded: bool = False

    def __repr__(self) -> str:
        return f"GoogleRequest({self.method})"


class GoogleResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a request. If there is a `reason`, it failed, and `value` has details."""

    value: Tree = None
    reason: str | None = None

    def __repr__(self) -> str:
        return f"GoogleResult({self.reason or 'done'})"


def posted(
    url: str,
    body: Tree,
    *,
    scope: str,
    passing: frozenset[int] = frozenset(),
    is_recorded: bool = False,
) -> GoogleRequest:
    return GoogleRequest(
        url=url,
        headers={"Content-Type": "application/json"},
        body=msgspec.json.encode(body),
        scopes=(scope,),
        passing=passing,
        is_recorded=is_recorded,
    )


def tree_of(body: bytes) -> Tree:
    try:
        found: Tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found


def error_of(answer: Tree) -> Mapping[str, Tree]:
    first = answer[0] if isinstance(answer, list) and answer else answer
    error = first.get("error") if isinstance(first, dict) else None
    return error if isinstance(error, dict) else {}


def reason_of(answer: Tree) -> str:
    """Return Google's error status in lower case: `not_found`, `aborted`."""
    status = error_of(answer).get("status")
    is_word = isinstance(status, str) and _WORD.fullmatch(status)
    return str(status).lower() if is_word else FAILED


def script_request(name: Tree, options: Tree) -> GoogleRequest:
    """Return the request for a script. Raises RequestNotSent."""
    if not isinstance(name, str) or name not in PLACES:
        raise RequestNotSent(f"the script must be one of: {', '.join(PLACES)}")
    settings = options if isinstance(options, dict) else {}
    known_by, timeout = settings.get("id"), settings.get("timeout")
    url = _DEBUG_ANALYTICS if name == "ANALYTICS" and settings.get("debug") else PLACES[name]
    if name != "ANALYTICS" and isinstance(known_by, str) and known_by:
        url += "?" + urlencode({"id": known_by})
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0
    return GoogleRequest(
        url=url,
        method="GET",
        timeout=int(min(timeout, _LONGEST)) if is_number else None,  # type: ignore[type-var,arg-type]  # a number
    )


def script_result(status: int, headers: Mapping[str, str], body: bytes) -> GoogleResult:
    if not 200 <= status < 300:
        return GoogleResult(reason=FAILED)
    kept: dict[str, Tree] = {name: headers[name] for name in _OF_KEEPING if name in headers}
    return GoogleResult(value={"script": body.decode("utf-8", "replace"), "metadata": kept})


def analytics_result(status: int, headers: Mapping[str, str]) -> GoogleResult:
    if not 200 <= status < 400:
        return GoogleResult(reason=FAILED)
    return GoogleResult(value={"location": headers["location"]} if "location" in headers else {})
