"""Known secrets are replaced wherever a JSON tree contains them."""

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest

from twite.domain.secret import Secret
from twite.tags.redaction.mask_line import LineMask
from twite.tags.redaction.secrets import without_secrets

KEY = 'key "of" the vendör'
SECRETS = (Secret(KEY), Secret(f"{KEY}-2"), Secret("short"), Secret("123456789012345"))


@pytest.mark.parametrize(
    ("event", "masked"),
    [
        ({"k": KEY}, {"k": "***"}),
        ({"k": f"Bearer {KEY}, again {KEY}"}, {"k": "Bearer ***, again ***"}),
        ({"k": f"{KEY}-2"}, {"k": "***"}),
        ({"a": [{"b": [1, None, KEY]}]}, {"a": [{"b": [1, None, "***"]}]}),
        ({KEY: True, "b": 1}, {"***": True, "b": 1}),
    ],
)
def test_known_secret_in_json_is_replaced(event, masked):
    assert without_secrets(event, SECRETS) == masked


@pytest.mark.parametrize(
    "event", [{"event_name": "x", "n": [1.5, {}]}, {"pixel": "123456789012345"}, {"k": "shorter"}]
)
def test_json_without_a_known_secret_is_unchanged(event):
    assert without_secrets(event, SECRETS) is event


def test_known_secret_in_deeply_nested_json_is_replaced():
    event = deep = {}
    for _ in range(400):
        deep["a"] = {}
        deep = deep["a"]
    deep["k"] = KEY

    found = without_secrets(event, SECRETS)

    while "a" in found:
        found = found["a"]
    assert found == {"k": "***"}


ENCODED = {
    "percent-encoded": quote(KEY, safe=""),
    "as a form": quote_plus(KEY),
    "in a URL": quote(KEY, safe=";,/?:@&=+$-_.!~*'()#"),
    "base64": b64encode(KEY.encode()).decode(),
    "a login": b64encode(f"user:{KEY}".encode()).decode(),
    "within base64": urlsafe_b64encode(f"ab{KEY}?".encode()).decode(),
    "hex": KEY.encode().hex(),
    "HEX": KEY.encode().hex().upper(),
    "escaped": json.dumps(KEY)[1:-1],
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encoded_secret_is_replaced(encoding):
    encoded = ENCODED[encoding]
    kept = encoded[8:-8]

    [found] = without_secrets({"k": f"it says {encoded} here"}, SECRETS).values()
    shown = LineMask([KEY], {}).own(f"it says {encoded} here", most=300)

    assert kept not in found
    assert "***" in found
    assert kept not in shown
    assert "***" in shown


@pytest.mark.parametrize("key", ["hunter2b", "4a11b22c33d"])
def test_short_secret_of_letters_and_digits_is_replaced(key):
    assert without_secrets({"k": f"by {key}"}, [Secret(key)]) == {"k": "by ***"}


@pytest.mark.parametrize("key", ["o8z0x", "purchase", "production", "12345678"])
def test_short_secret_that_may_be_a_word_or_an_id_is_not_replaced(key):
    event = {"k": f"by {key}"}

    assert without_secrets(event, [Secret(key)]) is event
