"""Event data is scrubbed at any depth up to the limit."""

import json
from hashlib import sha256
from urllib.parse import quote

import pytest

from twite.tags.redaction.scrub_event import scrubbed_event

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
def test_values_beyond_32_levels_are_removed(event, deepest, empty):
    assert scrubbed(event(deepest)) == event(deepest)
    assert scrubbed(event(deepest + 1)) == event(deepest, empty)


def test_json_in_a_text_at_the_deepest_level_is_removed():
    assert scrubbed(nested(32, "[]")) == nested(31, {})
    assert scrubbed(nested(31, "[]")) == nested(31, "[]")


def test_hash_under_googles_name_is_added_to_an_object_of_the_event():
    added = {"email_address": DIGEST, "sha256_email_address": DIGEST}

    assert scrubbed({"user_data": {"email_address": EMAIL}}) == {"user_data": added}
    assert scrubbed({"email_address": EMAIL}) == {"email_address": DIGEST}


@pytest.mark.parametrize("times", [0, 1, 4])
def test_encoded_json_in_a_text_is_scrubbed(times):
    text = json.dumps({"email": EMAIL, "n": 1})
    for _ in range(times):
        text = quote(text)

    assert json.loads(scrubbed({"a": text})["a"]) == {"email": DIGEST, "n": 1}


@pytest.mark.parametrize("text", ["%7Bmug", "50% off", "mug", ""])
def test_event_texts_without_personal_data_are_unchanged(text):
    assert scrubbed({"a": text}) == {"a": text}


@pytest.mark.parametrize("name", ["", DIGEST, DIGEST.upper()])
def test_hashed_name_is_not_hashed_again(name):
    assert scrubbed({"first_name": name}) == {"first_name": name}
    assert scrubbed({"first_name": "Anna"}) == {"first_name": sha256(b"anna").hexdigest()}


@pytest.mark.parametrize(
    "name",
    ["telefon_filiale_2", "ecomPhoneOfDriver", "form.0.whatsapp_kontakt", "x-tel-night-shift"],
)
@pytest.mark.parametrize("number", ["020 7946 0059", "+44 20 7946 0059", 442079460059])
def test_long_number_in_a_field_named_like_a_phone_is_a_phone_number(name, number):
    assert "79460059" not in f"{scrubbed_event({name: number}, region='GB')}".replace(" ", "")


@pytest.mark.parametrize(
    "event",
    [
        {"phone_order_id": "1000234567", "sms_message_id": 12345678901, "phone_sku": "10023456"},
        {"phone_case_color": "black", "phone_rank": "12", "telefon_note": "see page 12345678"},
        {"order_number": "442079460059", "telephony_plan": "12345678", "phone_sent_at": "20261127"},
    ],
)
def test_value_that_is_no_phone_number_is_unchanged(event):
    assert scrubbed_event(event, region="GB") == event
