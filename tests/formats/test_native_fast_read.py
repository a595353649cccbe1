"""The one-pass reader gives the same bytes as the general reader, or declines."""

import json
from contextlib import contextmanager
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import CLICK, DESTINATIONS, FULL, NOW, a_source, read_bytes, sha256
from test_native_any_input import OBJECTS

from twite.consent.verdict import judging
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.errors import MalformedRequest
from twite.domain.fault import fault
from twite.formats.native import fast_read
from twite.formats.native import read as native
from twite.formats.native.conversion import ReadContext
from twite.formats.native.fast_read import read_fast
from twite.formats.native.values import MAX_TEXT
from twite.formats.parsed_request import Native

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
USUAL = {
    "all fields": FULL | {"email": "Shopper@Shop.alt"},
    "an order": ORDER,
    "ids as numbers": ORDER | {"conversion_id": 1001, "contents": [{"id": 7, "group": 8}]},
    "amounts as numbers": ORDER | {"value": 49.9, "contents": [{"price": 24.95}]},
    "digests": {
        name: value for name, value in ORDER.items() if name not in {"email", "phone"}
    } | {"email_sha256": sha256("a@b.alt"), "phone_sha256": sha256("+442079460958")},
    "a placeholder email": ORDER | {"email": "nobody@example.com"},
    "a digest of a digest": {
        name: value for name, value in ORDER.items() if name != "email"
    } | {"email_sha256": sha256(sha256(""))},
    "the click in the page's URL": {
        name: value for name, value in ORDER.items() if name != "twclid"
    } | {"url": f"https://shop.example/?twclid={CLICK}"},
    "a local time": ORDER | {"time": "2026-11-24T11:00:00+01:00"},
    "no time": {name: value for name, value in ORDER.items() if name != "time"},
    "texts": ORDER | {"description": "Zwei Tassen für Grüße", "search": "blaue Tasse"},
    "consent": ORDER | {"consent": {"ad_storage": "granted", "ad_user_data": "granted"}},
    "other letters": ORDER | {"event": " Purchase ", "conversion_id": " order 7 "},
    "another pixel": ORDER | {"pixel": "p2"},
    "no amount": {
        name: value for name, value in ORDER.items() if name not in {"value", "currency"}
    },
    "an empty basket": ORDER | {"contents": []},
    "a single item": ORDER | {"contents": [{"quantity": 1}]},
    "the longest texts": ORDER | {
        "url": "https://shop.example/".ljust(MAX_TEXT, "x"),
        "search": "x" * MAX_TEXT,
        "contents": [{"name": "x" * MAX_TEXT}],
    },
    "a browser id": ORDER | {"twpid": "tw.1764071000000.123456789012345678"},
}  # fmt: skip


@contextmanager
def recorded():
    """Yield a list to which the one-pass reader appends each result (None if it declined)."""
    results = []

    def noted(*args):
        results.append(read_fast(*args))
        return results[-1]

    with patch.object(native, "read_fast", noted):
        yield results


def read_both(body, **context):
    """Return the results with and without the one-pass reader, and the result of that reader."""
    with recorded() as results:
        read = read_or_refusal(body, **context)
    with patch.object(native, "read_fast", lambda *_: None):
        thorough = read_or_refusal(body, **context)
    return read, thorough, results


def a_context(source=None, now=NOW, **more):
    source = source or a_source()
    return ReadContext(
        source=source,
        destinations=DESTINATIONS,
        now=now,
        salt=b"salt",
        idempotency_key=None,
        consent=judging(policy=source.consent, now=now),
        careful=False,
        lengthy=False,
        **more,
    )


def read_or_refusal(body, **context):
    try:
        return read_bytes(body, **context)
    except MalformedRequest as wrong:
        return wrong.code, wrong.path, wrong.message


@pytest.mark.parametrize("is_ascii", [True, False])
@pytest.mark.parametrize("conversion", USUAL.values(), ids=USUAL)
def test_typical_conversion_is_read_in_one_pass(conversion, is_ascii):
    single = json.dumps(conversion, ensure_ascii=is_ascii).encode()
    batch = b'{"conversions":[%b,%b]}' % (single, single)

    for body, many in ((single, 1), (batch, 2), (single.replace(b"/", b"\\/"), 1)):
        fast, thorough, results = read_both(body)
        assert fast == thorough
        assert len(results) == many
        assert None not in results
        assert all(result.conversion for result in fast.results)


