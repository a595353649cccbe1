import hashlib
import json

import pytest
from readings import CLICK, FULL, NOW, a_source, codes, read, read_bytes, refusal, sha256

from twite.domain.conversion import Content, Conversion, Identifiers
from twite.domain.fault import Fault


def test_documented_example_becomes_one_canonical_conversion():
    reading = read_bytes(json.dumps(FULL).encode())

    assert reading.results[0].faults == ()
    assert reading.results[0].conversion == Conversion(
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1001",
        time=1_795_514_400_000,
        identifiers=Identifiers(
            click_id=CLICK,
            email=sha256("shopper@example.com"),
            phone=sha256("+442079460958"),
            ip="203.0.113.7",
            user_agent="Mozilla/5.0",
        ),
        value="49.90",
        currency="EUR",
        quantity=2,
        description="Two mugs",
        search="mug",
        url="https://shop.example/thanks",
        contents=(
            Content(
                id="SKU-1", name="Mug", price="24.95", quantity=2, group="mugs", type="kitchen"
            ),
        ),
    )


def test_stored_body_has_hashes_instead_of_personal_data():
    reading = read_bytes(json.dumps(FULL).encode())

    expected = FULL | {
        "email_sha256": sha256("shopper@example.com"),
        "phone_sha256": sha256("+442079460958"),
        "url": "https://shop.example/thanks",
    }
    del expected["email"], expected["phone"]
    assert json.loads(reading.body) == expected


def test_stored_body_is_read_as_the_same_conversion():
    reading = read_bytes(json.dumps(FULL).encode())

    assert read_bytes(reading.body).results[0].conversion == reading.results[0].conversion


def test_conversion_needs_only_an_event_and_one_identifier():
    result = read(conversion_id=..., twclid=..., email="a@example.com")

    assert result.conversion.time == NOW
    assert len(result.conversion.conversion_id) == 26
    assert result.conversion.identifiers == Identifiers(email=sha256("a@example.com"))


def test_batch_has_one_result_for_each_conversion_in_order():
    body = {"conversions": [FULL | {"conversion_id": f"o{n}"} for n in range(3)]}

    reading = read_bytes(json.dumps(body).encode())

    assert [result.index for result in reading.results] == [0, 1, 2]
    assert [result.conversion.conversion_id for result in reading.results] == ["o0", "o1", "o2"]
    assert len(json.loads(reading.body)["conversions"]) == 3


def test_invalid_conversion_in_a_batch_is_rejected_alone():
    body = {"conversions": [FULL, {"event": "purchase"}, FULL | {"conversion_id": "o"}]}

    results = read_bytes(json.dumps(body).encode()).results

    assert [result.conversion is None for result in results] == [False, True, False]
    assert codes(results[1]) == [("", "identifier_missing")]


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b'{"conversions":[]}', "empty", "conversions"),
        (b'{"conversions":{}}', "wrong_shape", "conversions"),
        (b'{"conversions":null}', "wrong_shape", "conversions"),
        (b'{"conversions":[{}],"event":"purchase"}', "unknown_field", "event"),
        (b'{"event":"purchase","conversions":[]}', "unknown_field", "event"),
        (b'{"conversions":[{}],"conversions":[{}]}', "duplicate_key", "conversions"),
        (b"[]", "wrong_shape", ""),
        (b'[{"event":"purchase"}]', "wrong_shape", ""),
    ],
)  # fmt: skip
def test_body_without_conversions_is_refused(body, code, path):
    assert refusal(body)[:2] == (code, path)


def test_batch_is_limited_to_1000_conversions():
    conversion = b'{"event":"purchase","twclid":"a","conversion_id":"c"}'

    taken = read_bytes(b'{"conversions":[' + b",".join([conversion] * 1_000) + b"]}")

    assert len(taken.results) == 1_000
    assert refusal(b'{"conversions":[' + b",".join([conversion] * 1_001) + b"]}") == (
        "too_many",
        "conversions",
        "1001 conversions in one request; at most 1000",
    )


def test_conversion_with_a_field_named_conversions_is_not_a_batch():
    result = read(description='"conversions"', consent={"conversions": "granted"})

    assert result.conversion.description == '"conversions"'


@pytest.mark.parametrize("name", ["purchase", "Purchase", " PURCHASE "])
def test_event_name_can_be_written_in_any_case(name):
    assert read(event=name).conversion.event == "o8z6k"


