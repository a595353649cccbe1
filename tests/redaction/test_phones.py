"""Where a phone number begins and ends in a text, and which digits are not a phone number."""

import json
from pathlib import Path

import pytest

from twite.redaction.phones import may_be_phone, phones_in
from twite.redaction.shapes import reading

CORPUS = json.loads((Path(__file__).parent / "corpus/persons.json").read_text("utf-8"))
# The number and the text around it, by what shows that it is a phone number.
FOUND = {
    "a plus": [
        ("", "+442079460059", ""), ("call ", "+44 20 7946 0059", " now"),
        ("a ", "+ 44 20 7946 0059", ""), ("1 ", "+15005550006", ""), ("", "+   442079460059", ""),
        ("x=", "+44+20+7946+0059", ""), ("", "++442079460059", ""), ("a", "++442079460059", ""),
        ("tel", "+12025550123", ""), ("phone", "+442079460059", ""),
        ("", "+44 20 7946 0059 1234567890123", ""), ("", "+44207946005912345", ""),
        ("", "+44 -- 20 -- 7946 -- 0059", ""), ("", "+44~20~7946~0059", ""),
        ("", "+43~1~234567890123", ""), ("", "+683~4~002", ""), ("", "+44~0~2079460059", ""),
        ("", "+800~1234~5678", ""), ("", "+7~800~200~0600", ""), ("", "+7~8~495~123~4567", ""),
        ("", "+٤٤ ٢٠ ٧٩٤٦ ٠٠٥٩", ""), ("", "+(44) 20 7946 0059", ""),
    ],
    "a word": [
        ("Tel: ", "020 7946 0059", ""), ("Tel ", "020 7946 0059", ""), ("Tel. ", "02079460059", ""),
        ("Tel # ", "7946 0059", ""), ("phone number is ", "7946 0059", ""),
        ("phone number is ", "79460059", ""), ("phone number ", "79460059", ""),
        ("wa: ", "98101-1449", ""), ("Telefon ", "415 555 0100", ""),
        ("Telefon ", "415 5550100", ""), ("call me on ", "020 7946 0059", ""),
        ("fax ", "020 7946 0059", ""), ("Tel - ", "020 7946 0059", ""),
        ("mobile ", "07700900123", ""),
        ("Tel: ", "123456789012345", ""), ("phone+", "020+7946+0059", ""),
        ("phone ", "9 999 5550100", ""), ("phone ", "999 000 1111", ""),
        ("phone ", "12 34 5678", ""), ("phone ", "079460059", ""),
        ("Tel: ", "٠٢٠ ٧٩٤٦ ٠٠٥٩", ""), ("电话\uff1a", "02079460059", ""),
        ("电话 ", "02079460059", ""),
    ],
    "a link": [
        ("tel:", "02079460059", ""), ("sms:", "+442079460059", ""), ("wa.me/", "442079460059", ""),
        ("https://wa.me/", "442079460059", "?text=x"),
        ("whatsapp://send?phone=", "442079460059", ""),
    ],
    "00 or 011": [
        ("", "0044 20 7946 0059", ""), ("", "011 44 20 7946 0059", ""),
        ("", "00 44 20 7946 0059", ""), ("", "0044(0)20 7946 0059", ""),
    ],
    "brackets": [
        ("", "(020) 7946 0059", ""), ("", "[020] 7946 0059", ""), ("", "(415) 555-0100", ""),
        ("1", "(415) 555-0100", ""), ("", "(11) 96123-4567", ""), ("", "(11) 2000-4000", ""),
        ("", "(495) 123-45-67", ""), ("", "(0) 7946 0059", ""),
    ],
}  # fmt: skip
IDS = [
    # a plus
    "+33.1234, 56.789", "+43~1~2345678901234", "+43~1~234~999999999999", "+44~0~0079460059",
    "+98~9651~999999999999",
    "+    44 20 7946 0059", "SHOP+12025550123", "+0442079460059", "+51.5007, -0.1246", "+1.5007123",
    "+1,234,567.89", "+999 2079 460059", "+4420794", "+210~20~7946~0059",
    # a word
    "Tel020 7946 0059", "tel: 12345678901234567", "Tel: 20261127", "Tel: 2026-11-27 10",
    "WA 98101-1449", "phone 98101-1449", "Telefon 4006381333931", "Telefon 020 7946",
    "Telefon 020794600591234", "order: 79460059", "tel-020 7946 0059", "mobile 7700900123",
    "mobile 77009001234567", ": 020 7946 0059", "Tel: 1234567890123456", "phone'020 7946 0059",
    "phone 12 34 567", "phone 999 0001111", "Telefon 4155550100", "call 79460059",
    # a link
    "xtel:02079460059",
    # 00 or 011
    "00442079460059", "00 999 20 79460059", "x0044 20 7946 0059", "01144 20 7946 0059",
    "1,0044 20 7946 0059",
    # brackets
    "a(415) 555-0100", "(115) 555-0100", "(18) 2000 4000", "(020) 7946",
    # digits alone
    "020 7946 0059", "79460059", "7-9-4-6-0-0-5", "١٢٣٤٥٦٧",
]  # fmt: skip


def numbers_in(text):
    return [text[start:end] for start, end in phones_in(text)]


@pytest.mark.parametrize("sign", FOUND)
def test_phone_number_is_found_from_its_first_to_its_last_character(sign):
    for before, number, after in FOUND[sign]:
        assert numbers_in(f"{before}{number}{after}") == [number]


@pytest.mark.parametrize("text", IDS)
def test_digits_without_a_hint_of_a_phone_number_are_an_id(text):
    assert numbers_in(text) == []


@pytest.mark.parametrize(("many", "found"), [(50, []), (51, ["(18) 2000"])])
def test_digits_with_more_than_fifty_brackets_are_a_phone_number(many, found):
    assert numbers_in("(18) 2000 " * many) == found


def test_each_phone_number_of_a_text_is_found():
    text = "Tel: 020 7946 0059 or (415) 555-0100; +33 1 23 45 67 89, order 1000234"

    assert numbers_in(text) == ["020 7946 0059", "(415) 555-0100", "+33 1 23 45 67 89"]


@pytest.mark.parametrize(
    "kind",
    [
        "phone, plus",
        "phone, 00 or 011",
        "phone, area code in brackets",
        "phone, link",
        "phone, after a word for it",
    ],
)
def test_phone_number_of_the_corpus_is_found(kind):
    missed = [
        text
        for needle, text in CORPUS[kind]
        if needle not in "".join(filter(str.isdecimal, "".join(numbers_in(reading(text) or text))))
    ]

    assert len(missed) <= len(CORPUS[kind]) // 50


@pytest.mark.parametrize(
    ("value", "is_phone"),
    [
        (999_999, False), (1_000_000, True), (10**15 - 1, True), (10**15, False), (True, False),
        (2_079_460_059.0, False), (None, False), ("1234567", True), ("123456", False),
        ("+44 20 7946 0059", True), (" (020) 7946 0059 ", True), ("123456789012345", True),
        ("1234567890123456", False), ("x1234567", False), ("1234567x", False), ("", False),
    ],
)  # fmt: skip
def test_value_with_the_length_of_a_phone_number_may_be_one(value, is_phone):
    assert may_be_phone(value) is is_phone
