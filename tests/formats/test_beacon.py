from contextlib import suppress
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.errors import MalformedRequest
from twite.domain.submission import Ignored
from twite.domain.times import DAY, spelled
from twite.formats.beacon.read import LONGEST_WAIT, read, read_image
from twite.formats.beacon.shape import PixelCall
from twite.formats.page_visit import Click, Visitor
from twite.formats.parsed_request import Native, NativeContent

NOW = 1_795_600_000_000
SENT = 1_700_000_000_000  # a clock that is years behind
ID = "2-3k9x0abcd1efgh2ijkl3mnop4q"
OTHER = "2-9z8y0abcd1efgh2ijkl3mnop4q"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36"
EMAIL = "a" * 64


def seen(**said):
    return Visitor(**({"now": NOW, "ip": "203.0.113.7", "user_agent": AGENT} | said))


def a_beacon_body(*conversions, **said):
    return msgspec.json.encode(
        {
            "v": 1,
            "sent": SENT,
            "conversions": [{"event": "purchase"} | conversion for conversion in conversions],
        }
        | said
    )


def only_conversion(body, **said):
    (conversion,) = read(body, seen(**said)).parsed.conversions
    return conversion


def test_every_field_of_a_conversion_in_a_beacon_is_read():
    body = a_beacon_body(
        {
            "conversion_id": "order-1001",
            "at": SENT - 650,
            "pixel": "loaded",
            "value": "49.90",
            "currency": "EUR",
            "email_sha256": EMAIL,
            "twclid": ID,
            "twpid": "tw.1764071000000.123456789012345678",
            "url": "https://shop.example/thanks",
            "contents": [{"id": "SKU-1", "price": "24.95", "quantity": 2, "colour": "red"}],
            "description": "a mug",
            "search": "mugs",
            "later": {"a": 1},
        },
        consent={"ad_storage": "granted", "gpc": False},
    )

    beacon = read(body, seen())

    assert beacon.pixel_calls == (PixelCall.LOADED,)
    assert beacon.parsed.conversions == (
        Native(
            event="purchase",
            conversion_id="order-1001",
            time=spelled(NOW - 650),
            value=msgspec.Raw(b'"49.90"'),
            currency="EUR",
            email_sha256=EMAIL,
            twclid=ID,
            twpid="tw.1764071000000.123456789012345678",
            ip="203.0.113.7",
            user_agent=AGENT,
            url="https://shop.example/thanks",
            contents=[NativeContent(id="SKU-1", price=msgspec.Raw(b'"24.95"'), quantity=2)],
            description="a mug",
            search="mugs",
            consent={"ad_storage": "granted", "gpc": False},
        ),
    )


@pytest.mark.parametrize(
    ("at", "time"),
    [
        (SENT, NOW),
        (SENT - DAY, NOW - DAY),
        (SENT - LONGEST_WAIT - 1, NOW),
        (SENT + 5_000, NOW),
        (SENT - 0.5, NOW),
        (1e300, NOW),
    ],
)
def test_time_of_a_conversion_is_corrected_by_the_sending_time_of_the_browser(at, time):
    assert only_conversion(a_beacon_body({"at": at})).time in {spelled(time), spelled(time - 1)}


def test_conversion_has_no_time_without_the_sending_time_of_the_browser():
    assert only_conversion(a_beacon_body({"at": 5}, sent=None)).time is None


def test_time_of_a_click_is_corrected_by_the_server_clock():
    beacon = read(a_beacon_body(click={"id": ID, "at": SENT - 9}), seen())

    assert beacon.click == Click(id=ID, at=NOW - 9)


def test_newer_click_of_a_cookie_overrides_an_older_click_of_the_page():
    cookies = {"_twite": f"1.{NOW - 5}.{OTHER}"}

    beacon = read(a_beacon_body({}, click={"id": ID, "at": SENT - 9}), seen(cookies=cookies))

    assert beacon.click == Click(id=OTHER, at=NOW - 5)
    assert beacon.parsed.conversions[0].twclid == f"1.{NOW - 5}.{OTHER}"


def test_cookies_are_identifiers_of_a_conversion_that_has_none():
    cookies = {"twclid": ID, "_twpid": "tw.1.2"}

    conversion = only_conversion(a_beacon_body({}), cookies=cookies)

    assert (conversion.twclid, conversion.twpid) == (ID, "tw.1.2")


def test_identifiers_of_a_conversion_override_the_cookies():
    cookies = {"twclid": ID, "_twpid": "tw.1.2"}

    conversion = only_conversion(
        a_beacon_body({"twclid": OTHER, "twpid": "tw.3.4"}), cookies=cookies
    )

    assert (conversion.twclid, conversion.twpid) == (OTHER, "tw.3.4")


