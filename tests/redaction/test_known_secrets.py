"""Known secrets are replaced wherever a JSON tree contains them."""

import pytest

from twite.domain.secret import Secret
from twite.redaction.secrets import without_secrets

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
def test_a_secret_is_replaced(event, masked):
    assert without_secrets(event, SECRETS) == masked


@pytest.mark.parametrize(
    "event", [{"event_name": "x", "n": [1.5, {}]}, {"pixel": "123456789012345"}, {"k": "shorter"}]
)
def test_a_tree_without_a_secret_is_returned_as_it_is(event):
    assert without_secrets(event, SECRETS) is event


def test_a_deep_tree_is_searched():
    event = deep = {}
    for _ in range(400):
        deep["a"] = {}
        deep = deep["a"]
    deep["k"] = KEY

    found = without_secrets(event, SECRETS)

    while "a" in found:
        found = found["a"]
    assert found == {"k": "***"}
