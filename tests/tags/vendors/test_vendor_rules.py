"""The fake vendor accepts documented requests, and names each reason why it refuses one."""

import copy
import json
import urllib.error
import urllib.request

import pytest
from vendor_requests import DIGITS, EMAIL, NOW, OTHERS, PLUS, TOKEN, sha

from twite.tags.vendors.vendor_checks import KnownPerson, VendorRequest
from twite.tags.vendors.vendor_rules import VENDORS, problems_of
from twite.tags.vendors.vendors import FakeVendor

PERSON = KnownPerson(email=" Shopper@Mail.example", phone="+442079460958")


STAPE = "X, through Stape's auth proxy"
RESTLI = TOKEN | {"x-restli-protocol-version": "2.0.0"}
GOOD = {
    "X": VendorRequest(
        host="ads-api.x.com",
        method="POST",
        path="/12/measurement/conversions/o8z6j",
        query={},
        headers={"x-pixel-token": "token"},
        body={
            "conversions": [
                {
                    "conversion_time": "2026-11-25T09:46:40.000Z",
                    "event_id": "tw-o8z6j-o8z6k",
                    "identifiers": [
                        {"hashed_email": EMAIL},
                        {"hashed_phone_number": PLUS},
                        {"ip_address": "203.0.113.7", "user_agent": "Mozilla/5.0"},
                    ],
                    "conversion_id": "order-1",
                    "value": 49.9,
                    "price_currency": "EUR",
                }
            ]
        },
    ),
    STAPE: VendorRequest(
        host="try.stape.io",
        method="POST",
        path="/stape-api/key/v1/twitter/auth-proxy",
        query={},
        headers={},
        body={
            "pixel_id": "o8z6j",
            "conversions": [
                {
                    "conversion_time": "2026-11-25T09:46:40.000Z",
                    "event_id": "tw-o8z6j-o8z6k",
                    "identifiers": [{"hashed_email": EMAIL, "hashed_phone_number": PLUS}],
                }
            ],
            "auth": {
                "consumer_key": "a",
                "consumer_secret": "b",
                "oauth_token": "c",
                "oauth_token_secret": "d",
            },
        },
    ),
    "Meta": VendorRequest(
        host="graph.facebook.com",
        method="POST",
        path="/v20.0/1234567890/events",
        query={"access_token": "token"},
        headers={},
        body={
            "data": [
                {
                    "event_name": "Purchase",
                    "event_time": NOW,
                    "event_id": "order-1",
                    "action_source": "website",
                    "event_source_url": "https://shop.example/",
                    "user_data": {
                        "em": [EMAIL],
                        "ph": DIGITS,
                        "client_user_agent": "Mozilla/5.0",
                        "fbp": f"fb.1.{NOW}000.1234567890",
                        "fbc": f"fb.1.{NOW}000.IwAR0",
                    },
                    "custom_data": {"value": 49.9, "currency": "EUR"},
                }
            ]
        },
    ),
    "TikTok": VendorRequest(
        host="business-api.tiktok.com",
        method="POST",
        path="/open_api/v1.3/event/track/",
        query={},
        headers={"access-token": "token"},
        body={
            "event_source": "web",
            "event_source_id": "C4",
            "data": [
                {
                    "event": "CompletePayment",
                    "event_time": NOW,
                    "event_id": "order-1",
                    "user": {"email": EMAIL, "phone": PLUS},
                    "page": {"url": "https://shop.example/"},
                    "properties": {"value": 49.9, "currency": "EUR"},
                }
            ],
        },
    ),
    "Pinterest": VendorRequest(
        host="api.pinterest.com",
        method="POST",
        path="/v5/ad_accounts/549/events",
        query={},
        headers=TOKEN,
        body={
            "data": [
                {
                    "event_name": "checkout",
                    "action_source": "web",
                    "event_time": NOW,
                    "event_id": "order-1",
                    "user_data": {"em": [EMAIL], "ph": [DIGITS]},
                }
            ]
        },
    ),
    "Snapchat": VendorRequest(
        host="tr.snapchat.com",
        method="POST",
        path="/v3/0e0f-11/events",
        query={"access_token": "token"},
        headers={},
        body={
            "data": [
                {
                    "event_name": "PURCHASE",
                    "event_time": NOW,
                    "event_id": "order-1",
                    "action_source": "WEB",
                    "event_source_url": "https://shop.example/",
                    "user_data": {"em": [EMAIL], "ph": [DIGITS]},
                }
            ]
        },
    ),
    "LinkedIn": VendorRequest(
        host="api.linkedin.com",
        method="POST",
        path="/rest/conversionEvents",
        query={},
        headers=RESTLI | {"linkedin-version": "202601"},
        body={
            "conversion": "urn:lla:llaPartnerConversion:104012",
            "conversionHappenedAt": NOW * 1000,
            "eventId": "order-1",
            "conversionValue": {"currencyCode": "EUR", "amount": "49.90"},
            "user": {"userIds": [{"idType": "SHA256_EMAIL", "idValue": EMAIL}]},
        },
    ),
    **OTHERS,
}


