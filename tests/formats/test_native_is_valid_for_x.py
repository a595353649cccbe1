"""Every accepted conversion can be encoded for X and obeys X's rules, as the emulator checks."""

import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from readings import CLICK, NOW, read_bytes, read_one_x

from twite.domain.errors import MalformedRequest
from twite.formats.x_api.read import XReading
from twite.x.encode import batch_body, conversion_body
from twite_emulator.exchange import XRequestReceived
from twite_emulator.judge import Judge
from twite_emulator.switches import Switches

# Cases that X does not document are decided in the strictest way.
STRICT = Switches(
    strict_time=True,
    strict_double=True,
    currency_check="iso",
    hash_case="lower",
    element_rule="each",
    unknown_fields="reject",
    single_event_batch=True,
    rate_limit=10**9,
    log_requests=0,
    log_bodies=0,
)
PATH = "/12/measurement/conversions/o8z6j"
JUDGE = Judge(switches=STRICT, clock=lambda: NOW / 1000, randomness=Random(1))


def problems(bodies):
    """Return X's answers to these conversions, one by one."""
    said = []
    for body in bodies:
        request = XRequestReceived(
            method="POST",
            url=f"https://ads-api.x.com{PATH}",
            path=PATH,
            headers={
                "x-pixel-token": "emulator-pixel-token-o8z6j",
                "content-type": "application/json",
            },
            body=batch_body([body]),
        )
        answer = JUDGE.answer(request).answer
        if answer.status != 200:
            said.append((answer.status, answer.body, body))
    return said


def some(*texts):
    return st.sampled_from(texts) | st.text(max_size=20)


AMOUNTS = st.sampled_from(["0", "20", "49.9", "1e2", "1,5", "-1", "007.5"]) | st.integers(
    -5, 10**19
)
CONTENT = st.fixed_dictionaries(
    {},
    optional={
        "id": some("SKU-1") | st.integers(),
        "name": some("Mug"),
        "price": AMOUNTS | st.decimals(0, 1000, places=3).map(str),
        "quantity": st.integers(-1, 5),
        "group": some("mugs") | st.integers(),
        "type": some("kitchen"),
    },
)
NATIVE = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["purchase", "Purchase ", "sign_up"]),
        "currency": some("EUR", "usd"),
    },
    optional={
        "conversion_id": some("order-1", " ") | st.integers(),
        "time": st.sampled_from(
            ["2026-11-24T10:00:00Z", "2026-11-24T10:00:00.123456+05:30",
             "0001-01-01T00:00:00+01:00",
             "1969-12-31T23:59:59.9Z", "0999-01-01 00:00Z", "2026-11-24"]
        ),
        "value": AMOUNTS | st.decimals(0, 10**6, places=4).map(str),
        "email": some("Shopper@Example.com ", "bob"),
        "email_sha256": some("AB" * 32, "ab"),
        "phone": some("020 7946 0958", "+1 (415) 555-0100"),
        "phone_sha256": some("cd" * 32),
        "twclid": some(CLICK, "", " ", "undefined"),
        "ip": some("203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1", "10.0.0.1"),
        "user_agent": some("Mozilla/5.0", "\x00"),
        "url": some(f"https://shop.example/?twclid={CLICK}", "nonsense"),
        "contents": st.lists(CONTENT, max_size=2),
        "description": some("Mugs", "a\nb"),
        "search": some("mug", " "),
    },
)  # fmt: skip


@given(st.lists(NATIVE, min_size=1, max_size=3))
def test_every_accepted_native_conversion_is_valid_for_x(conversions):
    try:
        reading = read_bytes(json.dumps({"conversions": conversions}).encode())
    except MalformedRequest:
        return

    bodies = [conversion_body(result.conversion) for result in reading.results if result.conversion]

    assert problems(bodies) == []


X_ELEMENT = st.fixed_dictionaries(
    {},
    optional={
        "twclid": some(CLICK, "", " "),
        "hashed_email": some("AB" * 32, "", "abc"),
        "hashed_phone_number": some("cd" * 32, ""),
        "user_agent": some("Mozilla/5.0", " "),
        "ip_address": st.sampled_from(["203.0.113.7", " 2001:db8::1 ", "", " "]),
        "twpid": some("tw.1.2"),
    },
)


@given(
    st.fixed_dictionaries(
        {"identifiers": st.lists(X_ELEMENT, min_size=1, max_size=3)},
        optional={
            "conversion_time": some("2026-11-24T10:00:00Z", "9999-12-31T23:59:59-01:00"),
            "conversion_id": some("order-1", ""),
            "event_id": st.sampled_from(["tw-o8z6j-o8z6k", "o8z6m", "o8z6j"]),
            "value": AMOUNTS,
            "price_currency": some("usd", "EUR"),
            "number_items": st.integers(-1, 3),
            "description": some("", "Mugs"),
            "event_source_url": some("https://shop.example/"),
            "contents": st.lists(st.fixed_dictionaries({}, optional={"content_price": AMOUNTS})),
        },
    )
)
def test_every_accepted_conversion_in_xs_format_is_valid_for_x(fields):
    answer = read_one_x(**fields)

    if isinstance(answer, XReading):
        assert problems([conversion_body(conversion) for conversion in answer.conversions]) == []


def test_check_of_xs_rules_notices_invalid_conversions():
    body = b'{"conversion_time":"2026-11-24","event_id":"o8z6k","identifiers":[{"twclid":"a"}]}'

    assert [status for status, _, _ in problems([body])] == [400]
