"""Match keys of a conversion, and errors in identifiers."""

import hashlib

import pytest

from builders import matching
from twite.domain.conversion import Identifiers
from twite.domain.stats.match_keys import (
    Flaw,
    Matching,
    MatchKeys,
    digest_flaw,
    is_placeholder,
    key_set_of,
    keys_in,
    shape_of,
)


def _hash(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("identifiers", "key_set", "keys"),
    [
        (Identifiers(), MatchKeys(0), 0),
        (Identifiers(click_id="c", email="e"), MatchKeys.CLICK | MatchKeys.EMAIL, 2),
        (Identifiers(ip="192.0.2.1"), MatchKeys.IP, 0),
        (
            Identifiers(phone="p", ip="i", user_agent="u"),
            MatchKeys.PHONE | MatchKeys.IP | MatchKeys.AGENT,
            2,
        ),
        (Identifiers(browser_id="b", email="e"), MatchKeys.BROWSER | MatchKeys.EMAIL, 1),
    ],
)
def test_ip_and_user_agent_together_are_one_match_key(identifiers, key_set, keys):
    assert (key_set_of(identifiers), keys_in(key_set)) == (key_set, keys)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("+44 20 7946 0958", "+99 99 9999 9999"),
        ("Shopper(at)example", "Xxxxxxx(xx)xxxxxxx"),
        ("<script>\u202e=1", "?xxxxxx???9"),
        ("9" * 60, "9" * 48 + "…"),
        ("Ünïcödé\u0663", "Xxxxxxx9"),
    ],
)
def test_shape_of_a_text_contains_none_of_its_characters(text, shape):
    assert shape_of(text) == shape


@pytest.mark.parametrize(
    "email",
    ["noreply@shop.example", "x@example.com", "buyer@mail.test", "GUEST+1@shop.de", "undefined"],
)
def test_placeholder_emails_are_recognized(email):
    assert is_placeholder(email)


@pytest.mark.parametrize("email", ["anna@shop.de", "testa@shop.de", "x@myexample.com"])
def test_real_emails_are_not_placeholders(email):
    assert not is_placeholder(email)


@pytest.mark.parametrize(
    ("text", "raw", "code"),
    [
        (_hash(_hash("")), None, "double_hash"),
        (_hash(_hash("undefined")), None, "double_hash"),
        (_hash(_hash("anna@shop.de")), "Anna@shop.de ", "double_hash"),
        (_hash("anna@shop.de").upper(), None, "upper_case_hash"),
    ],
)
def test_error_in_a_hash_is_recognized(text, raw, code):
    flaw = digest_flaw(text, path="email_sha256", raw=raw)

    assert isinstance(flaw, Flaw)
    assert (flaw.code, flaw.path) == (code, "email_sha256")


def test_correct_hash_has_no_error():
    assert digest_flaw(_hash("anna@shop.de"), path="email_sha256", raw="anna@shop.de") is None


def test_match_keys_of_conversions_are_counted():
    whole = matching({int(MatchKeys.CLICK): 3, int(MatchKeys.CLICK | MatchKeys.EMAIL): 1})

    assert whole == Matching(conversions=4, click=4, email=1, two=1, one_short=3)
    assert whole.share == 0.25
