"""Code that is refused before it runs, because no time limit could stop it."""

import pytest

from twite.tags.template.refused import RefusedCode, refused

HIDDEN = [
    # Inside a string, a comment or a regular expression.
    "`${1n}`",
    "`a${`'`}`; 1n; `'`",
    "let x = 1; x++ /1n/ 1",
    "//\u2028 3n",
    "if (x) /'/.test(y); 1n; '",
    "if (x) /\\/*/.test(y); 1n; /* */",
    "do x(); while (y) /'/.test(1); 1n //'",
    "}/'/; 1n //'",
    "x.in / 2; '/'; 1n",
    "continue\n/'/; 1n; '",
    "<!-- '\\\n1n //'",
    "a\ufeff/'/; 1n /'/",
]
PLAIN = [
    "1n",
    "0x1fn",
    "1_000n",
    "async function f() {}",
    "async\nfunction f() {}",
    "async/**/() => 1",
    "x = async x => 1",
    "[...async () => 1]",
    "({async foo() {}})",
    "class A { async *x() {} }",
    "import('x')",
    "import.meta",
]
HARMLESS = [
    "x.async = true; x.async(1); x?.async(1); s.import(1)",
    "({async: true, import: 1})",
    "({async})",
    "const async = 1; f(async); if (async) x = async + 1",
    "const f = async => 1",
    "// an async function of 1n\nx = (a + b) / 2 / c[1]",
    "/* async function */ const s = '1n'; return 'async () =>'.length / 2",
    "i18n",
    "`plain 1n`",
]


@pytest.mark.parametrize("code", [*PLAIN, *HIDDEN])
def test_unsupported_code_is_refused_wherever_it_is(code):
    assert refused(code) is not None
    assert refused(code.replace("1n", "async () => 1").replace("3n", "async () => 1")) is not None


@pytest.mark.parametrize("code", HARMLESS)
def test_names_texts_and_comments_with_such_words_are_accepted(code):
    assert refused(code) is None


@pytest.mark.parametrize("code", ["a\nb\nconst x = 1n;", "}/x/\nb\nconst x = 1n;"])
def test_refused_code_is_reported_with_its_line(code):
    assert refused(code) == RefusedCode(line=3, message="BigInt is not supported")