@pytest.mark.parametrize(
    ("own", "around", "consent"),
    [
        ({"ad_storage": "denied"}, {}, {"ad_storage": "denied"}),
        ({"ad_storage": "denied"}, {"ad_storage": "granted"}, {"ad_storage": "denied"}),
        ({"ad_storage": "granted"}, {"ad_storage": "denied"}, {"ad_storage": "denied"}),
        ({"usp": "1YYN"}, {"gpc": False}, {"usp": "1YYN", "gpc": False}),
        ("denied", {"ad_storage": "granted"}, {"ad_storage": "granted", "consent": "unreadable"}),
        (None, {"ad_storage": "granted"}, {"ad_storage": "granted"}),
    ],
)
def test_strictest_consent_signal_of_page_and_conversion_applies(own, around, consent):
    body = a_beacon_body({"consent": own}, {}, consent=around)

    first, second = read(body, seen()).parsed.conversions

    assert (first.consent, second.consent) == (consent, around or None)


def test_consent_signals_in_the_image_url_apply():
    said = {"event": "purchase", "us_privacy": "1YYN", "gdpr_consent": "what"}

    (conversion,) = read_image(list(said.items()), seen(opted_out=True)).parsed.conversions

    assert conversion.consent == {"usp": "1YYN", "tcf": "what", "gpc": "1"}


@pytest.mark.parametrize(
    "words", [("granted", "denied"), ("denied", "granted"), ("", "denied"), ("denied", "")]
)
def test_strictest_of_repeated_signals_in_the_image_url_applies(words):
    said = [("event", "purchase"), ("event", "lead"), *(("ad_storage", word) for word in words)]

    (conversion,) = read_image(said, seen()).parsed.conversions

    assert (conversion.event, conversion.consent) == ("purchase", {"ad_storage": "denied"})


def test_global_privacy_control_header_is_a_consent_signal():
    assert only_conversion(a_beacon_body({}), opted_out=True).consent == {"gpc": True}


def test_events_that_the_script_omitted_are_ignored_with_their_reason():
    body = a_beacon_body(
        ignored=[
            {"name": "purchase", "reason": "bot"},
            {"name": "x" * 80, "reason": "prerender"},
            {"name": "mail me@shop.example\n", "reason": "because"},
            {},
        ]
    )

    assert read(body, seen()).parsed.ignored == (
        Ignored(name="purchase", reason="bot"),
        Ignored(name="x" * 64, reason="prerender"),
        Ignored(name="mail ***", reason="unsaid"),
        Ignored(name="", reason="unsaid"),
    )


@pytest.mark.parametrize(
    ("agent", "robot"),
    [
        ("Mozilla/5.0 (compatible; Examplebot/2.1; +https://bot.example/)", True),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/150.0.0.0 Safari/537.36", True),
        ("facebookexternalhit/1.1", True),
        ("curl/8.5.0", True),
        ("python-requests/2.32", True),
        (AGENT, False),
        ("Mozilla/5.0 (Linux; Android 10; CUBOT X20) Chrome/120 Mobile Safari/537.36", False),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148 Safari/604.1",
            False,
        ),
        ("", False),
    ],
)
def test_conversions_of_robots_are_ignored(agent, robot):
    found = read(a_beacon_body({}, click={"id": ID}), seen(user_agent=agent))

    assert (found.click is None) is robot
    assert found.parsed.ignored == ((Ignored(name="purchase", reason="bot"),) if robot else ())
    assert len(found.parsed.conversions) == (not robot)


@pytest.mark.parametrize(
    ("value", "kept"),
    [("500", True), ("500.01", False), (501, False), (5e2, True), ("much", True), (None, True)],
)
def test_conversion_above_the_value_limit_of_pages_is_ignored(value, kept):
    body = a_beacon_body({"value": value, "currency": "EUR"})

    found = read(body, seen(value_limit=Decimal(500))).parsed

    assert len(found.conversions) == kept
    assert found.ignored == (() if kept else (Ignored(name="purchase", reason="value_limit"),))


def test_value_limit_applies_to_every_spelling_of_an_amount():
    body = rb'{"conversions":[{"event":"purchase","value":" \u0035\u0030\u0031","currency":"EUR"}]}'

    found = read(body, seen(value_limit=Decimal(500))).parsed

    assert found.ignored == (Ignored(name="purchase", reason="value_limit"),)


