"""Personal data is recognized in every spelling, and other values are unchanged."""

import csv
import json
import os
import re
import string
from pathlib import Path
from random import Random
from unittest.mock import patch
from urllib.parse import quote
from uuid import UUID

import msgspec
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaries import HARMLESS, SPELLINGS, found_in
from twite.formats.page_visit import scrubbed_url
from twite.redaction import shapes
from twite.redaction.scrub_text import free_text, scrubbed_json, without_persons
from twite.redaction.shapes import holds_a_person, may_hold_a_person, reading

PLACES = (
    "{}", "for {}", "{}, please", "(to:{})", "x={}", "a, b; {}. c", "/u/{}/x", "\u201e{}\u201c",
    "https://shop.example/?a=1&x={}", "https://shop.example/u/{}", '{{"note": "{}"}}', "<{}>",
)  # fmt: skip
SPELLED = st.sampled_from(sorted(SPELLINGS.values()))


# Characters that may adjoin a separate word.
def _before(text):
    while text and re.search(r"[A-Za-z0-9+/=_%&\\-]$", reading(text) or "-"):
        text = text[:-1]
    return text


AROUND = st.text(max_size=40).map(_before)


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_personal_data_is_found_in_every_spelling(spelled):
    quoted = quote(spelled, safe="%@+")
    for place in PLACES:
        text = place.format(quoted if "shop.example" in place else spelled)
        assert found_in(without_persons(text).encode()) == []
        assert found_in((free_text(text) or "").encode()) == []
        assert found_in(scrubbed_json(msgspec.json.encode([text]), thoroughly=True)) == []


@pytest.mark.parametrize(
    "text", ["phone=442079460016", "tel:x phone=442079460016", "a/phone=442079460016/b"]
)
def test_digits_beside_a_word_for_phone_are_a_phone_number(text):
    assert found_in((free_text(text) or "").encode()) == []
    assert found_in(scrubbed_json(msgspec.json.encode([text]), thoroughly=True)) == []
    assert found_in(scrubbed_url(f"https://shop.example/u/{quote(text)}/x").encode()) == []


def test_ids_are_not_personal_data():
    for spelled in SPELLINGS.values():
        assert holds_a_person(spelled)
        assert holds_a_person(f"order {spelled}")


def test_text_without_personal_data_is_unchanged():
    for harmless in HARMLESS:
        assert not holds_a_person(harmless)
        assert without_persons(harmless) == harmless
        assert free_text(harmless) == harmless
        said = msgspec.json.encode({harmless: [harmless]})
        assert scrubbed_json(said) == scrubbed_json(said, thoroughly=True) == said


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        ("/u/+442079460016/x", "/u/-/x"),
        ("/u/%2B442079460016", "/u/-"),
        ("/u/erika.zqmuster%40canary.example", "/u/-"),
        ("/u/ZXJpa2EuenFtdXN0ZXJAY2FuYXJ5LmV4YW1wbGU=", "/u/-"),
        ("/p/1?utm_source=x&utm_term=%2B442079460016", "/p/1?utm_source=x"),
        ("/p/1?utm_content=erika.zqmuster%2540canary.example&utm_medium=m", "/p/1?utm_medium=m"),
        ("/p/blue-widget-1000?utm_id=Black+Friday", "/p/blue-widget-1000?utm_id=Black+Friday"),
        ("/orders/442079460016", "/orders/442079460016"),
    ],
)  # fmt: skip
def test_page_url_loses_personal_data_in_path_and_campaign(page, kept):
    assert scrubbed_url(f"https://shop.example{page}") == f"https://shop.example{kept}"


@given(before=AROUND, spelled=SPELLED, after=st.text(max_size=40))
def test_personal_data_anywhere_in_a_text_is_removed(before, spelled, after):
    # A longer word is a different word.
    after = re.sub(r"^[A-Za-z0-9+/=_%-]+", " ", after)
    for text in (f"{before}{spelled}{after}", f"{before} {spelled} {after}"):
        assert found_in(without_persons(text).encode()) == []
        kept = scrubbed_json(msgspec.json.encode({"a": [text], text: 1}), thoroughly=True)
        assert found_in(kept) == []


