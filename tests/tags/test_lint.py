"""Findings of `twite tag lint`."""

import pytest

from twite.tags.template.lint import lint
from twite.tags.template.permissions import Grant
from twite.tags.template.refused import TokenKind, tokens
from twite.tags.template.template import Template, TemplateKind, TemplatePart, read_template


def lint_code(code: str, *grants: Grant) -> list[tuple[str, int | None]]:
    found = lint(
        Template(
            kind=TemplateKind.TAG,
            id="",
            name="",
            description="",
            fields=(),
            code=TemplatePart(text=code, line=10),
            grants=grants,
            tests=None,
            notes="",
        )
    )
    return [(warning.code, warning.line) for warning in found]


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("const a = 1;\nconst b = new Thing();", ("language", 11)),
        ("return this;", ("language", 10)),
        ("class A {}", ("language", 10)),
        ("const f = async () => 1;", ("language", 10)),
        ("const a = 10n;", ("language", 10)),
        ("const a = /x/g;", ("regex_literal", 10)),
        ("const a = f(/[/]x/);", ("regex_literal", 10)),
        ("const a = `x`;", ("language_undocumented", 10)),
        ("const a = [...b];", ("language_undocumented", 10)),
        ("const a = b?.c;", ("language_undocumented", 10)),
        ("const a = b ?? 1;", ("language_undocumented", 10)),
        ("try { f(); } finally { g(); }", ("language_undocumented", 10)),
        ("const a = Math.floor(1);", ("global", 10)),
        ("const a = JSON.parse('1');", ("global", 10)),
        ("console.log(1);", ("global", 10)),
        ("'a'.startsWith('b');", ("method_unlisted", 10)),
        ("require('fetch');", ("api_unknown", 10)),
        ("require(name);", ("api_unknown", 10)),
    ],
)
def test_lint_reports_what_google_would_refuse(code, finding):
    assert finding in lint_code(code)


@pytest.mark.parametrize(
    "code",
    [
        "const Math = require('Math'); return Math.floor(1);",
        "const a = b / c / d;",
        "const a = (b) / c; // new this",
        "const a = {new: 1, class: 2, Date: 3}; a.this = 1; a.Math = 2;",
        "const a = 'new this /x/ `y`';",
        '/* new\nthis */ const a = "it\'s";',
        "const f = (x) => { return x; };",
        "switch (a) { case 1: break; default: for (const b of c) {} }",
        "const a = [1].map((x) => x).filter((x) => x).join(',').indexOf('a');",
    ],
)
def test_lint_accepts_what_google_accepts(code):
    assert lint_code(code) == []


def test_missing_and_unused_permissions_are_reported():
    code = "const get = require('getEventData'); get('a');"

    assert lint_code(code) == [("permission_missing", None)]
    assert lint_code("return 1;", Grant(permission="logging")) == [("permission_unused", None)]
    assert lint_code(code, Grant(permission="read_event_data")) == []


SPECIFIC = Grant(
    permission="get_cookies", parameters={"cookieAccess": "specific", "cookieNames": ["a", "b"]}
)


def test_missing_and_unused_permitted_names_are_reported():
    code = """const getCookieValues = require('getCookieValues');
getCookieValues('a');
getCookieValues('c');"""

    assert lint_code(code, SPECIFIC) == [("permission_missing", 12), ("permission_unused", None)]


def test_permitted_header_can_be_written_in_any_case():
    header = Grant(
        permission="read_request",
        parameters={
            "requestAccess": "specific",
            "headersAllowed": True,
            "headerAccess": "specific",
            "headerWhitelist": [{"headerName": "Referer"}],
        },
    )
    code = "const getRequestHeader = require('getRequestHeader'); getRequestHeader('referer');"

    assert lint_code(code, header) == []


def test_code_is_split_into_tokens_with_lines():
    code = "const a = 0x1F; // no\n/* no\nno */ b(`x\ny`, 'it\\'s', /[/]/i) => 1.5e3;"

    found = [(token.sort, token.text, token.line) for token in tokens(code)]

    assert found == [
        (TokenKind.WORD, "const", 1),
        (TokenKind.WORD, "a", 1),
        (TokenKind.SIGN, "=", 1),
        (TokenKind.NUMBER, "0x1F", 1),
        (TokenKind.SIGN, ";", 1),
        (TokenKind.WORD, "b", 3),
        (TokenKind.SIGN, "(", 3),
        (TokenKind.TEMPLATE, "`x\ny`", 3),
        (TokenKind.SIGN, ",", 4),
        (TokenKind.TEXT, "'it\\'s'", 4),
        (TokenKind.SIGN, ",", 4),
        (TokenKind.REGEX, "/[/]/i", 4),
        (TokenKind.SIGN, ")", 4),
        (TokenKind.SIGN, "=>", 4),
        (TokenKind.NUMBER, "1.5e3", 4),
        (TokenKind.SIGN, ";", 4),
    ]


def test_differences_from_googles_file_format_are_reported():
    text = '___INFO___\n{"type": "TAG", "description": "a\nb"}\n___SANDBOXED_JS_FOR_SERVER___\n'

    found = lint(read_template(text.encode()))

    assert [(warning.code, warning.line) for warning in found] == [("file_format", 2)]
    assert "line break" in found[0].message
