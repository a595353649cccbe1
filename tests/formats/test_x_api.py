import hashlib
import json

import pytest
from readings import CLICK, read_one_x, read_x, x_conversion

from twite.domain.conversion import Content, Conversion, Identifiers
from twite.domain.outcome import XComplaint
from twite.formats.x_api.read import XApiRefusal, XReading
from twite.x.encode import conversion_body

EMAIL, PHONE = "e" * 64, "f" * 64
NO_IDENTIFIER = XComplaint(
    code="INVALID_PARAMETER", message="At least one user identifier must be provided"
)


def invalid_value(message, parameter=""):
    return XComplaint(code="INVALID_PARAMETER", message=message, parameter=parameter)


def errors_of(**fields):
    answer = read_one_x(**fields)
    return answer.complaints if isinstance(answer, XApiRefusal) else ()


def accepted(**fields):
    answer = read_one_x(**fields)
    assert isinstance(answer, XReading)
    return answer.conversions[0]


def test_example_of_x_becomes_one_canonical_conversion():
    answer = read_one_x(
        conversion_time="2022-02-18T01:14:00.603Z",
        event_id="tw-o8z6j-o8z6k",
        identifiers=[
            {"twclid": CLICK},
            {"hashed_email": EMAIL.upper()},
            {"hashed_phone_number": PHONE},
            {"ip_address": " 203.0.113.7", "user_agent": "Mozilla/5.0 ", "twpid": "tw.1.2"},
        ],
        value=20,
        price_currency="usd",
        number_items=2,
        description="Mugs",
        search_string="mug",
        event_source_url="https://shop.example/?twclid=a",
        contents=[
            {
                "content_id": 1,
                "content_group_id": 123,
                "content_name": "Mug",
                "content_price": 100.99,
                "content_type": "Pets",
                "num_items": 1,
            }
        ],
        restricted_data_use="off",
        custom_data={"contents": {}},
    )

    assert answer.conversions == (
        Conversion(
            pixel="o8z6j",
            event="o8z6k",
            conversion_id="order-1",
            time=1_645_146_840_603,
            identifiers=Identifiers(
                click_id=CLICK,
                email=EMAIL,
                phone=PHONE,
                ip="203.0.113.7",
                user_agent="Mozilla/5.0",
                browser_id="tw.1.2",
            ),
            value="20.00",
            currency="USD",
            quantity=2,
            description="Mugs",
            search="mug",
            url="https://shop.example/",
            contents=(
                Content(id="1", name="Mug", price="100.99", quantity=1, group="123", type="Pets"),
            ),
            restricted_data_use="off",
        ),
    )


def test_stored_body_is_the_received_body_with_a_scrubbed_url():
    body = {"conversions": [x_conversion(event_source_url="https://shop.example/?secret=1")]}

    kept = json.loads(read_x(body).body)

    body["conversions"][0]["event_source_url"] = "https://shop.example/"
    assert kept == body


def test_email_in_an_unexpected_field_is_neither_sent_nor_stored():
    body = {
        "conversions": [
            x_conversion(
                description="for bob@example.com",
                search_string="bob@example.com",
                contents=[{"content_name": "gift for bob@example.com"}],
            )
        ]
    }

    answer = read_x(body)

    assert (answer.conversions[0].description, answer.conversions[0].search) == ("for ***", "***")
    assert answer.conversions[0].contents == (Content(name="gift for ***"),)
    assert b"bob" not in answer.body


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        (
            {"event_id": "o8z6j"},
            400,
            [invalid_value("event_id (o8z6j) is not a single event tag (SET)", "event_id")],
        ),
        ({"identifiers": [{"twclid": ""}]}, 400, [NO_IDENTIFIER]),
        (
            {"identifiers": [{"hashed_email": "abc"}]},
            400,
            [invalid_value("hashed_email (abc) is not a valid SHA-256 hash", "hashed_email")],
        ),
        (
            {"conversion_time": "2022-06-16T01:14:00.603"},
            400,
            [
                invalid_value(
                    "Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, "
                    'got "2022-06-16T01:14:00.603" for conversion_time',
                    "conversion_time",
                )
            ],
        ),
        (
            {"event_id": "A B"},
            404,
            [
                XComplaint(
                    code="NOT_FOUND",
                    message="event_id (A B) does not belong to provided account",
                    parameter="event_id",
                ),
                invalid_value("event_id (A B) is not a single event tag (SET)", "event_id"),
            ],
        ),
        ({"event_id": ...}, 400, [invalid_value("Event ID was not found", "event_id")]),
    ],
)
def test_errors_have_the_form_that_x_documents(fields, status, said):
    assert read_one_x(**fields) == XApiRefusal(status=status, complaints=tuple(said))


