"""Persons, click ids and consent in calls of Segment's API."""

import json

import pytest
from segment_calls import CLICK, PAGE, batch, conversion_of, order, read_all, signals_of
from tag_cases import NOW

from twite.formats.segment.event import CallContext
from twite.formats.segment.read import read

EMAILS = {name: f"{name}@shop.example" for name in ("own", "traits", "identified", "other")}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"properties": EMAILS["own"], "traits": EMAILS["traits"]}, "own"),
        ({"traits": EMAILS["traits"]}, "traits"),
        ({}, "identified"),
    ],
)
def test_identified_person_fills_gaps_and_overwrites_nothing(said, expected):
    call = order(
        {"email": said.get("properties")}, {"traits": {"email": said.get("traits"), "phone": ""}}
    )
    person = {
        "type": "identify",
        "userId": "user-7",
        "traits": {"email": EMAILS["identified"], "phone": "+44 20 7946 0958"},
    }

    found, _ = read_all(batch(call, person))

    assert found.conversions[0].email == EMAILS[expected]
    assert found.conversions[0].phone == "+44 20 7946 0958"


@pytest.mark.parametrize(
    ("person", "call", "is_same"),
    [
        ({"userId": "1"}, {"userId": "1"}, True),
        ({"userId": 1}, {"userId": "1"}, True),
        ({"anonymousId": "a"}, {"anonymousId": "a"}, True),
        ({"userId": "1", "anonymousId": "a"}, {"anonymousId": "a"}, True),
        ({"anonymousId": "a"}, {"userId": "1", "anonymousId": "a"}, True),
        ({"userId": "1", "anonymousId": "a"}, {"userId": "2", "anonymousId": "a"}, False),
        ({"userId": "1"}, {"userId": "2"}, False),
        ({}, {}, False),
        ({"userId": None}, {"userId": ""}, False),
    ],
)
def test_person_is_joined_by_user_id_and_else_by_anonymous_id(person, call, is_same):
    identify = {"type": "identify", "traits": {"email": EMAILS["identified"]}, **person}
    track = {"type": "track", "event": "purchase", "messageId": "m", **call}

    found, _ = read_all(batch(identify, track))

    assert (found.conversions[0].email is not None) == is_same


def test_person_who_denied_consent_fills_no_gaps():
    identify = {
        "type": "identify",
        "userId": "user-7",
        "traits": {"email": EMAILS["identified"]},
        "context": {"consent": {"categoryPreferences": {"advertising": False}}},
    }

    found, _ = read_all(batch(identify, order(context={"traits": {}})))

    assert found.conversions[0].email is None


def test_traits_of_an_identify_are_available_as_data():
    body = {"userId": 7, "anonymousId": "a", "traits": {"email": "a@b.example", "phone": "+4420"}}

    request = read(json.dumps(body).encode(), call="identify", call_context=CallContext(now=NOW))

    (person,) = request.identified
    assert (person.user_id, person.anonymous_id) == ("7", "a")
    assert (person.email, person.phone) == ("a@b.example", "+4420")
    assert "a@b.example" not in repr(request)


@pytest.mark.parametrize(
    ("properties", "context"),
    [
        ({}, {"page": {"url": f"https://shop.example/?twclid={CLICK}"}}),
        ({}, {"page": {"search": f"?utm_source=x&twclid={CLICK}"}}),
        ({}, {"campaign": {"source": "x", "twclid": CLICK}}),
        ({"twclid": CLICK}, {}),
        ({}, {"page": {"referrer": f"https://shop.example/?twclid={CLICK}"}}),
    ],
)
def test_click_id_is_found_in_the_page_and_in_the_campaign(properties, context):
    assert conversion_of(order(properties, context)).identifiers.click_id == CLICK


def test_context_of_the_batch_applies_to_its_calls():
    shared = {"context": {"ip": "203.0.113.9", "userAgent": "UA/1"}}

    _, (result,) = read_all(batch(order(context={"userAgent": "UA/2"}), **shared))

    identifiers = result.conversion.identifiers
    assert (identifiers.ip, identifiers.user_agent) == ("203.0.113.9", "UA/2")


def test_page_cannot_choose_its_ip_address():
    call = order(context={"ip": "198.51.100.1", "userAgent": "other"})

    identifiers = conversion_of(call, visitor=PAGE).identifiers

    assert (identifiers.ip, identifiers.user_agent) == ("203.0.113.7", "Mozilla/5.0")