def test_every_vendor_has_a_valid_request_in_these_tests():
    assert sorted(GOOD) == sorted(rules.name for rules in VENDORS)


@pytest.mark.parametrize("vendor", GOOD)
def test_documented_request_of_a_vendor_is_accepted(vendor):
    assert problems_of(GOOD[vendor], PERSON) == []


EVENT = ("data", 0)
USER = (*EVENT, "user_data")


CONVERSION = ("conversions", 0)
IDENTIFIERS = (*CONVERSION, "identifiers")


REDDIT = ("data", "events", 0)
KLAVIYO = ("data", "attributes")
PROFILE = (*KLAVIYO, "profile", "data", "attributes")
BROKEN = [
    ("X", ("conversions",), [], "conversions is empty"),
    ("X", (*CONVERSION, "event_id"), None, "event_id is missing"),
    ("X", (*CONVERSION, "event_id"), "Purchase", "event_id does not have the form"),
    ("X", (*CONVERSION, "conversion_time"), None, "conversion_time is missing"),
    ("X", (*CONVERSION, "price_currency"), "euro", "price_currency is not an ISO 4217"),
    ("X", (*CONVERSION, "value"), "free", "value is not a number"),
    ("X", IDENTIFIERS, [], "identifiers is empty"),
    ("X", (*IDENTIFIERS, 2), {"ip_address": "203.0.113.7"}, "identifiers is empty, or one has no"),
    ("X", (*IDENTIFIERS, 1), {"hashed_phone_number": DIGITS}, "hashed_phone_number is not the"),
    ("X", (*IDENTIFIERS, 0), {"hashed_email": EMAIL.upper()}, "hashed_email is not a SHA-256"),
    (STAPE, ("pixel_id",), "", "pixel_id is missing"),
    (STAPE, ("auth", "oauth_token"), "", "auth.oauth_token is missing"),
    (STAPE, ("auth",), None, "auth.consumer_key is missing"),
    (STAPE, ("conversions",), [], "conversions is empty"),
    ("Meta", (*EVENT, "event_id"), None, "event_id is missing"),
    ("Meta", (*EVENT, "event_time"), NOW * 1000, "event_time is not a whole number of seconds"),
    ("Meta", (*EVENT, "event_time"), NOW - 8 * 86_400, "event_time is in the future, or"),
    ("Meta", (*EVENT, "event_source_url"), "", "event_source_url is missing"),
    ("Meta", (*USER, "ph"), PLUS, "ph is not the hash of the person's phone"),
    ("Meta", (*USER, "em"), "shopper@mail.example", "em is not a SHA-256"),
    ("Meta", (*USER, "em"), EMAIL.upper(), "em is not a SHA-256"),
    ("Meta", (*USER, "fbp"), "1234567890", "fbp does not have the form"),
    ("Meta", (*USER, "fbc"), "IwAR0", "fbc does not have the form"),
    ("Meta", (*USER, "client_user_agent"), None, "client_user_agent is missing"),
    ("Meta", (*EVENT, "custom_data", "currency"), "euro", "currency is not an ISO 4217"),
    ("TikTok", (*EVENT, "user", "phone"), DIGITS, "phone is not the hash of the person's"),
    ("TikTok", ("event_source_id",), "", "event_source_id is missing"),
    ("TikTok", (*EVENT, "event_id"), None, "event_id is missing"),
    ("TikTok", (*EVENT, "page"), {}, "url is missing"),
    ("Pinterest", (*EVENT, "event_name"), "purchase", "event_name 'purchase' is not an event"),
    ("Pinterest", (*USER, "ph"), [PLUS], "ph is not the hash of the person's phone"),
    ("Snapchat", (*EVENT, "event_id"), None, "event_id is missing"),
    ("Snapchat", (*EVENT, "action_source"), "app", "action_source is not WEB, OFFLINE or MOBILE"),
    ("Snapchat", (*USER, "em"), [], "em is not the hash of the person's email"),
    ("LinkedIn", ("eventId",), None, "eventId is missing"),
    ("LinkedIn", ("conversionHappenedAt",), NOW, "conversionHappenedAt is not a time in milli"),
    ("LinkedIn", ("conversionValue", "amount"), 49.9, "conversionValue.amount is not a string"),
    ("LinkedIn", ("user", "userIds"), [], "user has neither userIds nor a first and last name"),
    ("Reddit", ("data",), {}, "data.events is empty"),
    ("Reddit", (*REDDIT, "event_at"), NOW, "event_at is not a time in milliseconds"),
    ("Reddit", (*REDDIT, "event_at"), (NOW - 8 * 86_400) * 1000, "event_at is in the future, or"),
    ("Reddit", (*REDDIT, "action_source"), None, "action_source is missing"),
    ("Reddit", (*REDDIT, "type"), {"tracking_type": "Purchase"}, "tracking_type 'Purchase' is not"),
    ("Reddit", (*REDDIT, "type"), {"tracking_type": "CUSTOM"}, "custom_event_name is missing"),
    ("Reddit", (*REDDIT, "metadata", "value"), "free", "value is not a number"),
    ("Reddit", (*REDDIT, "user", "email"), sha("Shopper@Mail.example"), "user.email is neither"),
    ("Reddit", (*REDDIT, "user", "phone_number"), DIGITS, "user.phone_number is neither"),
    ("Microsoft", ("data",), [], "data is empty"),
    ("Microsoft", (*EVENT, "eventType"), "purchase", "eventType is neither pageLoad nor custom"),
    ("Microsoft", (*EVENT, "eventTime"), NOW * 1000, "eventTime is not a whole number of seconds"),
    ("Microsoft", (*EVENT, "userData", "em"), sha("a@b.example"), "em is not the hash of the"),
    ("Microsoft", (*EVENT, "userData", "ph"), "+442079460958", "ph is not a SHA-256"),
    ("Microsoft", (*EVENT, "userData", "ph"), sha("0207"), "ph is not the hash of the person's"),
    ("OpenAI", ("events",), [], "events is empty"),
    ("OpenAI", ("events", 0, "id"), None, "id is missing"),
    ("OpenAI", ("events", 0, "timestamp_ms"), NOW, "timestamp_ms is not a time in milliseconds"),
    ("OpenAI", ("events", 0, "type"), "custom", "custom_event_name is missing"),
    ("OpenAI", ("events", 0, "source_url"), "", "source_url is missing"),
    ("OpenAI", ("events", 0, "data"), {"a": 1}, "type is missing"),
    ("OpenAI", ("events", 0, "user", "email_sha256"), "a@b.example", "email_sha256 is not a SHA"),
    ("OpenAI", ("events", 0, "user", "email_sha256"), DIGITS, "email_sha256 is not the hash of"),
    ("Klaviyo", ("data", "type"), "profile", "data.type is not event"),
    ("Klaviyo", (*KLAVIYO, "properties"), None, "properties is not an object"),
    ("Klaviyo", (*KLAVIYO, "metric"), {}, "the metric has no name"),
    ("Klaviyo", (*KLAVIYO, "profile"), {}, "the profile has no identifier"),
    ("Klaviyo", (*PROFILE, "phone_number"), "020 7946 0958", "phone_number does not have the"),
    ("Klaviyo", (*PROFILE, "email"), EMAIL, "email is not the person's email"),
]