@pytest.mark.parametrize("pixel_call", [None, "", "sideways", "absent"])
def test_unknown_pixel_call_is_read_as_absent(pixel_call):
    assert read(a_beacon_body({"pixel": pixel_call}), seen()).pixel_calls == (PixelCall.ABSENT,)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"[]", "wrong_shape"),
        (b'{"conversions": {}}', "wrong_shape"),
        (b'{"v": 1, "v": 1}', "duplicate_key"),
        (a_beacon_body(*[{}] * 21), "too_many"),
        (a_beacon_body(ignored=[{}] * 21), "too_many"),
    ],
)
def test_malformed_beacon_is_refused_with_a_message(body, code):
    with pytest.raises(MalformedRequest) as refused:
        read(body, seen())

    assert refused.value.code == code


BADLY_TYPED = [
    ({"event": 5}, {"event": None}, [("event", "must be text or null, not a whole number")]),
    (5, {"event": None}, [("", "must be an object, not a whole number")]),
    (None, {"event": None}, [("", "must be an object, not null")]),
    (
        {"event": "lead", "email": ["a@example.com"], "contents": [{"id": "A", "quantity": "2"}]},
        {"event": "lead", "email": None, "contents": None},
        [
            ("email", "must be text or null, not a list"),
            ("contents[0].quantity", "must be a number or null, not text"),
        ],
    ),
]


@pytest.mark.parametrize(("given", "left", "said"), BADLY_TYPED)
def test_field_of_a_wrong_type_is_named_and_only_its_conversion_rejected(given, left, said):
    good = {"event": "purchase", "conversion_id": "order-1"}
    body = msgspec.json.encode({"v": 1, "conversions": [good, given, good]})

    found = read(body, seen()).parsed

    first, wrong, last = found.conversions
    assert (first.conversion_id, last.conversion_id) == ("order-1", "order-1")
    assert {name: getattr(wrong, name) for name in left} == left
    assert [
        [(fault.path, fault.code, fault.message) for fault in each] for each in found.faults
    ] == [
        [],
        [(path, "wrong_type", message) for path, message in said],
        [],
    ]


def test_position_in_an_error_counts_ignored_conversions():
    body = a_beacon_body({"value": "900", "currency": "EUR"}, {"event": 5}, {})

    beacon = read(body, seen(value_limit=Decimal(500)))

    assert (beacon.places, len(beacon.parsed.conversions)) == ((1, 2), 2)


AROUND = [
    ({"sent": "now"}, {}),
    ({"click": [ID]}, {}),
    ({"click": {"id": 5}}, {}),
    ({"ignored": [5, {"name": "purchase", "reason": "bot"}]}, {}),
    ({"ignored": "bot"}, {}),
    ({"v": "2"}, {}),
    ({"consent": {"tcf": {"a": 1}, "ad_storage": "granted"}},
     {"tcf": "unreadable", "ad_storage": "granted"}),
    ({"consent": ["granted"]}, {"consent": "unreadable"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "consent"), AROUND)
def test_wrong_types_outside_the_conversions_reject_none(said, consent):
    beacon = read(a_beacon_body({"conversion_id": "order-1"}, **said), seen())

    (conversion,) = beacon.parsed.conversions
    assert (conversion.conversion_id, beacon.consent, beacon.click) == ("order-1", consent, None)


def test_beacon_can_be_empty():
    beacon = read(b"{}", seen())

    assert (beacon.parsed.conversions, beacon.parsed.ignored, beacon.click) == ((), (), None)


def test_image_request_takes_its_click_id_from_the_page_url():
    said = {"event": "purchase", "value": "1", "currency": "EUR"}

    beacon = read_image(list(said.items()), seen(referer=f"https://shop.example/?twclid={ID}"))

    (conversion,) = beacon.parsed.conversions
    assert (conversion.event, bytes(conversion.value), conversion.time) == (
        "purchase",
        b'"1"',
        None,
    )
    assert conversion.twclid == f"1.{NOW}.{ID}"
    assert beacon.click == Click(id=ID, at=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FIELDS = st.sampled_from(
    ["event", "conversion_id", "at", "pixel", "value", "email", "twclid", "url", "contents"]
)


@given(
    body=st.binary()
    | JSON.map(msgspec.json.encode)
    | st.fixed_dictionaries(
        {"sent": JSON, "conversions": st.lists(st.dictionaries(FIELDS, JSON)), "click": JSON}
    ).map(msgspec.json.encode)
)
def test_any_beacon_body_is_read_or_refused(body):
    with suppress(MalformedRequest):
        beacon = read(body, seen(value_limit=Decimal(1)))

        assert len(beacon.pixel_calls) == len(beacon.parsed.conversions)


@given(query=st.dictionaries(FIELDS | st.text(), st.text()), referer=st.text())
def test_any_image_request_is_read(query, referer):
    beacon = read_image(list(query.items()), seen(referer=referer))

    assert len(beacon.parsed.conversions) == 1