@given(st.from_regex(r"[a-z_-]*[0-9]*", fullmatch=True))
def test_fast_check_of_ids_agrees_with_the_full_check(text):
    with patch.object(shapes, "_PLAIN", re.compile("(?!)")):
        thorough = may_hold_a_person(text)

    assert may_hold_a_person(text) == thorough


@given(text=st.text(max_size=60) | SPELLED | st.sampled_from(HARMLESS))
def test_scrubbing_twice_changes_nothing_more(text):
    once = without_persons(text)
    assert without_persons(once) == once
    kept = scrubbed_json(msgspec.json.encode([text]), thoroughly=True)
    assert scrubbed_json(kept, thoroughly=True) == kept


@given(st.text(max_size=200).map(lambda text: text.replace("@", "")))
def test_scrubbed_json_is_still_json(text):
    said = msgspec.json.encode({"a": text, "n": 1.50, text: None})

    assert set(json.loads(scrubbed_json(said, thoroughly=True))) - {"***"} <= {"a", "n", text}


# Texts that would be slowest if the phone number library parsed each part.
LONG = (
    "a+123456789",
    "a+12005550123 ",
    "0012 3456789 ",
    "+1 2-3",
    "YStAYSs/",
    "a%2B123456789",
    "@",
)


@pytest.mark.parametrize("piece", LONG)
def test_long_texts_are_searched_without_the_phone_library(piece, monkeypatch):
    def refused(*_args, **_named):
        raise AssertionError("a text is looked through with patterns alone")

    monkeypatch.setattr(phonenumbers, "parse", refused)
    monkeypatch.setattr(phonenumbers, "is_valid_number", refused)
    text = (piece * 6_000)[:60_000]

    without_persons(text)
    scrubbed_json(msgspec.json.encode([text]), thoroughly=True)


def _numbers():
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        yield from (number[1:], f"{number[1:-1]}0", f"{number[1:]}1", number[1:-1])


def test_number_beside_letters_is_a_phone_number_if_the_library_says_so():
    for digits in _numbers():
        said = f"+{digits}"
        try:
            is_phone = phonenumbers.is_valid_number(phonenumbers.parse(said, None))
        except phonenumbers.NumberParseException:
            is_phone = False
        assert holds_a_person(f"tel{said}") == (is_phone and 7 <= len(digits) <= 15), said


def _ids():
    random = Random(11)
    capitals, any_letter = string.digits + string.ascii_uppercase, string.ascii_letters
    crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

    def some(alphabet, count):
        return "".join(random.choices(alphabet, k=count))

    for _ in range(20_000 if os.environ.get("TWITE_TRIAL") == "1" else 4_000):
        yield from (
            some(capitals, 12),
            f"order_{some(capitals, random.randint(10, 20))}",
            f"{UUID(int=random.getrandbits(128))}",
            f"01{some(crockford, 24)}",
            f"{random.randrange(10**12, 10**13)}",
            f"gid://shopify/Order/{random.randrange(10**12, 10**13)}",
            f"{random.getrandbits(128):032x}",
            f"{random.getrandbits(96):024X}",
            f"ch_{some(string.digits + any_letter, 24)}",
            some(f"{string.digits}{any_letter}_-", 21),
        )


def test_random_ids_are_not_taken_for_personal_data(figure):
    ids = list(_ids())
    taken = [id_ for id_ in ids if holds_a_person(id_)]

    figure("random ids of ten shapes that were taken for a person", f"{len(taken)} of {len(ids):,}")
    assert taken == []


ORDERS = Path(os.environ.get("TWITE_ORDERS", "orders.csv"))


@pytest.mark.skipif(not ORDERS.is_file(), reason="TWITE_ORDERS names no file of a shop's orders")
def test_orders_of_shops_are_not_taken_for_personal_data(figure):
    with ORDERS.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("order_id", "created_at", "total", "twclid", "user_agent", "items", "page")
    harmed = [
        row[name] for row in rows for name in names if without_persons(row[name]) != row[name]
    ]

    figure("orders whose id or words were taken for a person", f"{len(harmed)} of {len(rows)}")
    assert harmed == []


@pytest.mark.parametrize(("times", "counts"), [(50, False), (51, True)])
def test_more_than_fifty_numbers_in_brackets_count_as_personal_data(times, counts):
    assert holds_a_person("(455) 155-01 " * times) is counts
