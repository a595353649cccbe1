"""createRegex: RE2's language."""

import pytest
from template_stage import returned


def matched(pattern: str, text: str, flags: str = "") -> object:
    code = """
    const regex = require('createRegex')(data.pattern, data.flags);
    return regex === null ? 'invalid' : require('testRegex')(regex, data.text);
    """
    return returned(code, fields={"pattern": pattern, "text": text, "flags": flags})


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
    ],
)
def test_a_pattern_means_what_it_means_to_re2(pattern, text, flags, expected):
    assert matched(pattern, text, flags) is expected


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
    ],
)
def test_what_re2_refuses_is_null(pattern):
    assert matched(pattern, "a") == "invalid"


def test_a_global_pattern_remembers_where_it_was():
    code = """
    const regex = require('createRegex')('a', 'g');
    const test = require('testRegex');
    return [test(regex, 'aab'), test(regex, 'aab'), test(regex, 'aab'), test(regex, 'aab')];
    """

    assert returned(code) == [True, True, False, True]


def test_the_methods_of_texts_take_a_pattern():
    code = """
    const regex = require('createRegex')('[^0-9]+', 'g');
    return ['+44 20-79'.replace(regex, ''), 'a1b2'.split(require('createRegex')('[0-9]')),
      'ab12'.match(regex), 'ab12'.search(require('createRegex')('1'))];
    """

    assert returned(code) == ["442079", ["a", "b", ""], ["ab"], 2]


def test_a_text_is_a_pattern_to_match():
    assert returned("return 'abc'.match('^[a-c]{3}$')[0];") == "abc"
