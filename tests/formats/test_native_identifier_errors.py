"""Errors in identifiers, recognized by the native format."""

import hashlib

import msgspec
import pytest

from builders import NOW, a_destination, a_source
from twite.consent.verdict import judging
from twite.domain.stats.match_keys import Flaw
from twite.domain.times import DAY
from twite.formats.native import read as native

DIGEST = hashlib.sha256(b"anna@shop.de").hexdigest()


def _flaws(**fields):
    source = a_source(region=None)
    reading = native.read(
        msgspec.json.encode({"event": "purchase", "twclid": "23opevjt88", **fields}),
        source=source,
        destinations={"o8z6j": a_destination()},
        now=NOW,
        salt=b"salt",
        idempotency_key=None,
        judge=judging(policy=source.consent, now=NOW, revoked=None),
    )
    return reading.results[0].flaws


@pytest.mark.parametrize(
    ("fields", "flaw"),
    [
        ({"phone": "12"}, Flaw(code="phone_unusable", path="phone", shape="99")),
        (
            {"phone": "020 7946 0958"},
            Flaw(code="phone_needs_region", path="phone", shape="999 9999 9999"),
        ),
        ({"email": "a(at)b"}, Flaw(code="email_unusable", path="email", shape="x(xx)x")),
        (
            {"email": "noreply@shop.de"},
            Flaw(code="email_placeholder", path="email", shape="xxxxxxx@xxxx.xx"),
        ),
        (
            {"twclid": f"1.{NOW - 31 * DAY}.23opevjt88"},
            Flaw(code="click_stale", path="twclid"),
        ),
    ],
)
def test_damaged_identifier_is_recognized_by_its_shape(fields, flaw):
    assert _flaws(**fields) == (flaw,)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"email_sha256": hashlib.sha256(b"").hexdigest()}, "hash_of_nothing"),
        ({"email_sha256": DIGEST.upper()}, "upper_case_hash"),
        (
            {
                "email": "Anna@shop.de",
                "email_sha256": hashlib.sha256(DIGEST.encode()).hexdigest(),
            },
            "double_hash",
        ),
        ({"email": DIGEST.upper()}, "upper_case_hash"),
        (
            {"email_sha256": hashlib.sha256(b"noreply@example.com").hexdigest()},
            "email_placeholder",
        ),
        ({"email_sha256": hashlib.sha256(b"null").hexdigest()}, "email_placeholder"),
        ({"phone_sha256": "ab" * 16}, "not_sha256"),
        ({"ip": "10.0.0.1"}, "ip_private"),
        ({"twclid": None}, "identifier_missing"),
    ],
)
def test_error_in_an_identifier_has_its_code(fields, code):
    assert [flaw.code for flaw in _flaws(**fields)] == [code]


def test_private_ip_address_is_named_and_a_public_one_masked():
    shapes = [_flaws(ip=ip)[0].shape for ip in ("127.0.0.1", "203.0.113.700")]

    assert shapes == ["127.0.0.1", "999.9.999.999"]


def test_correct_identifiers_have_no_errors():
    assert _flaws(email="anna@shop.de", phone="+44 20 7946 0958", ip="192.0.2.1") == ()


def test_click_id_from_yesterday_is_not_too_old():
    assert _flaws(twclid=f"1.{NOW - DAY}.23opevjt88") == ()