@pytest.mark.parametrize(
    ("vendor", "place", "value", "problem"),
    BROKEN,
    ids=[f"{vendor}: {problem}" for vendor, *_, problem in BROKEN],
)
def test_each_broken_rule_of_a_vendor_is_named(vendor, place, value, problem):
    request = copy.deepcopy(GOOD[vendor])
    tree = request.body
    for step in place[:-1]:
        tree = tree[step]
    tree[place[-1]] = value

    problems = problems_of(request, PERSON)

    assert any(found.startswith(problem) for found in problems), problems


@pytest.mark.parametrize(
    ("vendor", "change", "problem"),
    [
        ("X", {"headers": TOKEN}, "the headers have neither X-Pixel-Token nor an OAuth signature"),
        (
            STAPE,
            {"path": "/stape-api//v1/twitter/auth-proxy"},
            "the path has no key (x-gtm-api-key)",
        ),
        ("Meta", {"query": {}}, "access_token is missing"),
        ("TikTok", {"headers": {}}, "the header Access-Token is missing"),
        ("Pinterest", {"headers": {}}, "the header Authorization is not a bearer token"),
        (
            "LinkedIn",
            {"headers": RESTLI},
            "the header LinkedIn-Version is not a month such as 202601",
        ),
        (
            "LinkedIn",
            {"headers": TOKEN | {"linkedin-version": "202601"}},
            "the header X-Restli-Protocol-Version is not 2.0.0",
        ),
        ("Reddit", {"headers": {}}, "the header Authorization is not a bearer token"),
        ("Microsoft", {"headers": {}}, "the header Authorization is not a bearer token"),
        ("OpenAI", {"headers": {}}, "the header Authorization is not a bearer token"),
        ("OpenAI", {"query": {}}, "the query has no pid"),
        ("Klaviyo", {"headers": TOKEN}, "the header Authorization is not a Klaviyo-API-Key"),
        ("Klaviyo", {"headers": TOKEN}, "the header revision is not a date such as 2026-10-15"),
        ("Meta", {"path": "/v20.0/me/events"}, "Meta has no path /v20.0/me/events"),
        ("Meta", {"method": "GET"}, "the method is GET, not POST"),
        ("Meta", {"body": None}, "the body is not a JSON object"),
    ],
)
def test_wrong_method_or_url_is_named(vendor, change, problem):
    request = VendorRequest(**{**vars(GOOD[vendor]), **change})

    assert problem in problems_of(request, PERSON)


