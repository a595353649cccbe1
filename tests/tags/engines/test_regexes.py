"""createRegex has the language of RE2."""

import os
import re

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st
from template_stage import call, returned, template

from twite.tags.engines.quickjs.engine import QuickJsEngine

CODE = """
const regex = require('createRegex')(data.pattern, data.flags);
return regex === null ? 'invalid' : require('testRegex')(regex, data.text);
"""
_ENGINE = QuickJsEngine(template(CODE))
_QUIET = re2.Options()
_QUIET.log_errors = False


def run_pattern(pattern: str, text: str, flags: str = "") -> object:
    turn = _ENGINE.start(call(fields={"pattern": pattern, "text": text, "flags": flags}))
    assert turn.error is None, turn.error
    return turn.returned


@pytest.mark.parametrize(
    ("pattern", "text", "flags", "expected"),
    [
        (r"^[a-f0-9]{64}$", "a" * 64, "", True),
        (r"b+", "aBBc", "i", True),
        (r"b+", "aBBc", "", False),
        (r"(?i)b+", "aBBc", "", True),
        (r"(?P<year>\d{4})-(?P<month>\d\d)", "2026-11", "", True),
        (r"\Aab\z", "ab", "", True),
        (r"\Aab\z", "ab\n", "", False),
        (r"\Qa.b\E+", "a.bbb", "", True),
        (r"\Qa.b\E", "axb", "", False),
        (r"[[:digit:]]+[[:alpha:]]", "12x", "", True),
        (r"[]a]+$", "a]a", "", True),
        (r"\x{e4}", "ä", "", True),
        (r"(?s)a.b", "a\nb", "", True),
        (r"a.b", "a\nb", "", False),
        (r"a{2,3}", "aa", "xyz", True),
        (r"^.$", "\U0001f600", "", True),
        (r"^.$", "\u2028", "", True),
        (r"^.$", "\r", "", True),
        ("[\U0001f600-\U0001f64f]", "\U0001f601", "", True),
        (r"\s", "\xa0", "", False),
        (r"\s", "\v", "", False),
        (r"[[:space:]]", "\v", "", True),
        (r"^[[:^alpha:]]+$", "12\xe4", "", True),
        (r"(?-s)a.b", "a\nb", "", False),
        (r"(?m)^b$", "a\nb\nc", "", True),
        (r"(?m)^b$", "a\rb\rc", "", False),
        (r"a{,2}", "a{,2}", "", True),
        (r"^\p{Greek}+\pL$", "\u03b1\u03b2x", "", True),
        (r"\101", "A", "", True),
        (r"\W", "k", "i", False),
        (r"\W", "\u212a", "", True),
    ],
)
def test_pattern_matches_like_in_re2(pattern, text, flags, expected):
    assert run_pattern(pattern, text, flags) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?=a)b",
        r"(?!a)b",
        r"(?<=a)b",
        r"(?<!a)b",
        r"(a)\1",
        r"(?<n>a)\k<n>",
        r"a++",
        r"a{1001}",
        r"(a",
        r"[a",
        r"a\y",
        r"[[:nonsense:]]",
        "\\",
        r"*a",
        r"(?P<a>x)(?P<a>y)",
        r"[z-a]",
        r"[a-\d]",
        r"\é",
    ],
)
def test_pattern_that_re2_refuses_is_null(pattern):
    assert run_pattern(pattern, "a") == "invalid"


_ATOMS = st.sampled_from(
    [*"abkKsxyz019 _-,;/", "\n", "\r", "\v", "\xa0", "\xe4", "\u017f", "\u2028", "\U0001f600",
     ".", "^", "$", "]", "}", "{", "{2}", "a{1,2}", "a{,2}", "\\", "|", "(", ")", "(?:", "[", "[^",
     "-", "*", "+?", "?", r"\d", r"\D", r"\s", r"\S", r"\w", r"\W", r"\b", r"\B", r"\A", r"\z",
     r"\n", r"\x41", r"\x{1F600}", r"\101", r"\7", r"\.", r"\-", r"\_", r"\]", r"\pL", r"\Qa.\E",
     "[a-z]", "[^a-z]", "[[:alpha:]]", "[[:^digit:]_]", r"[\s\d]", r"[^\W]", "[]a]", "(?i)", "(?m)",
     "(?s)", "(?-s)", "(?P<n>"]
)  # fmt: skip
_TEXTS = st.text(
    st.sampled_from("abkKsSxyz019 _-,.;/]}{\\\n\r\v\xa0\xe4\u017f\u212a\u2028\U0001f600A"),
    max_size=6,
)


@settings(max_examples=3_000 if os.environ.get("TWITE_TRIAL") else 400, deadline=None)
@given(st.lists(_ATOMS, max_size=6).map("".join), _TEXTS)
def test_any_pattern_matches_like_in_re2(pattern, text):
    found = run_pattern(pattern, text)
    try:
        theirs = re2.compile(pattern, _QUIET)
    except re2.error:
        assert found == "invalid"
        return
    if found == "invalid":
        # Flags in the middle or for a group are unsupported, and the error says so.
        assert re.search(r".\(\?[ims-]", pattern, re.DOTALL)
    elif r"\B" not in pattern or text.isascii():
        # RE2's \B fits between the bytes of one character, too.
        assert found is (theirs.search(text) is not None)


def test_global_pattern_continues_at_its_position():
    code = """
    const regex = require('createRegex')('a', 'g');
    const test = require('testRegex');
    return [test(regex, 'aab'), test(regex, 'aab'), test(regex, 'aab'), test(regex, 'aab')];
    """

    assert returned(code) == [True, True, False, True]


def test_text_methods_accept_a_pattern():
    code = """
    const regex = require('createRegex')('[^0-9]+', 'g');
    return ['+44 20-79'.replace(regex, ''), 'a1b2'.split(require('createRegex')('[0-9]')),
      'ab12'.match(regex), 'ab12'.search(require('createRegex')('1'))];
    """

    assert returned(code) == ["442079", ["a", "b", ""], ["ab"], 2]


def test_text_can_be_used_as_a_pattern():
    assert returned("return 'abc'.match('^[a-c]{3}$')[0];") == "abc"
