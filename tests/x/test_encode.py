import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.conversion import Content, Conversion, Identifiers
from twite.x.encode import batch_body, conversion_body, conversions_url

CLICK, EMAIL, PHONE = "23opevjt88psuo13lu8d020qkn", "e" * 64, "f" * 64
IP, AGENT, BROWSER = "203.0.113.7", "Mozilla/5.0", "tw.1795600000000.123456789012345678"


def rendered(**parts):
    return json.loads(conversion_body(conversion(**parts)))


def conversion(**parts):
    fixed = {
        "pixel": "o8z6j",
        "event": "o8z6k",
        "conversion_id": "order-1",
        "time": 1_795_600_000_123,
        "identifiers": Identifiers(click_id=CLICK),
    }
    return Conversion(**(fixed | parts))


def elements(**given):
    return rendered(identifiers=Identifiers(**given))["identifiers"]


def test_every_field_is_encoded_with_xs_name():
    body = conversion_body(
        conversion(
            identifiers=Identifiers(
                click_id=CLICK,
                email=EMAIL,
                phone=PHONE,
                ip=IP,
                user_agent=AGENT,
                browser_id=BROWSER,
            ),
            value="20.00",
            currency="EUR",
            quantity=3,
            description="Mugs",
            search="mug",
            url="https://shop.example/thanks",
            contents=(
                Content(id="SKU-1", name="Mug", price="9.99", quantity=2, group="123", type="Pets"),
                Content(id="SKU-2"),
            ),
            restricted_data_use="restrict_optimization",
        )
    )

    assert json.loads(body) == {
        "conversion_time": "2026-11-25T09:46:40.123Z",
        "event_id": "o8z6k",
        "identifiers": [
            {"twclid": CLICK, "twpid": BROWSER},
            {"hashed_email": EMAIL},
            {"hashed_phone_number": PHONE},
            {"ip_address": IP, "user_agent": AGENT},
        ],
        "conversion_id": "order-1",
        "value": "20.00",
        "price_currency": "EUR",
        "number_items": 3,
        "description": "Mugs",
        "search_string": "mug",
        "event_source_url": "https://shop.example/thanks",
        "contents": [
            {
                "content_id": "SKU-1",
                "content_group_id": "123",
                "content_name": "Mug",
                "content_price": "9.99",
                "content_type": "Pets",
                "num_items": 2,
            },
            {"content_id": "SKU-2"},
        ],
        "restricted_data_use": "restrict_optimization",
    }


def test_missing_fields_are_omitted_from_the_body():
    assert conversion_body(conversion()) == (
        b'{"conversion_time":"2026-11-25T09:46:40.123Z","event_id":"o8z6k",'
        b'"identifiers":[{"twclid":"23opevjt88psuo13lu8d020qkn"}],"conversion_id":"order-1"}'
    )


def test_event_name_replaces_the_event_id():
    body = rendered(event="gtm_purchase")

    assert body["event_name"] == "gtm_purchase"
    assert "event_id" not in body


@pytest.mark.parametrize(
    ("given", "layout"),
    [
        ({"click_id": CLICK}, [{"twclid": CLICK}]),
        ({"ip": IP, "user_agent": AGENT}, [{"ip_address": IP, "user_agent": AGENT}]),
        ({"click_id": CLICK, "ip": IP}, [{"twclid": CLICK, "ip_address": IP}]),
        ({"email": EMAIL, "user_agent": AGENT}, [{"hashed_email": EMAIL, "user_agent": AGENT}]),
        ({"phone": PHONE, "ip": IP}, [{"hashed_phone_number": PHONE, "ip_address": IP}]),
        (
            {"email": EMAIL, "phone": PHONE, "ip": IP},
            [{"hashed_email": EMAIL, "ip_address": IP}, {"hashed_phone_number": PHONE}],
        ),
        (
            {"phone": PHONE, "browser_id": BROWSER},
            [{"hashed_phone_number": PHONE, "twpid": BROWSER}],
        ),
        (
            {"ip": IP, "user_agent": AGENT, "browser_id": BROWSER},
            [{"ip_address": IP, "user_agent": AGENT, "twpid": BROWSER}],
        ),
        ({"ip": IP}, []),
        ({"browser_id": BROWSER}, []),
    ],
)
def test_identifiers_are_grouped_like_in_xs_example(given, layout):
    assert elements(**given) == layout


MAYBE = st.none() | st.text(min_size=1, max_size=4)


@given(st.fixed_dictionaries(dict.fromkeys(Identifiers.__struct_fields__, MAYBE)))
def test_every_identifier_object_is_sufficient_and_none_is_lost(given):
    identifiers = Identifiers(**given)
    layout = elements(**given)

    for element in layout:
        strong = {"twclid", "hashed_email", "hashed_phone_number"} & element.keys()
        assert strong or {"ip_address", "user_agent"} <= element.keys()
        assert all(element.values())
    reported = sorted(text for element in layout for text in element.values())
    known = sorted(text for text in given.values() if text is not None)
    assert reported == (known if identifiers.suffice else [])


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_text_is_encoded_unchanged(description, name):
    body = rendered(description=description, contents=(Content(name=name),))

    assert body["description"] == description
    assert body["contents"] == [{"content_name": name}]


def test_batch_body_contains_its_conversions_unchanged():
    first, other = conversion_body(conversion()), conversion_body(conversion(conversion_id="o-2"))

    assert batch_body([first, other]) == b'{"conversions":[' + first + b"," + other + b"]}"


@pytest.mark.parametrize("count", [0, 501])
def test_batch_has_1_to_500_conversions(count):
    with pytest.raises(ValueError, match="1 to 500"):
        batch_body([b"{}"] * count)


def test_body_of_a_full_batch_is_valid_json():
    assert len(json.loads(batch_body([conversion_body(conversion())] * 500))["conversions"]) == 500


@pytest.mark.parametrize("api_url", ["https://ads-api.x.com", "https://ads-api.x.com/"])
def test_url_of_the_conversions_endpoint_is_as_documented(api_url):
    url = conversions_url(api_url=api_url, version="12", pixel="o8z6j")

    assert url == "https://ads-api.x.com/12/measurement/conversions/o8z6j"
