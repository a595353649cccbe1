"""The fake vendor accepts documented requests, and names each reason for a refusal."""

import copy
import hashlib
import json
import time
import urllib.error
import urllib.request

import pytest

from twite.testing.vendor_rules import VENDORS, KnownPerson, VendorRequest, problems_of
from twite.testing.vendors import FakeVendor

PERSON = KnownPerson(email=" Shopper@Mail.example", phone="+442079460958")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


EMAIL, DIGITS, PLUS = sha("shopper@mail.example"), sha("442079460958"), sha("+442079460958")
NOW = int(time.time())
TOKEN = {"authorization": "Bearer token"}
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
}


def test_every_vendor_has_a_valid_request_here():
    assert sorted(GOOD) == sorted(rules.name for rules in VENDORS)


@pytest.mark.parametrize("vendor", GOOD)
def test_documented_request_has_no_problem(vendor):
    assert problems_of(GOOD[vendor], PERSON) == []


EVENT = ("data", 0)
USER = (*EVENT, "user_data")


CONVERSION = ("conversions", 0)
IDENTIFIERS = (*CONVERSION, "identifiers")


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
]


@pytest.mark.parametrize(
    ("vendor", "place", "value", "problem"),
    BROKEN,
    ids=[f"{vendor}: {problem}" for vendor, *_, problem in BROKEN],
)
def test_each_broken_rule_is_named(vendor, place, value, problem):
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
        ("Meta", {"path": "/v20.0/me/events"}, "Meta has no path /v20.0/me/events"),
        ("Meta", {"method": "GET"}, "the method is GET, not POST"),
        ("Meta", {"body": None}, "the body is not a JSON object"),
    ],
)
def test_wrong_method_or_address_is_named(vendor, change, problem):
    request = VendorRequest(**{**vars(GOOD[vendor]), **change})

    assert problem in problems_of(request, PERSON)


@pytest.mark.parametrize("vendor", GOOD)
def test_server_validates_and_responds_by_the_intended_host(vendor):
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
