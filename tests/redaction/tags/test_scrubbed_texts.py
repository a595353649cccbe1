"""Events for tags contain no personal data, in any text or key: as other texts, and as named."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from any_event import EVENTS
from canaries import (
    EMAIL_FIELDS,
    HARMLESS,
    HARMLESS_FIELDS,
    NAME,
    NAME_FIELDS,
    PHONE_FIELDS,
    SPELLINGS,
    found_in,
)
from twite.redaction.shapes import MOST_READ, reading
from twite.tags.redaction.scrub_event import scrubbed_event

CORPUS = Path(__file__).parents[1] / "corpus"
PERSONS = json.loads((CORPUS / "persons.json").read_text("utf-8"))
LEAST_FOUND = 0.98
WAYS = {
    "a tag's event": lambda text: scrubbed_event({"x": text}, region=None),
    "a key of an event": lambda text: scrubbed_event({text: 1}, region=None),
    "JSON in a text": lambda text: scrubbed_event({"x": json.dumps({"y": [text]})}, region=None),
}


def _is_shown(needle, text):
    plain = re.sub(r"[\W_]+", "", reading(text) or text)
    return needle in text or needle.lower() in plain.lower()


@pytest.mark.parametrize("kind", PERSONS)
def test_personal_data_of_each_documented_class_is_found_in_events(kind, figure):
    spellings = PERSONS[kind]
    shown = {
        (way, text)
        for way, scrub in WAYS.items()
        for needle, text in spellings
        if _is_shown(needle, json.dumps(scrub(text)))
    }

    total = len(spellings) * len(WAYS)
    figure(f"{kind} in events: found", f"{total - len(shown)} of {total}")
    assert len(shown) <= (1 - LEAST_FOUND) * total, sorted(shown)


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_personal_data_in_texts_of_events_is_found_in_every_spelling(spelled):
    url = f"https://shop.example/u/{quote(spelled, safe='%@+')}"
    for text in (spelled, f"for {spelled}", f"(to:{spelled})", f"x={spelled}", url):
        assert found_in(f"{scrubbed_event({'x': text, text: 1}, region=None)}".encode()) == []


def test_event_without_personal_data_is_unchanged():
    for harmless in HARMLESS:
        event = {"note": harmless, "items": [{"item_name": harmless}], "transaction_id": harmless}
        assert scrubbed_event(event, region="GB") == event


@given(
    event=EVENTS,
    text=st.text(max_size=60) | st.sampled_from([*SPELLINGS.values(), *HARMLESS]),
)
def test_scrubbing_an_event_twice_changes_nothing_more(event, text):
    first = scrubbed_event({**event, "note": text}, region="GB")
    assert scrubbed_event(first, region="GB") == first


@pytest.mark.parametrize("piece", ["a+123456789", "0012 3456789 ", "+1 2-3", "a%2B123456789"])
def test_long_texts_of_events_are_searched_without_the_phone_library(piece, monkeypatch):
    def refused(*_args, **_named):
        raise AssertionError("a text is looked through with patterns alone")

    monkeypatch.setattr(phonenumbers, "parse", refused)
    monkeypatch.setattr(phonenumbers, "is_valid_number", refused)
    text = (piece * 6_000)[:60_000]

    scrubbed_event({"x": text, "y": [text[:40]]}, region=None)


@pytest.mark.parametrize("text", ["a@b " * MOST_READ, "k=v&" * MOST_READ, "%25" * MOST_READ])
def test_text_of_an_event_too_long_to_be_searched_is_dropped(text):
    assert scrubbed_event({"note": text, "a": 1}, region=None) == {"note": "***", "a": 1}


def test_fields_of_events_with_personal_data_are_scrubbed():
    for name in (*EMAIL_FIELDS, *PHONE_FIELDS, *NAME_FIELDS):
        assert NAME not in f"{scrubbed_event({name: NAME}, region=None)}", name


def test_field_of_an_event_about_a_product_is_not_scrubbed():
    for name in HARMLESS_FIELDS:
        assert scrubbed_event({name: "Mug"}, region=None) == {name: "Mug"}
