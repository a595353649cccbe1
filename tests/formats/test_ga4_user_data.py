"""User-provided data of a GA4 hit: nested for tags as in Google's container, and the same for X."""

import json

import pytest
from tag_cases import DESTINATIONS, a_shop

from twite.formats.event_data.conversions import parse_events
from twite.formats.ga4 import read as ga4
from twite.formats.page_visit import Visitor

NOW = 1_795_600_000_000
QUERY = "v=2&tid=G-1&cid=1.2&en=purchase&ep.transaction_id=T1&cu=EUR&epn.value=5"
PERSON = (
    "&ep.user_data.email_address=shopper%40mail.example&ep.user_data.phone_number=%2B442079460958"
    "&ep.user_data.address.first_name=Ada&ep.user_data.address.city=London"
)
EMAIL, PHONE = "shopper@mail.example", "+442079460958"


def event_of(more):
    return ga4.read(QUERY + more, b"").readable[0]


def person_at_x(more):
    """Return the email and the phone number of the hit's conversion."""
    found = parse_events(
        [event_of(more)], source=a_shop(), destinations=DESTINATIONS, visitor=Visitor(now=NOW)
    )
    (native,) = found.conversions
    return native.email, native.phone


def test_user_data_with_dotted_names_becomes_an_object():
    assert event_of(PERSON)["user_data"] == {
        "email_address": EMAIL,
        "phone_number": PHONE,
        "address": {"first_name": "Ada", "city": "London"},
    }


def test_user_data_is_not_left_under_dotted_names():
    assert not [name for name in event_of(PERSON) if name.startswith("user_data.")]


def test_dotted_user_data_of_the_user_properties_becomes_an_object_there():
    event = event_of("&up.user_data.email_address=a%40mail.example&up.plan=gold")

    assert event["x-ga-mp2-user_properties"] == {
        "user_data": {"email_address": "a@mail.example"},
        "plan": "gold",
    }
    assert "user_data" not in event


def test_several_addresses_in_user_data_become_a_list():
    several = "&ep.user_data.address.1.city=Bath&ep.user_data.address.0.city=York"

    assert event_of(several)["user_data"] == {"address": [{"city": "York"}, {"city": "Bath"}]}


def test_dotted_names_outside_user_data_are_not_nested():
    event = event_of("&ep.user_data_origin.kind=crm&ep.cart.size=5&ep.user_data=x")

    assert (event["user_data_origin.kind"], event["cart.size"]) == ("crm", "5")
    assert event["user_data"] == "x"


def test_nested_user_data_replaces_a_text():
    assert event_of("&ep.user_data=x" + PERSON)["user_data"]["email_address"] == EMAIL


def test_name_with_many_dots_gives_an_object_of_limited_depth():
    event = event_of("&ep.user_data" + ".a" * 5_000 + "=1")

    assert json.dumps(event["user_data"]) == '{"a": ' * 7 + '"1"' + "}" * 7


def test_hashes_of_a_hit_are_added_to_its_user_data():
    event = event_of(
        "&em=tv.1~em.LwqdzVpbW9K4trGkTbpX1NY7fdirDBPw2cYceijjobI&ep.user_data.email_address=a%40b.example"
    )

    assert event["user_data"] == {
        "email_address": "a@b.example",
        "sha256_email_address": "LwqdzVpbW9K4trGkTbpX1NY7fdirDBPw2cYceijjobI",
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (PERSON, (EMAIL, PHONE)),
        ("&ep.user_data.email=a%40b.example&ep.user_data.phone=%2B1", ("a@b.example", "+1")),
        ("&ep.email=a%40b.example" + PERSON, ("a@b.example", PHONE)),
        ("&ep.user_data=x" + PERSON, (EMAIL, PHONE)),
        ("&ep.user_data.0.email_address=a%40b.example", ("a@b.example", None)),
    ],
)  # fmt: skip
def test_conversion_for_x_has_the_same_email_and_phone_as_the_event_data(more, expected):
    assert person_at_x(more) == expected
