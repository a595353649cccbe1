"""Event data is scrubbed at any depth, up to the limit."""

import json
from hashlib import sha256
from urllib.parse import quote

import pytest

from twite.redaction.scrub_event import scrubbed_event

EMAIL = "anna@shop.alt"
DIGEST = sha256(EMAIL.encode()).hexdigest()


def scrubbed(event):
    return scrubbed_event(event, region=None)


def nested(levels, value="Mug", *, around=lambda value: {"a": value}):
    for _ in range(levels):
        value = around(value)
    return value


def in_lists(levels, value="Mug"):
    return {"a": nested(levels, value, around=lambda value: [value])}


def in_json(levels, value="Mug"):
    return {"a": json.dumps(nested(levels, value), separators=(",", ":"))}


@pytest.mark.parametrize(
    ("event", "deepest", "empty"), [(nested, 32, {}), (in_lists, 31, []), (in_json, 30, {})]
)
def test_values_are_removed_beyond_32_levels(event, deepest, empty):
    assert scrubbed(event(deepest)) == event(deepest)
    assert scrubbed(event(deepest + 1)) == event(deepest, empty)


@pytest.mark.parametrize("times", [0, 1, 4])
def test_encoded_json_in_a_text_is_scrubbed(times):
    text = json.dumps({"email": EMAIL, "n": 1})
    for _ in range(times):
        text = quote(text)

    assert json.loads(scrubbed({"a": text})["a"]) == {"email": DIGEST, "n": 1}


@pytest.mark.parametrize("text", ["%7Bmug", "50% off", "mug", ""])
def test_other_texts_are_unchanged(text):
    assert scrubbed({"a": text}) == {"a": text}


@pytest.mark.parametrize("name", ["", DIGEST, DIGEST.upper()])
def test_hashed_name_is_not_hashed_again(name):
    assert scrubbed({"first_name": name}) == {"first_name": name}
    assert scrubbed({"first_name": "Anna"}) == {"first_name": sha256(b"anna").hexdigest()}
