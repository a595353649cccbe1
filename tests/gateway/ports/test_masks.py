"""Displayed bodies, responses and reasons contain no personal data and no key."""

import json
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW
from twite.domain.delivery import State
from twite.domain.history import History
from twite.gateway.operations.explain import compact, masked, steps
from twite.gateway.ports.queries import ConversionOrigin
from twite.redaction.mask_text import masked_text
from twite.redaction.mask_tree import MOST_LOOKED_AT, masked_tree, masked_words

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
# Recognized anywhere by what they look like.
LOOKS = (
    HASH,
    HASH.upper(),
    "shopper.one@mail.example",
    "shopper.one%40mail.example",
    "+442079460958",
    "+44 20 7946 0958",
    "(415) 555-0100",
    "020 7946 0958",
    "4155550100",
    "203.0.113.77",
    "2001:db8:85a3:1:2:8a2e:370:7334",
    "EAABsbCS1iHgBAOZCx8rT0kenZBzZCq",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "fb.1.1764063980123.1098115397",
    "1187329187.1764063980",
)
# Recognized by their field name, whatever they look like.
NAMED = (
    ("user_data", {"address": [{"first_name": "Grizelda", "city": "Llanfair"}]}),
    ("userData", {"customer_note": "Grizelda"}),
    ("user_properties", {"tier": {"value": "Grizelda"}}),
    ("x-ga-mp2-user_properties", {"tier": "Grizelda"}),
    ("customer", {"label": "Grizelda"}),
    ("client_id", "Grizelda"),
    ("user_id", "Grizelda"),
    ("x-ga-js_client_id", "Grizelda"),
    ("_fbp", "Grizelda"),
    ("fbc", "Grizelda"),
    ("gclid", "Grizelda"),
    ("ttclid", "Grizelda"),
    ("twclid", "Grizelda"),
    ("access_token", "Grizelda"),
    ("Authorization", "Bearer Grizelda"),
    ("cookies", {"session": "Grizelda"}),
    ("common_cookie", {"_ga": ["Grizelda"]}),
    ("lastName", "Grizelda"),
    ("ep.user_email", "Grizelda"),
    ("user_data.phone_number", "Grizelda"),
    ("headers", [["x-odd", "Grizelda"], ["cookie", "a=Grizelda; b=Grizelda"]]),
    ("headers", {"x-api-thing": "Grizelda", "set-cookie": "a=Grizelda"}),
    ("query", "ref=Grizelda&who=Grizelda"),
    ("path", "/v1/EAABsbCS1iHgBAOZCx8rT0kenZBzZCq/events"),
    ("body", "Grizelda said so"),
)
BODIES = {
    "native": {
        "conversions": [
            {
                "event": "purchase",
                "conversion_id": "order-1",
                "email_sha256": "x",
                "twclid": "x",
                "url": "https://shop.example/thanks",
                "description": "a mug",
                "contents": [{"id": "SKU-1", "name": "Mug"}],
                "consent": {"ad_storage": "granted"},
            }
        ]
    },
    "ga4": {
        "conversions": [{"event": "purchase", "sha256_email_address": "x"}],
        "hit": {
            "events": [
                {
                    "event_name": "purchase",
                    "page_location": "https://shop.example/",
                    "items": [{"item_name": "Mug"}],
                    "also": ["client_id"],
                }
            ]
        },
    },
    "data_tag": {"event_name": "purchase", "data": {"custom": {"note": "x"}}, "list": ["a", "b"]},
    "x_api": {
        "conversions": [
            {"event_id": "o8z6k", "identifiers": [{"hashed_email": "x"}], "search_string": "mug"}
        ]
    },
    "letter": {
        "pixel": "o8z6j",
        "at": 1764063980123,
        "identifiers": [{"twclid": "x"}],
        "event": {
            "event_name": "purchase",
            "page_location": "https://shop.example/",
            "a": {"b": 1},
        },
        "request": {
            "method": "POST",
            "path": "/data",
            "query": "v=2&en=purchase",
            "headers": [["host", "t.shop.example"], ["referer", "https://shop.example/"]],
            "body": '{"event_name": "purchase"}',
        },
        "client": "data_tag",
        "granted": {"ad_storage": True},
    },
}


def _places(tree, way=()):
    yield way
    children = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, child in children:
        if isinstance(child, dict | list):
            yield from _places(child, (*way, key))


def _put(tree, way, name, value):
    held = json.loads(json.dumps(tree))
    at = held
    for step in way:
        at = at[step]
    if isinstance(at, dict):
        at[name] = value
    else:
        at.append({name: value})
    return held


def _embedded(secret):
    """A secret as it may occur in a longer text."""
    return st.sampled_from(
        [
            secret,
            f"thanks, {secret}!",
            f"https://shop.example/of/{quote(secret)}/x?utm_source={quote(secret)}#{secret}",
            urlencode({"a": "1", "who": secret}),
            json.dumps({"deep": {"note": [secret]}}),
            f"<b>{secret}</b>",
            f"'{secret}'; drop",
        ]
    )


