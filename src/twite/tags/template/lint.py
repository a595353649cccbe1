"""Lint a template: code that Google's compiler refuses, and permissions that do not fit the code.

It checks tokens, not meaning. Therefore it only warns, and never prevents a template from running.
Sources: developers.google.com/tag-platform/tag-manager/templates/sandboxed-javascript and
…/standard-library. If these pages are unclear about a point, the warning says so.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from twite.tags.json_tree import as_list, as_mapping, as_text
from twite.tags.template.allowed import matches
from twite.tags.template.apis import APIS
from twite.tags.template.fields import flat
from twite.tags.template.permissions import Grant, policy
from twite.tags.template.refused import JsToken, TokenKind, tokens
from twite.tags.template.template import Template, TemplateUnusable

_REFUSED_WORDS: Final = frozenset(
    {"new", "this", "class", "super", "async", "await", "yield", "with"}
)
_UNDOCUMENTED_WORDS: Final = frozenset({"try", "throw", "instanceof"})
_UNKNOWN_SIGNS: Final = {"...": "spread", "?.": "optional chaining", "??": "`??`", "**": "`**`"}
_GLOBALS: Final = frozenset(
    {
        "Array", "Boolean", "Date", "Error", "JSON", "Map", "Math", "Number", "Object", "Promise",
        "RegExp", "Set", "String", "Symbol", "URL", "atob", "btoa", "console", "decodeURIComponent",
        "document", "encodeURIComponent", "eval", "fetch", "globalThis", "isNaN", "parseFloat",
        "parseInt", "process", "setTimeout", "window",
    }
)  # fmt: skip
_UNLISTED: Final = frozenset(
    {
        "at", "charCodeAt", "codePointAt", "endsWith", "entries", "fill", "find", "findIndex",
        "flat", "flatMap", "includes", "localeCompare", "matchAll", "normalize", "padEnd",
        "padStart", "repeat", "replaceAll", "startsWith", "substr", "test", "toFixed", "trimEnd",
        "trimStart",
    }
)  # fmt: skip


class LintWarning(msgspec.Struct, frozen=True):
    """A warning. `line` is the line in the file, or None; `code` never changes."""

    code: str
    message: str
    line: int | None = None


def syntax_warning(unusable: TemplateUnusable) -> LintWarning:
    """Return the warning about a section that cannot be read."""
    return LintWarning("syntax", f"{unusable.section}: {unusable.message}", unusable.line)


def lint(template: Template) -> tuple[LintWarning, ...]:
    all_tokens = list(tokens(template.code.text))
    first = template.code.line - 1
    found = [
        msgspec.structs.replace(warning, line=warning.line + first)
        for warning in (*_language(all_tokens), *_calls(template, all_tokens))
        if warning.line is not None
    ]
    found += [LintWarning("file_format", odd.message, odd.line) for odd in template.warnings]
    required = {name for name, _ in _required(all_tokens)}
    found.sort(key=lambda warning: (warning.line or 0, warning.code))
    return (*found, *_missing(template, required), *_unused(template, required, all_tokens))


def _language(found: Sequence[JsToken]) -> Iterator[LintWarning]:
    declared = _declared(found)
    for at, token in enumerate(found):
        before = found[at - 1] if at else None
        member = before is not None and before.text in {".", "?."}
        after = found[at + 1].text if at + 1 < len(found) else ""
        if token.sort is TokenKind.WORD and not member and after != ":":
            yield from _word(token, declared)
        elif token.sort is TokenKind.WORD and member and after == "(" and token.text in _UNLISTED:
            yield LintWarning(
                "method_unlisted", f"Google does not list the method {token.text}", token.line
            )
        elif token.sort is TokenKind.REGEX:
            yield LintWarning(
                "regex_literal",
                "regular expressions are not supported: use createRegex",
                token.line,
            )
        elif token.sort is TokenKind.NUMBER and token.text.endswith("n") and "x" not in token.text:
            yield LintWarning("language", "BigInt is not supported", token.line)
        elif token.sort is TokenKind.TEMPLATE or token.text in _UNKNOWN_SIGNS:
            what = _UNKNOWN_SIGNS.get(token.text, "a template literal")
            yield LintWarning(
                "language_undocumented",
                f"Google does not say whether it accepts {what}",
                token.line,
            )


def _word(token: JsToken, declared: frozenset[str]) -> Iterator[LintWarning]:
    if token.text in _REFUSED_WORDS:
        yield LintWarning("language", f"Google's sandbox has no `{token.text}`", token.line)
    elif token.text in _UNDOCUMENTED_WORDS:
        yield LintWarning(
            "language_undocumented",
            f"Google does not say whether it accepts `{token.text}`",
            token.line,
        )
    elif token.text in _GLOBALS and token.text not in declared:
        yield LintWarning(
            "global",
            f"there is no global `{token.text}`: use require",
            token.line,
        )


def _required(found: Sequence[JsToken]) -> Iterator[tuple[str, int]]:
    for at, token in enumerate(found):
        if token.text == "require" and at + 2 < len(found) and found[at + 1].text == "(":
            named = found[at + 2]
            yield (named.text[1:-1] if named.sort is TokenKind.TEXT else "", named.line)


def _calls(template: Template, found: Sequence[JsToken]) -> Iterator[LintWarning]:
    """Check calls with a literal first argument: does the permission cover it?"""
    allowed = policy(template.grants)
    for name, line in _required(found):
        if name not in APIS:
            word = f"no API `{name}`" if name else "an API whose name is not a literal"
            yield LintWarning("api_unknown", f"require of {word}", line)
    covers = {
        "getRequestHeader": (allowed.headers, "read_request"),
        "getCookieValues": (allowed.read_cookies, "get_cookies"),
        "setCookie": (tuple(set_cooky.name for set_cooky in allowed.set_cookies), "set_cookies"),
        "getEventData": (allowed.event, "read_event_data"),
        "getRequestQueryParameter": (allowed.query, "read_request"),
    }
    for name, text, line in _literal_calls(found):
        if name in covers:
            patterns, permission = covers[name]
            if not matches(patterns, text.lower() if name == "getRequestHeader" else text):
                yield LintWarning(
                    "permission_missing", f"{name}('{text}') is not covered by {permission}", line
                )


def _literal_calls(found: Sequence[JsToken]) -> Iterator[tuple[str, str, int]]:
    for name, bracket, argument, end in zip(found, found[1:], found[2:], found[3:], strict=False):
        whole = bracket.text == "(" and argument.sort is TokenKind.TEXT and end.text in {",", ")"}
        if name.sort is TokenKind.WORD and whole:
            yield name.text, argument.text[1:-1], name.line


def _missing(template: Template, required: set[str]) -> Iterator[LintWarning]:
    declared = {grant.permission for grant in template.grants}
    for name in sorted(required & set(APIS)):
        permission = APIS[name].permission
        if permission is not None and permission not in declared:
            yield LintWarning(
                "permission_missing", f"{name} needs {permission}, which is not declared"
            )


def _unused(
    template: Template, required: set[str], found: Sequence[JsToken]
) -> Iterator[LintWarning]:
    needed = {APIS[name].permission for name in required & set(APIS)}
    texts = {token.text[1:-1] for token in found if token.sort is TokenKind.TEXT}
    texts |= {field.default for field in flat(template.fields) if isinstance(field.default, str)}
    for grant in template.grants:
        if grant.permission not in needed:
            yield LintWarning(
                "permission_unused",
                f"{grant.permission} is declared, but no API in the code needs it",
            )
            continue
        for what, name in _named(grant):
            if "*" not in name and name not in texts and name.lower() not in texts:
                yield LintWarning(
                    "permission_unused",
                    f"{grant.permission} names the {what} {name}, but the code does not use it",
                )


def _named(grant: Grant) -> Iterator[tuple[str, str]]:
    rows = {
        "read_request": ("header", "headerWhitelist", "headerName"),
        "set_cookies": ("cookie", "allowedCookies", "name"),
    }
    lists = {
        "get_cookies": ("cookie", "cookieNames"),
        "read_event_data": ("event key", "keyPatterns"),
    }
    if grant.permission in lists:
        what, key = lists[grant.permission]
        for name in as_list(grant.parameters.get(key)):
            yield what, as_text(name)
    elif grant.permission in rows:
        what, key, column = rows[grant.permission]
        for row in as_list(grant.parameters.get(key)):
            yield what, as_text(as_mapping(row).get(column))


def _declared(found: Sequence[JsToken]) -> frozenset[str]:
    names = set()
    for at, token in enumerate(found):
        if token.text in {"const", "let", "var", "function"} and at + 1 < len(found):
            names.add(found[at + 1].text)
        if token.text == "=>" and at:
            names |= _in_brackets(found, at - 1, step=-1)
        elif token.text == "function":
            names |= _in_brackets(found, at + (1 if found[at + 1].text == "(" else 2), step=1)
    return frozenset(names)


def _in_brackets(found: Sequence[JsToken], at: int, *, step: int) -> set[str]:
    """Return the tokens between a bracket and its counterpart, or else the single token."""
    names: set[str] = set()
    depth = 0
    while 0 <= at < len(found):
        token = found[at]
        depth += {"(": step, ")": -step}.get(token.text, 0)
        if token.sort is TokenKind.WORD:
            names.add(token.text)
        if depth <= 0:
            break
        at += step
    return names