def test_batch_is_limited_to_500_conversions_like_at_x():
    assert len(read_x({"conversions": [x_conversion()] * 500}).conversions) == 500
    assert read_x({"conversions": [x_conversion()] * 501}) == XApiRefusal(
        status=400, complaints=(invalid_value("Conversion count limit is 500"),)
    )


def test_one_invalid_conversion_refuses_the_batch_and_every_error_is_listed():
    bad = x_conversion(identifiers=[{"hashed_email": "abc"}], value="x", event_id="o8z6j")

    answer = read_x({"conversions": [x_conversion(), bad, x_conversion(value="y")]})

    assert answer == XApiRefusal(
        status=400,
        complaints=(
            invalid_value("event_id (o8z6j) is not a single event tag (SET)", "event_id"),
            invalid_value("hashed_email (abc) is not a valid SHA-256 hash", "hashed_email"),
            invalid_value('Expected Double, got "x" for value', "value"),
            invalid_value('Expected Double, got "y" for value', "value"),
        ),
    )


def test_one_not_found_error_makes_the_response_404():
    answer = read_x(
        {"conversions": [x_conversion(value="x"), x_conversion(event_id="tw-p2-o8z6k")]}
    )

    assert answer.status == 404


@pytest.mark.parametrize("event_id", ["o8z6k", "tw-o8z6j-o8z6k"])
def test_both_forms_of_an_event_id_are_read_as_the_short_one(event_id):
    assert accepted(event_id=event_id).event == "o8z6k"


@pytest.mark.parametrize(
    "event_id",
    ["tw-p2-o8z6k", "tw-o8z6j-", "tw--o8z6k", "O8Z6K", "o8z6k ", "é", "x" * 33, "a\x00b"],
)
def test_unknown_event_id_is_not_found(event_id):
    assert [complaint.code for complaint in errors_of(event_id=event_id)] == [
        "NOT_FOUND",
        "INVALID_PARAMETER",
    ]


def test_gtm_event_name_replaces_an_event_id():
    assert accepted(event_id=..., event_name="gtm_purchase").event == "gtm_purchase"
    assert accepted(event_id="", event_name="gtm_purchase").event == "gtm_purchase"


@pytest.mark.parametrize("name", ["", "purchase", "gtm_", "gtm_a b", "gtm_" + "x" * 121])
def test_event_name_without_a_mapping_does_not_replace_an_event_id(name):
    assert errors_of(event_id=..., event_name=name) == (
        invalid_value("Event ID was not found", "event_id"),
    )


@pytest.mark.parametrize("stamp", [1_645_146_840_603, "1645146840603"])
def test_timestamp_in_milliseconds_replaces_the_time(stamp):
    assert accepted(conversion_time=..., conversion_timestamp=stamp).time == 1_645_146_840_603


def test_conversion_time_overrides_the_timestamp():
    assert accepted(conversion_timestamp=1).time == 1_795_514_400_000


@pytest.mark.parametrize(
    "stamp", [-1, 10**18, 2**64, "", "soon", "1e12", "-1", "\u0661", "253402300800000", "9" * 400]
)
def test_invalid_timestamp_is_refused(stamp):
    said = errors_of(conversion_time=..., conversion_timestamp=stamp)

    assert [warning.parameter for warning in said] == ["conversion_timestamp"]