DENIED = {"ad_storage": "denied", "ad_user_data": "denied"}
GRANTED = {"ad_storage": "granted", "ad_user_data": "granted"}
UNCLEAR = {"consent": "unreadable"}


@pytest.mark.parametrize(
    ("preferences", "named", "expected"),
    [
        ({}, (), DENIED),
        ({}, ("ads",), DENIED),
        ({"ads": True, "stats": False}, (), DENIED),
        ({"ads": True, "stats": True}, (), GRANTED),
        ({"ads": True, "stats": False}, ("ads",), GRANTED),
        ({"ads": False, "stats": True}, ("ads",), DENIED),
        ({"stats": True}, ("ads",), DENIED),
        ({"ads": True, "more": False}, ("ads", "more"), DENIED),
        ({"ads": "yes"}, ("ads",), UNCLEAR),
        ({"ads": "yes"}, (), UNCLEAR),
        ([], (), UNCLEAR),
        (None, (), UNCLEAR),
    ],
)
def test_category_preferences_are_obeyed(preferences, named, expected):
    call = order(context={"consent": {"categoryPreferences": preferences}})

    assert signals_of(call, named=named) == expected


@pytest.mark.parametrize("context", [{}, {"consent": {}}, {"consent": None}])
def test_call_without_preferences_says_nothing_about_consent(context):
    assert signals_of(order(context=context)) is None


@pytest.mark.parametrize(
    "consent", [{"ad_storage": "denied"}, {"categories": {"ads": False}}, "denied", False]
)
def test_consent_in_another_shape_may_be_a_denial(consent):
    assert signals_of(order(context={"consent": consent})) == UNCLEAR


@pytest.mark.parametrize(
    ("managed", "named", "expected"),
    [
        ({"deniedConsentIds": ["ads"], "allowedConsentIds": []}, (), DENIED),
        ({"deniedConsentIds": [], "allowedConsentIds": ["ads"]}, (), GRANTED),
        ({"deniedConsentIds": ["stats"], "allowedConsentIds": ["ads"]}, ("ads",), GRANTED),
        ({"deniedConsentIds": ["ads"]}, ("ads",), DENIED),
        ({"allowedConsentIds": ["stats"]}, ("ads",), DENIED),
        ({"deniedConsentIds": "ads"}, (), UNCLEAR),
        ({"deniedConsentIds": []}, (), None),
        ("ads", (), UNCLEAR),
    ],
)
def test_consent_management_of_rudderstack_is_obeyed(managed, named, expected):
    call = order(context={"consentManagement": managed})

    assert signals_of(call, named=named) == expected


@pytest.mark.parametrize(
    ("integrations", "expected"),
    [
        ({"All": False}, DENIED),
        ({"All": False, "X": True}, None),
        ({"All": False, "Twite": {"option": 1}}, None),
        ({"All": True, "X": False}, DENIED),
        ({"Twitter Ads": False}, DENIED),
        ({"x": False}, None),
        ({"All": True}, None),
        ({}, None),
        ("none", UNCLEAR),
        (False, UNCLEAR),
        ([], UNCLEAR),
    ],
)
def test_integrations_are_obeyed(integrations, expected):
    assert signals_of(order(integrations=integrations)) == expected


def test_denial_of_the_batch_or_of_the_call_counts():
    denied = {"consent": {"categoryPreferences": {"ads": False}}}
    granted = {"consent": {"categoryPreferences": {"ads": True}}}

    assert signals_of(order(context=granted), shared={"context": denied}) == DENIED
    assert signals_of(order(context=denied), shared={"context": granted}) == DENIED
    assert signals_of(order(), shared={"integrations": {"All": False}}) == DENIED
    allowed = order(integrations={"X": True})
    assert signals_of(allowed, shared={"integrations": {"All": False}}) is None


def test_signals_in_the_properties_count_too():
    call = order(
        {"ad_storage": "denied"}, {"consent": {"categoryPreferences": {"advertising": True}}}
    )

    assert signals_of(call) == GRANTED | {"ad_storage": "denied"}


def test_denied_conversion_is_suppressed():
    _, (result,) = read_all(batch(order(integrations={"All": False})))

    assert result.suppressed == "consent_denied: ad_storage"
