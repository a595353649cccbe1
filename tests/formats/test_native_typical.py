"""The reader of one usual conversion gives the same as the general reader, or declines."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import CLICK, DESTINATIONS, NOW, a_source, read_bytes, sha256
from test_native_any_input import OBJECTS

from twite.consent.verdict import judging
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.errors import MalformedRequest
from twite.formats.native.conversion import ReadContext
from twite.formats.native.read import read_typical

ORDER = {
    "event": "purchase",
    "conversion_id": "order-1001",
    "time": "2026-11-24T10:00:00.000Z",
    "value": "49.90",
    "currency": "EUR",
    "email": "Shopper@Shop.alt",
    "phone": "+442079460958",
    "twclid": CLICK,
    "ip": "203.0.113.7",
    "user_agent": "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36",
    "url": "https://shop.example/thanks?order=1001&utm_source=x",
    "contents": [{"id": "SKU-1", "name": "Mug", "price": "24.95", "quantity": 2, "group": "mugs"}],
}
VALUES = {
    "event": ["purchase", "PURCHASE ", "sign_up", "other", ""],
    "conversion_id": ["order-1", 7, "", " ", "x" * 257, "a@b.alt", "+442079460958", "\u00a0x"],
    "time": [
        "2026-11-24T10:00:00Z", "2026-11-24T10:00:00.123Z", "2026-11-24t10:00:00z",
        "2026-11-24T10:00:00.1Z", "2026-11-24 10:00:59.999Z", "2026-11-24T10:00Z",
        "2026-02-30T10:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T10:00:60Z",
        "2026-11-24T10:60:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59Z", "2026-11-24T10:00:00+01:00",
        "2026-11-24T10:00:00", "\uff12026-11-24T10:00:00Z", "2026-11-29T10:00:00Z",
    ],
    "value": [
        "49.90", "0.00", "00.00", "-1.00", "1", 1, 1.5, 10**20, "1e3", "1e+3", " 1.00", "1,50",
        "x", True, None, {}, [], "123456789012345678.00", "1234567890123456789.00", "1.000",
    ],
    "currency": ["EUR", "eur", "XXX", "", None],
    "email": [
        "a@b.alt", " A@B.ALT", "a@example.com", "noreply@shop.alt", "", "x", "é@b.alt",
        "a@b.alt\u200b", sha256("a"), sha256("a").upper(), "d41d8cd98f00b204e9800998ecf8427e",
    ],
    "email_sha256": [sha256("a"), sha256("a").upper(), sha256(""), sha256(sha256("")), "x", ""],
    "phone": ["+442079460958", "020 7946 0958", "+1", "", sha256("+1"), "+44 20 7946 0958"],
    "phone_sha256": [sha256("a"), sha256(sha256("")), "x"],
    "twclid": [CLICK, f"1.1795599999999.{CLICK}", f"1.1.{CLICK}", "", "a b", f"?twclid={CLICK}"],
    "twpid": ["tw.1764071000000.123456789012345678", "x"],
    "ip": ["203.0.113.7", "10.0.0.1", "::ffff:203.0.113.7", "2001:DB8::1", "x", ""],
    "user_agent": ["Mozilla/5.0", "", "bot@a.alt", " a ", "a\tb", "\u00a3"],
    "url": [
        "https://shop.example/", f"https://shop.example/?twclid={CLICK}&utm_term=a%40b.alt",
        "https://shop.example/a@b.alt", "shop.example", "", "HTTPS://SHOP.example/é?utm_id=é#x",
        "https://shop.example/?utm_source=" + "é" * 1_500,
    ],
    "contents": [
        None, [], [{}], [{"id": "a@b.alt"}], [{"id": 7, "group": "+442079460958"}],
        [{"name": " Mug "}], [{"price": " 9.90"}], [{"price": "x"}], [{"price": {}}],
        [{"quantity": 0}], [{"quantity": 2**31}], [{"quantity": 2}, {"quantity": 3}],
        [{"quantity": 2}, {}], [{}, {"quantity": 2}], [{"type": ""}], [{"type": "x" * 4_097}],
        [{"name": "£\x7f"}],
    ],
    "description": [
        "", " a", "call +442079460958", "a%40b.alt", "£5", "x" * 4_097, "a\nb", "\u0085"
    ],
    "search": ["mug", "a@b.alt", '"', "\\"],
    "consent": [
        None, {}, {"ad_storage": "granted"}, {"ad_storage": "denied"}, {"x": "y"}, {"tcf": "C"},
        {"ad_user_data": "denied"}, {"ad_personalization": "denied"}, {"gdpr": "1"},
        {"region": "DE"}, {"ad_storage": True}, {"ad_storage": "granted", "us_privacy": "1YNN"},
        {"ad_storage": "granted", "vendors": "stored as a hash"},
    ],
    "pixel": ["o8z6j", "p2", "gone", "closed", "other", "", None],
    "emial": ["x"],
}  # fmt: skip
CONVERSIONS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(values) | st.text(max_size=8) for name, values in VALUES.items()
    },
)
ALMOST = st.builds(lambda changed: ORDER | changed, CONVERSIONS | st.builds(
    lambda name, value: {name: value}, st.sampled_from([*VALUES]), st.none() | st.text(max_size=9)
))  # fmt: skip
SOURCES = [
    a_source(),
    a_source(region=None),
    a_source(consent_required=True),
    msgspec.structs.replace(
        a_source(), consent=ConsentPolicy(can_restrict=False, unclear=ConsentAction.HOLD)
    ),
]


def read_in_both_ways(body, source=None):
    source = source or a_source()
    context = ReadContext(
        source=source,
        destinations=DESTINATIONS,
        now=NOW,
        salt=b"salt",
        idempotency_key=None,
        judge=judging(policy=source.consent, now=NOW),
        careful=False,
        lengthy=False,
    )
    try:
        thorough = read_bytes(body, source=source)
    except MalformedRequest:
        thorough = None
    return read_typical(body, context), thorough


def test_usual_conversion_is_read_alone():
    typical, thorough = read_in_both_ways(json.dumps(ORDER).encode())

    assert typical == thorough
    assert typical.results[0].conversion is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"conversion_id": None},
        {"conversion_id": " "},
        {"consent": {"ad_storage": "granted"}},
        {"email": "nobody"},
        {"email": "nobody", "currency": "XXX"},
        {"twclid": None, "url": f"https://shop.example/?twclid={CLICK}"},
        {"contents": [{"name": " Mug "}]},
        {"search": '"'},
        {"search": "x" * 4_097},
    ],
)
def test_unusual_conversion_is_left_to_the_general_reader(changed):
    typical, thorough = read_in_both_ways(json.dumps(ORDER | changed).encode())

    assert (typical, thorough is None) == (None, False)


def test_conversion_that_the_source_must_hold_is_left_to_the_general_reader():
    typical, thorough = read_in_both_ways(json.dumps(ORDER).encode(), SOURCES[2])

    assert typical is None
    assert thorough.results[0].suppressed or thorough.results[0].held


@given(ALMOST | CONVERSIONS | OBJECTS, st.booleans(), st.sampled_from(SOURCES))
def test_any_conversion_is_read_the_same_or_left_to_the_general_reader(value, is_ascii, source):
    body = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")

    typical, thorough = read_in_both_ways(body, source)

    assert typical in (None, thorough)


@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 12))
def test_damaged_body_is_read_the_same_or_left_to_the_general_reader(junk, at, cut):
    whole = json.dumps(ORDER).encode()

    typical, thorough = read_in_both_ways(whole[:at] + junk + whole[at + cut :])

    assert typical in (None, thorough)