def test_conversion_without_a_time_is_refused():
    assert [complaint.parameter for complaint in errors_of(conversion_time=...)] == [
        "conversion_time"
    ]


def test_latest_possible_time_is_accepted_and_encoded():
    conversion = accepted(conversion_time="9999-12-31T23:59:59.999Z")

    assert b'"9999-12-31T23:59:59.999Z"' in conversion_body(conversion)
    assert errors_of(conversion_time="9999-12-31T23:59:59-01:00")


@pytest.mark.parametrize(
    "identifiers",
    [
        None,
        [],
        [{}],
        [{"twclid": " "}],
        [{"hashed_email": ""}],
        [{"ip_address": "203.0.113.7"}],
        [{"user_agent": "Mozilla/5.0"}],
        [{"twpid": "tw.1.2"}],
        [{"ip_address": " ", "user_agent": "Mozilla/5.0"}],
        [{"twclid": "a"}, {}],
        [{"twclid": "a"}, {"ip_address": "203.0.113.7"}],
        [{"ip_address": "203.0.113.7"}, {"user_agent": "Mozilla/5.0"}],
    ],
)
def test_every_identifier_object_must_be_sufficient(identifiers):
    assert errors_of(identifiers=identifiers) == (NO_IDENTIFIER,)


@pytest.mark.parametrize("text", ["bob@example.com", "+442079460958", "442079460958", "b ob"])
def test_plain_text_in_place_of_a_hash_is_not_in_the_error(text):
    said = errors_of(identifiers=[{"hashed_phone_number": text}])

    assert said == (
        invalid_value(
            "hashed_phone_number (***) is not a valid SHA-256 hash", "hashed_phone_number"
        ),
    )


def test_hash_of_the_empty_text_is_accepted_like_at_x():
    digest = hashlib.sha256(b"").hexdigest()

    assert accepted(identifiers=[{"hashed_email": digest.upper()}]).identifiers.email == digest


@pytest.mark.parametrize(
    ("value", "spelled"), [(20, "20.00"), ("20.00", "20.00"), (20.5, "20.50"), (None, None)]
)
def test_amount_becomes_a_decimal_text(value, spelled):
    assert accepted(value=value).value == spelled


def test_default_currency_is_usd_like_at_x():
    assert accepted(value=1).currency == "USD"
    assert accepted().currency is None


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"value": "1,234.50"}, "value"),
        ({"value": True}, "value"),
        ({"value": {}}, "value"),
        ({"price_currency": "XXX1"}, "price_currency"),
        ({"number_items": 0}, "number_items"),
        ({"number_items": 2**64}, "number_items"),
        ({"contents": [{"num_items": -1}]}, "num_items"),
        ({"contents": [{"content_price": "x"}]}, "content_price"),
        ({"conversion_id": "x" * 257}, "conversion_id"),
        ({"conversion_id": "a\x00b"}, "conversion_id"),
        ({"description": "a\x00b"}, "description"),
        ({"search_string": "a\nb"}, "search_string"),
        ({"restricted_data_use": "maybe"}, "restricted_data_use"),
    ],
)
def test_error_names_its_parameter(fields, parameter):
    assert [complaint.parameter for complaint in errors_of(**fields)] == [parameter]


def test_retry_without_a_conversion_id_derives_the_same_id():
    body = {"conversions": [x_conversion(conversion_id=...)] * 2}

    first, retry = read_x(body).conversions, read_x(body).conversions

    assert [conversion.conversion_id for conversion in first] == [
        conversion.conversion_id for conversion in retry
    ]
    assert len({conversion.conversion_id for conversion in first}) == 2
    assert all(len(conversion.conversion_id) == 26 for conversion in first)


def test_repr_hides_personal_data_in_xs_format():
    answer = read_one_x(
        description="canary",
        event_source_url="https://shop.example/canary",
        identifiers=[{"twclid": "canary", "ip_address": "canary", "user_agent": "canary"}],
    )

    assert "canary" not in f"{answer!r}"