@given(
    endpoint=st.sampled_from(sorted(BODIES)),
    secret=st.sampled_from(LOOKS),
    name=st.sampled_from(["note", "x", "description", "event_source_url", "custom_field_7"]),
    choose=st.data(),
)
def test_personal_data_and_keys_are_masked_at_every_place(endpoint, secret, name, choose):
    way = choose.draw(st.sampled_from(list(_places(BODIES[endpoint]))))
    body = _put(BODIES[endpoint], way, name, choose.draw(_embedded(secret)))

    assert _leaks(body, secret) == []


@given(endpoint=st.sampled_from(sorted(BODIES)), named=st.sampled_from(NAMED), choose=st.data())
def test_values_of_fields_with_personal_names_are_masked_at_every_place(endpoint, named, choose):
    way = choose.draw(st.sampled_from(list(_places(BODIES[endpoint]))))
    value = named[1]
    if choose.draw(st.booleans()):
        body = _put(BODIES[endpoint], way, "note", json.dumps({named[0]: value}))
    else:
        body = _put(BODIES[endpoint], way, *named)

    assert _leaks(body, "Grizelda") + _leaks(body, "EAABsbCS1iHgBAOZCx8rT0kenZBzZCq") == []


@given(secret=st.sampled_from(LOOKS), choose=st.data())
def test_responses_and_reasons_are_masked(secret, choose):
    worn = choose.draw(_embedded(secret))
    text = choose.draw(
        st.sampled_from(
            [
                worn,
                f"400 INVALID_PARAMETER: hashed_email ({worn}) is not valid",
                json.dumps({"errors": [{"message": f"bad value {worn}", "value": worn}]}),
                f"the template failed: {worn} (line 3)",
            ]
        )
    )

    assert secret not in masked_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic Z3Jpw6c=",
        "x-api-key: grizelda",
        '{"user_data": {"first_name": "Grizelda"}, "cut',
        "token=grizelda&x=1",
        "Cookie: a=grizelda; b=grizelda",
        "access_token='grizelda'",
        '"fbp":"grizelda"',
    ],
)
def test_incomplete_json_and_headers_are_masked_by_name(text):
    shown = masked_words(text)

    assert "rizelda" not in shown
    assert "Z3Jp" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "400 INVALID_PARAMETER: conversion_time is too old",
        "403 UNAUTHORIZED_ACCESS: This request is not properly authenticated",
        "X refused this pixel token. Copy it again",
        "value guard: 100 times the usual, as if in minor units",
        "2026-11-25T09:46:40.000Z",
        "at 2026-11-25 09:46:40",
        "4990.00 EUR, usually 49.90",
        "<script>alert(1)</script>",
        "=HYPERLINK(1)",
        "it took longer than 30 s",
        "1764063980123",
    ],
)
def test_words_of_error_messages_are_unchanged(text):
    assert masked_words(text) == text


def test_data_that_is_not_personal_is_shown():
    event = BODIES["letter"]["event"] | {"value": 49.9, "currency": "EUR", "transaction_id": "T-1"}

    assert masked_tree(event) == event


def test_googles_names_that_look_like_tokens_are_shown_without_values():
    sent = {"user_data": {"sha256_email_address": "ab" * 32, "sha256_street": "Kings Road"}}
    sent |= {"x-ga-mp2-user_properties": {"tier": "gold"}}

    reported = masked_tree(sent)

    assert reported["user_data"] == {"sha256_email_address": "abababab…", "sha256_street": "***"}
    assert reported["x-ga-mp2-user_properties"] == {"tier": "***"}


def test_harmless_url_parameters_are_shown():
    shown = masked_text("https://shop.example/thanks?utm_source=x&who=me&token=abc#top")

    assert shown == "https://shop.example/thanks?utm_source=x&who=…&token=…#…"


def test_hashes_and_click_ids_show_their_first_characters():
    assert masked_tree({"hashed_email": HASH, "twclid": "23opevjt88psuo13lu8d020qkn"}) == {
        "hashed_email": "9f86d081…",
        "twclid": "23opevjt…",
    }


@pytest.mark.parametrize(
    "unit", ["x", "a:", "id:", "a=b&", "a@", "ab1", '{"a":', "1 ", "https://a/"]
)
def test_masked_form_of_a_long_text_is_limited(unit):
    text = unit * (2**20 // len(unit))

    shown = msgspec.json.encode(masked_tree({"one": text, "many": [text[:9_000]] * 100}))

    assert len(shown) < 2 * MOST_LOOKED_AT
    assert len(masked_words(text)) < MOST_LOOKED_AT


def test_long_text_is_not_truncated_within_a_secret():
    text = ("word " * 3_260) + HASH * 4

    assert HASH[:9] not in masked_words(text)


def _leaks(body, secret):
    """Return those ways of showing a body that reveal a secret."""
    reported = msgspec.json.encode(body)
    history = History(
        delivery=7,
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1",
        state=State.DELIVERED,
        source="shop",
        receipt="r1",
        received_at=NOW,
        deadline_at=NOW,
        sent=reported,
        attempts=(),
    )
    origin = ConversionOrigin(history=history, endpoint="native", body=reported, place=0)
    shown = {
        "page": masked(reported),
        "show": compact(reported).decode(),
        "steps": "".join(f"{step.came} {step.sent}" for step in steps(origin)),
    }
    return [where for where, text in shown.items() if secret in text]
