"""A fixed corpus: how much personal data is found, and how many other values are taken for it.

The files in `corpus` are explained in its README.
"""

import json
import re
from pathlib import Path
from urllib.parse import quote

import msgspec
import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from twite.formats.page_visit import scrubbed_url
from twite.redaction.mask_text import masked_text
from twite.redaction.scrub_text import (
    free_text,
    names_a_person,
    scrubbed_address,
    scrubbed_json,
    without_persons,
)
from twite.redaction.shapes import holds_a_person, reading
from twite.redaction.vocabulary import FieldContext, kind_of_name

CORPUS = Path(__file__).parent / "corpus"
PERSONS = json.loads((CORPUS / "persons.json").read_text("utf-8"))
FIELDS = json.loads((CORPUS / "fields.json").read_text("utf-8"))
HARMLESS = {
    path.stem: path.read_text("utf-8").splitlines()
    for path in sorted((CORPUS / "harmless").glob("*.txt"))
}
LEAST_FOUND = 0.98
MOST_TAKEN = 0.002
# What becomes of a text at the places where one arrives.
WAYS = {
    "a text": without_persons,
    "a description": lambda text: free_text(text) or "",
    "a sentence": lambda text: without_persons(f"for {text} now"),
    "a rejected conversion": lambda text: scrubbed_json(
        msgspec.json.encode({"a": [text]}), thoroughly=True
    ).decode(),
    "a parameter": lambda text: scrubbed_address(
        f"https://shop.example/?a=1&x={quote(text, safe='')}"
    ),
    "a form": lambda text: scrubbed_address(f"?a=1&x={quote(f'for {text}').replace('%20', '+')}"),
    "an item of a GA4 hit": lambda text: scrubbed_address(
        f"?en=view&pr1=idA~nm{quote(text, safe='')}~qt1"
    ),
    "a path": lambda text: scrubbed_url(f"https://shop.example/u/{quote(text, safe='')}/x") or "",
    "a campaign": lambda text: (
        scrubbed_url(f"https://shop.example/?utm_term={quote(text, safe='')}") or ""
    ),
    "a cookie": lambda text: "" if names_a_person(text) else text,
    "an id": lambda text: "" if names_a_person(text) else text,
    "a log line": masked_text,
}


def _is_shown(needle, text):
    plain = re.sub(r"[\W_]+", "", reading(text) or text)
    return needle in text or needle.lower() in plain.lower()


def test_corpus_has_enough_cases_of_each_class():
    assert sum(map(len, PERSONS.values())) >= 300
    assert sum(map(len, FIELDS["persons"].values())) >= 300
    assert sum(map(len, HARMLESS.values())) >= 20_000


@pytest.mark.parametrize("kind", PERSONS)
def test_personal_data_of_each_documented_class_is_found(kind, figure):
    spellings = PERSONS[kind]
    shown = {
        (way, text)
        for way, scrub in WAYS.items()
        for needle, text in spellings
        if _is_shown(needle, scrub(text))
    }

    total = len(spellings) * len(WAYS)
    figure(f"{kind}: found", f"{total - len(shown)} of {total} ({len(spellings)} spellings)")
    assert len(shown) <= (1 - LEAST_FOUND) * total, sorted(shown)


def test_harmless_values_of_the_corpus_are_unchanged(figure):
    taken = {
        kind: [
            value for value in values if holds_a_person(value) or without_persons(value) != value
        ]
        for kind, values in HARMLESS.items()
    }

    count, total = sum(map(len, taken.values())), sum(map(len, HARMLESS.values()))
    figure("harmless values taken for persons", f"{count} of {total:,}")
    assert count <= MOST_TAKEN * total, {kind: values for kind, values in taken.items() if values}


@pytest.mark.parametrize("kind", FIELDS["persons"])
def test_fields_with_personal_data_are_recognized(kind, figure):
    names = FIELDS["persons"][kind]
    missed = [name for name in names if kind_of_name(name)[0] != kind]

    figure(f"field names for {kind}: recognized", f"{len(names) - len(missed)} of {len(names)}")
    assert len(missed) <= (1 - LEAST_FOUND) * len(names), missed


def _example_numbers():
    kinds = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in kinds:
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                yield number


@pytest.mark.parametrize(
    ("style", "spell"),
    [
        (PhoneNumberFormat.E164, "{}".format),
        (PhoneNumberFormat.E164, "tel{}".format),
        (PhoneNumberFormat.E164, lambda text: text.replace("+", "https://wa.me/")),
        (PhoneNumberFormat.E164, lambda text: text.replace("+", "mobile=")),
        (PhoneNumberFormat.RFC3966, "{}".format),
        (PhoneNumberFormat.INTERNATIONAL, "{}".format),
        (PhoneNumberFormat.INTERNATIONAL, lambda text: re.sub("[ -]", "\u2013", text)),
        (PhoneNumberFormat.INTERNATIONAL, lambda text: re.sub("[ -]", " \u00b7 ", text)),
        (PhoneNumberFormat.INTERNATIONAL, lambda text: quote(text).replace("%20", "+")),
        (PhoneNumberFormat.INTERNATIONAL, lambda text: text.replace("+", "00")),
        (PhoneNumberFormat.INTERNATIONAL, lambda text: text.replace("+", "011 ")),
        (PhoneNumberFormat.INTERNATIONAL, lambda text: re.sub("[ -]", "-", f"00 {text[1:]}")),
        (PhoneNumberFormat.NATIONAL, "Tel: {}".format),
        (PhoneNumberFormat.NATIONAL, "tel:{}".format),
        (PhoneNumberFormat.NATIONAL, lambda text: re.sub("[ -]", ".", f"Phone no. {text}")),
    ],
)
def test_phone_numbers_of_every_country_are_found_in_each_documented_form(style, spell):
    numbers = [phonenumbers.format_number(number, style) for number in _example_numbers()]
    promised = [text for text in numbers if sum(map(str.isdecimal, text)) >= 7]

    assert len(promised) > 400
    assert [text for text in promised if not holds_a_person(spell(text))] == []


def test_fields_about_products_are_not_taken_for_personal_data():
    taken = {
        among: [name for name in FIELDS["things"] if kind_of_name(name, among)[0] is not None]
        for among in (FieldContext.EVENT, FieldContext.THINGS)
    }

    assert taken == {FieldContext.EVENT: [], FieldContext.THINGS: []}