@pytest.mark.parametrize(
    "twice",
    [
        b'"event":"purchase","event":"purchase"',
        b'"email":"a@b.alt","email":"c@d.alt"',
        b'"contents":[{"id":"1","id":"2"}]',
        b'"event":"sign_up","url":"https://shop.example/?twclid=abc","url":"https://a.example/"',
        b'"search":"a","search":"b","url":"https://shop.example/?twclid=abc"',
        b'"conversion_id":"7","search":null',
    ],
)
def test_conversion_with_a_repeated_key_is_read_by_the_general_reader(twice):
    body = b'{"conversion_id":"1","event":"purchase","email_sha256":"%b",%b}' % (
        sha256("a").encode(), twice,
    )  # fmt: skip
    alone = b'{"conversion_id":"1","event":"purchase","email_sha256":"%b"}' % sha256("a").encode()

    fast, thorough, _ = read_both(b'{"conversions":[%b,%b]}' % (body, alone))
    assert fast == thorough
    assert [result.is_faulty for result in fast.results] == [True, False]


def test_conversion_with_known_errors_is_read_by_the_general_reader():
    given = msgspec.json.decode(json.dumps(ORDER), type=Native)

    assert read_fast(given, 0, a_context()) is not None
    assert read_fast(given, 0, a_context(faults=(fault("search", "wrong_type"),))) is None


def test_each_conversion_of_a_request_has_its_own_reader():
    body = json.dumps({"conversions": [ORDER, ORDER | {"email": "nobody"}, ORDER]}).encode()

    fast, thorough, results = read_both(body)

    assert fast == thorough
    assert [result is None for result in results] == [False, True, False]


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


@given(
    st.lists(ALMOST | CONVERSIONS | OBJECTS, min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(SOURCES),
    st.none() | st.just("key"),
)
def test_any_conversion_is_read_the_same_by_both_readers(conversions, is_ascii, source, key):
    body = json.dumps({"conversions": conversions}, ensure_ascii=is_ascii).encode(
        "utf-8", "surrogatepass"
    )

    fast, thorough, _ = read_both(body, source=source, idempotency_key=key)

    assert fast == thorough


@pytest.mark.parametrize("name", VALUES)
def test_any_value_of_a_field_is_read_the_same_by_both_readers(name):
    for value in VALUES[name]:
        for source in SOURCES:
            for base in (ORDER, {"event": "purchase", "conversion_id": "1", "twclid": CLICK}):
                body = json.dumps(base | {name: value}).encode()
                fast, thorough, _ = read_both(body, source=source, now=NOW)
                assert fast == thorough


@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 12))
def test_damaged_body_is_read_the_same_by_both_readers(junk, at, cut):
    whole = json.dumps(ORDER).encode()
    body = whole[:at] + junk + whole[at + cut :]

    fast, thorough, _ = read_both(body)

    assert fast == thorough


def test_duplicate_key_is_refused_by_the_one_pass_reader():
    whole = json.dumps(ORDER).encode()
    body = whole[:-1] + b',"email":"b@c.alt"}'

    fast, thorough, results = read_both(body)

    assert fast == thorough
    assert fast.results[0].is_faulty or None in results


REMEMBERED = "twite.formats.native.fast_read._lines"


@pytest.mark.parametrize(("length", "remembered"), [(512, 1), (513, 0)])
def test_only_short_contents_are_cached(length, remembered):
    with patch.dict(REMEMBERED, clear=True) as lines:
        read_bytes(json.dumps(ORDER | {"contents": [{"name": "x" * length}]}).encode())

        assert len(lines) == remembered


def test_number_of_cached_contents_is_limited():
    counts = []
    with patch.dict(REMEMBERED, clear=True) as lines, patch.object(fast_read, "_MOST_LINES", 3):
        for number in range(9):
            read_bytes(json.dumps(ORDER | {"contents": [{"id": number}]}).encode())
            counts.append(len(lines))

    assert counts == [1, 2, 3] * 3
