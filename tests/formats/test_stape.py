"""Stape's X tag from 2022 to today: `stape/*.json`, bodies with the resulting conversions."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW, a_destination
from twite.domain.destination import OAuthKeys
from twite.domain.errors import MalformedRequest
from twite.domain.secret import Secret
from twite.formats.stape import read as stape
from twite.formats.x_api import read as x_api

FOLDER = Path(__file__).parent / "stape"
CASES = [
    (f"{file.stem}: {case['says']}", case)
    for file in sorted(FOLDER.glob("*.json"))
    for case in json.loads(file.read_text())
]
CLICK = "23opevjt88psuo13lu8d020qkn"
AUTH = {
    "consumer_key": "xvz1evFS4wEEPTGEFPHBog",
    "consumer_secret": "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "oauth_token_secret": "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
}


def proxied(body, now=NOW):
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    return stape.read(given, now=now, salt=b"salt")


def a_body(*conversions, **more):
    complete = {"event_id": "tw-o8z6j-o8z6k", "identifiers": [{"twclid": CLICK}]}
    given = [complete | conversion for conversion in conversions or ({},)]
    return {"pixel_id": "o8z6j", "conversions": given, "auth": AUTH} | more


def becomes(body, now=NOW):
    """Return the conversions in canonical form, or X's error."""
    reading = x_api.read(proxied(body, now).body, destination=a_destination(), salt=b"salt")
    if isinstance(reading, x_api.XApiRefusal):
        return {
            "refused": [
                [complaint.parameter, complaint.message] for complaint in reading.complaints
            ]
        }
    return {"conversions": [_canonical(conversion) for conversion in reading.conversions]}


def _canonical(conversion):
    canonical = json.loads(msgspec.json.encode(conversion))
    del canonical["pixel"]
    if canonical["time"] == NOW:
        del canonical["time"]
    if len(canonical["conversion_id"]) == 26:
        canonical["conversion_id"] = "derived"
    return canonical


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_request_of_stapes_tag_becomes_conversions(case):
    expected = {key: case[key] for key in ("conversions", "refused") if key in case}

    assert becomes(case["body"]) == expected


def test_four_oauth_secrets_are_read_and_hidden_in_the_repr():
    read = proxied(a_body())

    assert read.keys == OAuthKeys(
        consumer_key=AUTH["consumer_key"],
        consumer_secret=Secret(AUTH["consumer_secret"]),
        token=AUTH["oauth_token"],
        token_secret=Secret(AUTH["oauth_token_secret"]),
    )
    assert repr(read) == "Proxied(pixel='o8z6j', ***)"


@pytest.mark.parametrize("part", AUTH)
@pytest.mark.parametrize("value", [None, "", 7, "a b", "x" * 513, "Schlüssel"])
def test_incomplete_oauth_secrets_are_ignored(part, value):
    assert proxied(a_body(auth=AUTH | {part: value})).keys is None


@pytest.mark.parametrize("auth", [None, [], "secret", {}])
def test_empty_auth_object_is_ignored(auth):
    assert proxied(a_body(auth=auth)).keys is None


def test_stored_request_of_stapes_tag_contains_no_secret():
    read = proxied(a_body())
    reading = x_api.read(read.body, destination=a_destination(), salt=b"salt")

    for secret in AUTH.values():
        assert secret.encode() not in read.body
        assert secret.encode() not in reading.body


def test_repeated_conversion_without_time_and_id_is_a_duplicate():
    body = a_body({"value": 10.5})

    again = [
        x_api.read(proxied(body, NOW + later).body, destination=a_destination(), salt=b"salt")
        for later in (0, 1_000)
    ]

    first, second = (reading.conversions[0].conversion_id for reading in again)
    assert first == second


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", ""),
        (b"[]", ""),
        (b'{"conversions": []}', "pixel_id"),
        (b'{"pixel_id": "", "conversions": []}', "pixel_id"),
        (b'{"pixel_id": 7, "conversions": []}', "pixel_id"),
        (b'{"pixel_id": "o8z6j"}', "conversions"),
        (b'{"pixel_id": "o8z6j", "conversions": {}}', "conversions"),
        (b'{"pixel_id": "o8z6j", "pixel_id": "p2", "conversions": []}', "pixel_id"),
    ],
)
def test_malformed_request_of_stapes_tag_is_refused(body, path):
    with pytest.raises(MalformedRequest) as caught:
        proxied(body)

    assert caught.value.path == path


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["o8z6k", "10.00", "NaN.00", "2026-11-24T10:00:00.000Z", "9" * 64]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["twclid", "hashed_email", "num_items", "content_price", "ip_address"]),
        inner,
        max_size=3,
    ),
    max_leaves=6,
)  # fmt: skip
FIELDS = [
    "conversion_time", "conversion_timestamp", "event_id", "identifiers", "conversion_id", "value",
    "price_currency", "number_items", "contents", "description", "search_string", "custom_data",
]  # fmt: skip
CONVERSIONS = st.dictionaries(st.sampled_from(FIELDS), VALUES)


@given(st.lists(CONVERSIONS | VALUES, max_size=3), VALUES)
def test_any_conversions_of_stapes_tag_are_read_or_refused_like_at_x(conversions, auth):
    body = {"pixel_id": "o8z6j", "conversions": conversions, "auth": auth}

    try:
        said = becomes(json.dumps(body).encode())
    except MalformedRequest:  # NaN, and half of a surrogate pair
        return

    assert said.get("refused") or len(said["conversions"]) == len(conversions)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(body):
    try:
        proxied(body)
    except MalformedRequest:
        return
