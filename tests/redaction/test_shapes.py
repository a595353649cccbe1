"""Which texts are searched for personal data, how they are decoded, and what is replaced."""

from base64 import b64encode, urlsafe_b64encode

import pytest

from twite.redaction.shapes import (
    MOST_READ,
    holds_a_person,
    masked_base64,
    masked_plain,
    may_hold_a_person,
    reading,
    shows_a_person,
)


def packed(text):
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "", "a@b.c", "mugs", "order-7", "123456789", "a.b.c.d", "ABCDEFGHI", "abcdefghi J",
        "abcdefghij k.", "020 7946 0059", "éabcde",
    ],
)  # fmt: skip
def test_text_without_a_hint_of_personal_data_is_not_searched(text):
    assert not may_hold_a_person(text)
    assert not holds_a_person(text)


@pytest.mark.parametrize(
    "text",
    [
        "a@b.co", "1234567890", "a+bcde", "a%bcde", "a(bcde", "a:bcde", "a&bcde", "a\\bcde",
        "\uff41bcdef", "\u0661bcdef", "a\u200bbcdef", "ABCDEFGHIJ", "Abcdefghij",
        "tel 020 7946 0059",
    ],
)  # fmt: skip
def test_text_with_a_hint_of_personal_data_is_searched(text):
    assert may_hold_a_person(text)


@pytest.mark.parametrize(
    ("text", "is_shown", "is_held"),
    [
        ("a@b.co", True, True), ("+442079460059", True, True),
        (packed("anna@shop.alt"), True, True),
        ("a%40b.co", False, True), ("a&#64;b.co", False, True), ("a@b", False, False),
        ("a%40b", False, False), ("a(b)cde", False, False),
        ("x" * (MOST_READ - 1) + "+", False, False),
        ("x" * MOST_READ + "+", False, True),
    ],
)  # fmt: skip
def test_personal_data_is_found_in_a_text_or_only_after_decoding(text, is_shown, is_held):
    assert (shows_a_person(text), holds_a_person(text)) == (is_shown, is_held)


READ = {
    "a%40b": "a@b", "a%2540b": "a@b", "a%25252525252540b": "a@b", "%zz 100%": "%zz 100%",
    "&#64;": "@", "&#x40;": "@", "&commat;": "@", "&amp;amp;#64;": "@", "&#0000000064;": "@",
    "&#64": "@", "&unknown;": "&unknown;", "&#1114112;": "&#1114112;", "&#1114111;": "\U0010ffff",
    "\\u0040": "@", "%u0040": "@", "\\x40": "@", "\\\\u0040": "@", "a\\n\\tb": "a  b", '\\"': '"',
    "\\/": "/", "a+b%2bc": "a b+c", "a+b%40c": "a+b@c", "a\\u005cu0040": "a@",
    "pr1=idSKU~nmMug": "; SKU; Mug", "a~k1x~v12y": "a; x; y", "pr1=idSKU": "; SKU",
    "price=idx": "price=idx",
    "\uff20": "@", "a\u200b@b": "a@b", "a\u00a0@\u00a0b": "a@b", "a\u3002b": "a.b", "\u2212": "-",
    "\u0664\u0664": "44", "a&b=c": "a&b=c",
}  # fmt: skip


@pytest.mark.parametrize(("text", "read"), READ.items())
def test_text_is_decoded_as_intended(text, read):
    assert reading(text) == read


@pytest.mark.parametrize(("times", "read"), [(4, "@"), (5, None)])
def test_escapes_are_decoded_up_to_five_levels(times, read):
    text = "\\u0040"
    for _ in range(times):
        text = text.replace("\\", "\\u005c")

    assert reading(text) == read
    assert holds_a_person(text) is (read is None)


@pytest.mark.parametrize(("many", "is_read"), [(60, True), (59, False)])
def test_text_that_decodes_to_more_than_twice_its_length_is_not_decoded(many, is_read):
    # One letter stands for eighteen characters.
    text = "a" * many + "\ufdfa" * 10

    assert (reading(text) is not None) is is_read


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a@b.co and +442079460059", "*** and ***"), ("tel: 020 7946 0059 x", "tel: *** x"),
        ('"a b"@c.co', "***"), ("a@[1.2.3.4]", "***"), ("i7@3.40GHz", "i7@3.40GHz"), ("", ""),
        ("logo@2x.png", "logo@2x.png"), ("order@1.2", "order@1.2"), ("a@b.co", "***"),
        ("+44 20 7946 0059, +44 20 7946 0058 x", "***, *** x"),
    ],
)  # fmt: skip
def test_personal_data_in_a_text_is_replaced(text, shown):
    assert masked_plain(text) == shown


CODE = packed("anna@shop.alt")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (CODE, "***"), (CODE.rstrip("="), "***"), (f"order_{CODE}", "***"),
        (f"x {CODE} y", "x *** y"),
        (f"ab-{CODE}", "***"), (packed("+442079460059"), "***"), (packed("a%40shop.alt"), "***"),
        (packed("a&#64;shop.alt"), "***"), (packed("é@shop.alt"), "***"),
        (packed("a\tb@shop.alt"), "***"), (f"x_{packed('ab@c.de')}", "***"),
        (urlsafe_b64encode(b"~~~?>@shop.alt").decode(), "***"),
        *((text, text) for text in (
            packed("anna\0@shop.alt"), packed("no person here"), packed("x@y.zw")[:9],
            packed("(020) 7946 0059"),
            f"AAAA{CODE}", f"x_{packed('a@b.co')}", "", packed("a & b, order 7"),
        )),
    ],
)  # fmt: skip
def test_personal_data_in_base64_is_replaced(text, shown):
    assert masked_base64(text) == shown
    assert shows_a_person(text) is (text != shown)