@pytest.mark.parametrize("path", ["/api/profiles/", "/api/profile-import/"])
def test_klaviyo_requests_that_are_not_events_are_not_checked(path):
    request = VendorRequest(**{**vars(GOOD["Klaviyo"]), "path": path, "method": "GET"})

    assert problems_of(request, PERSON) == []


def test_hash_of_a_phone_number_with_blanks_is_refused():
    person = KnownPerson(phone="+44 20 7946 0958")
    request = copy.deepcopy(GOOD["TikTok"])
    request.body["data"][0]["user"] = {"phone": sha("+44 20 7946 0958")}

    assert problems_of(request, person) == ["phone is not the hash of the person's phone"]
    assert person.hashes(plus=True)["phone"] == PLUS
    assert person.hashes(plus=False)["phone"] == DIGITS


@pytest.mark.parametrize("email", ["shop.per@mail.example", "Shopper+x@mail.example"])
def test_microsoft_ignores_dots_and_suffixes_of_an_email(email):
    assert problems_of(GOOD["Microsoft"], KnownPerson(email=email)) == []


@pytest.mark.parametrize("vendor", GOOD)
def test_fake_vendor_checks_by_the_host_that_the_request_names(vendor):
    good = GOOD[vendor]

    with FakeVendor(PERSON) as fake:
        statuses = [post(fake, good, good.body), post(fake, good, {"data": [{}]})]

    usual = next(rules.status for rules in VENDORS if rules.name == vendor)
    assert statuses == [usual, 400]
    assert [(found.vendor, bool(found.problems)) for found in fake.asked] == [
        (vendor, False),
        (vendor, True),
    ]


def post(fake: FakeVendor, good: VendorRequest, body: object) -> int:
    query = "&".join(f"{name}={value}" for name, value in good.query.items())
    request = urllib.request.Request(  # loopback
        f"{fake.url}{good.path}?{query}",
        data=json.dumps(body).encode(),
        headers={**good.headers, "X-Forwarded-Host": good.host},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