def test_unknown_event_suggests_the_nearest_name_and_lists_all():
    assert read(event="purchsae").faults == (
        Fault(
            path="event",
            code="event_unknown",
            message='no such event for this pixel; did you mean "purchase"? '
            "(known: purchase, sign_up)",
        ),
    )


@pytest.mark.parametrize("event", [None, ""])
def test_conversion_without_an_event_is_refused(event):
    assert codes(read(event=event)) == [("event", "event_missing")]


@pytest.mark.parametrize("pixel", ["", "nope", "closed", "gone", "O8Z6J"])
def test_pixel_that_the_source_may_not_use_is_unknown(pixel):
    result = read(pixel=pixel)

    assert codes(result) == [("pixel", "pixel_unknown")]
    assert result.pixel == ""


def test_conversion_can_name_another_pixel_of_the_source():
    assert read(pixel="p2").conversion.pixel == "p2"


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"email": "not an email"}, ("email", "email_unusable")),
        ({"email": ""}, ("email", "email_unusable")),
        ({"phone": "n/a"}, ("phone", "phone_unusable")),
        ({"ip": "10.0.0.1"}, ("ip", "ip_private")),
        ({"ip": "localhost"}, ("ip", "ip_unusable")),
        ({"user_agent": "a\r\nb"}, ("user_agent", "user_agent_unusable")),
        ({"twclid": "undefined", "email_sha256": "a" * 64}, ("twclid", "twclid_unusable")),
        ({"twclid": "x" * 4_096, "email_sha256": "a" * 64}, ("twclid", "twclid_unusable")),
    ],
)
def test_unusable_identifier_is_omitted_with_a_warning(fields, left_out):
    result = read(**fields)

    assert result.conversion is not None
    assert codes(result) == [left_out]


def test_national_phone_number_needs_the_region_of_the_source():
    result = read(a_source(region=None), phone="020 7946 0958")

    assert codes(result) == [("phone", "phone_needs_region")]
    assert read(phone="020 7946 0958").conversion.identifiers.phone == sha256("+442079460958")


@pytest.mark.parametrize("field", ["email_sha256", "phone_sha256"])
@pytest.mark.parametrize(
    ("digest", "code"),
    [
        ("a" * 63, "not_sha256"),
        ("a" * 65, "not_sha256"),
        ("a" * 32, "not_sha256"),
        ("a" * 40, "not_sha256"),
        ("g" * 64, "not_sha256"),
        ("", "not_sha256"),
        ("bob@example.com", "not_sha256"),
        (hashlib.sha256(b"").hexdigest(), "hash_of_nothing"),
    ],
)
def test_malformed_hash_rejects_the_conversion(field, digest, code):
    assert codes(read(**{field: digest})) == [(field, code)]


@pytest.mark.parametrize("field", ["email_sha256", "phone_sha256"])
def test_uppercase_hash_is_lowered_and_not_hashed_again(field):
    identifiers = read(**{field: f" {'AB' * 32} "}).conversion.identifiers

    assert (identifiers.email or identifiers.phone) == "ab" * 32


def test_hash_overrides_the_plain_text_of_an_identifier():
    result = read(email="a@example.com", email_sha256="b" * 64)

    assert result.conversion.identifiers.email == "b" * 64


def test_click_id_is_read_from_the_page_url():
    result = read(twclid=..., url=f"https://shop.example/?twclid={CLICK}&x=1")

    assert result.conversion.identifiers.click_id == CLICK
    assert result.conversion.url == "https://shop.example/"
    assert result.native.twclid == CLICK


@pytest.mark.parametrize(
    ("fields", "enough"),
    [
        ({}, False),
        ({"ip": "203.0.113.7"}, False),
        ({"user_agent": "Mozilla/5.0"}, False),
        ({"ip": "203.0.113.7", "user_agent": "Mozilla/5.0"}, True),
        ({"ip": "10.0.0.1", "user_agent": "Mozilla/5.0"}, False),
        ({"email": "x"}, False),
        ({"twclid": ""}, False),
    ],
)
def test_conversion_without_an_identifier_that_x_accepts_is_rejected(fields, enough):
    result = read(**({"twclid": ...} | fields))

    assert (result.conversion is not None) is enough
    assert (("", "identifier_missing") in codes(result)) is not enough
