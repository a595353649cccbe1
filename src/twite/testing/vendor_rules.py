"""What the conversion APIs of X, Meta, TikTok, Pinterest, Snapchat and LinkedIn require.

The rules follow the vendors' reference pages of November 2026: X's web conversions, Meta's customer
information and server event parameters, TikTok's Events API 2.0 (which hashes phone numbers with
their plus), Pinterest's list of events, Snapchat's Conversions API v3, and LinkedIn's Conversions
API. A judge returns a list of problems, which is empty if the vendor would accept and match the
request. Judges share no code with templates or with Twite.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs


@dataclass(frozen=True)
class VendorRequest:
    """One request to a vendor. `headers` have lower-case names; `body` is decoded JSON."""

    host: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class KnownPerson:
    """The person of the event, in plain text: the judge hashes the values itself."""

    email: str = ""
    phone: str = ""  # E.164, as +442079460958

    def hashes(self, *, plus: bool) -> dict[str, str]:
        """Return the hashes that a vendor expects; `plus` keeps the plus of the phone number."""
        phone = self.phone if plus else re.sub(r"\D", "", self.phone)
        plain = {"email": self.email.strip().lower(), "phone": phone}
        return {
            name: hashlib.sha256(text.encode()).hexdigest() for name, text in plain.items() if text
        }


@dataclass(frozen=True)
class VendorRules:
    """One vendor: its hosts, the path of its API, its judge, and its response to a good request.

    If there are no hosts, the path identifies the vendor.
    """

    name: str
    hosts: frozenset[str]
    path: re.Pattern[str]
    judge: Callable[[VendorRequest, KnownPerson], Iterator[str]]
    status: int = 200
    answer: dict[str, Any] = field(default_factory=dict)


def vendor_of(request: VendorRequest) -> VendorRules | None:
    for rules in VENDORS:
        if request.host in rules.hosts or (not rules.hosts and rules.path.fullmatch(request.path)):
            return rules
    return None


def problems_of(request: VendorRequest, person: KnownPerson) -> list[str]:
    """Return what is wrong with a request; requests to unknown hosts are not judged."""
    rules = vendor_of(request)
    if rules is None:
        return []
    if request.method != "POST":
        return [f"the method is {request.method}, not POST"]
    if not rules.path.fullmatch(request.path):
        return [f"{rules.name} has no path {request.path}"]
    if not isinstance(request.body, dict):
        return ["the body is not a JSON object"]
    return list(rules.judge(request, person))


def _x(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not (
        request.headers.get("x-pixel-token")
        or request.headers.get("authorization", "").startswith("OAuth ")
    ):
        yield "the headers have neither X-Pixel-Token nor an OAuth signature"
    yield from _conversions_of_x(request, person)


def _stape(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not request.path.split("/")[2]:
        yield "the path has no key (x-gtm-api-key)"
    yield from _required(request.body, "pixel_id")
    keys = ("consumer_key", "consumer_secret", "oauth_token", "oauth_token_secret")
    yield from (f"auth.{problem}" for problem in _required(_mapping(request.body, "auth"), *keys))
    yield from _conversions_of_x(request, person)


def _conversions_of_x(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    events = _events(request.body, "conversions")
    if not events:
        yield "conversions is empty"
    for event in events:
        if not (event.get("conversion_time") or event.get("conversion_timestamp")):
            yield "conversion_time is missing"
        if not event.get("event_name"):
            yield from _required(event, "event_id")
        yield from _pattern(event, "event_id", r"(tw-[0-9a-z]+-)?[0-9a-z]+")
        identifiers = _events(event, "identifiers")
        if not identifiers or not all(_suffices(each) for each in identifiers):
            yield "identifiers is empty, or one has no twclid, hash, or address with a user agent"
        user = {
            name: [value for each in identifiers for value in _values(each, name)]
            for name in ("hashed_email", "hashed_phone_number")
        }
        expected = person.hashes(plus=True)
        yield from _hashed(user, expected, email="hashed_email", phone="hashed_phone_number")
        if event.get("value") not in (None, ""):
            yield from _money({"price_currency": "USD"} | event, "value", "price_currency")


def _suffices(identifier: Mapping[str, Any]) -> bool:
    names = ("twclid", "hashed_email", "hashed_phone_number")
    with_address = identifier.get("ip_address") and identifier.get("user_agent")
    return bool(with_address or any(identifier.get(name) for name in names))


def _meta(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not (request.query.get("access_token") or request.body.get("access_token")):
        yield "access_token is missing"
    for event in _events(request.body):
        yield from _required(event, "event_name", "event_time", "action_source", "event_id")
        yield from _seconds(event.get("event_time"), days=7)
        user = _mapping(event, "user_data")
        if event.get("action_source") == "website":
            yield from _required(event, "event_source_url")
            yield from _required(user, "client_user_agent")
        yield from _hashed(user, person.hashes(plus=False), email="em", phone="ph")
        for name in ("fn", "ln", "ct", "st", "zp", "country", "ge", "db"):
            yield from _digests(user, name)
        yield from _pattern(user, "fbp", r"fb\.[0-2]\.\d{13}\.\d+(\.\w+)?")
        yield from _pattern(user, "fbc", r"fb\.[0-2]\.\d{13}\..+")
        if event.get("event_name") == "Purchase":
            yield from _money(_mapping(event, "custom_data"), "value", "currency")


def _tiktok(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not request.headers.get("access-token"):
        yield "the header Access-Token is missing"
    yield from _required(request.body, "event_source", "event_source_id")
    for event in _events(request.body):
        yield from _required(event, "event", "event_time", "event_id")
        yield from _seconds(event.get("event_time"), days=28)
        user = _mapping(event, "user")
        yield from _hashed(user, person.hashes(plus=True), email="email", phone="phone")
        if request.body.get("event_source") == "web":
            yield from _required(_mapping(event, "page"), "url")
        if event.get("event") in {"CompletePayment", "Purchase"}:
            yield from _money(_mapping(event, "properties"), "value", "currency")


def _pinterest(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    yield from _bearer(request)
    for event in _events(request.body):
        yield from _required(event, "event_name", "action_source", "event_time", "event_id")
        if event.get("event_name") not in _PINTEREST_EVENTS:
            yield f"event_name {event.get('event_name')!r} is not an event of Pinterest"
        yield from _seconds(event.get("event_time"), days=7)
        user = _mapping(event, "user_data")
        if not (
            user.get("em")
            or user.get("hashed_maids")
            or (user.get("client_ip_address") and user.get("client_user_agent"))
        ):
            yield "user_data has neither em, hashed_maids, nor an address with a user agent"
        yield from _hashed(user, person.hashes(plus=False), email="em", phone="ph")


def _snapchat(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not request.query.get("access_token"):
        yield from _bearer(request)
    for event in _events(request.body):
        yield from _required(event, "event_name", "event_time", "action_source")
        if str(event.get("action_source")).upper() not in {
            "WEB",
            "WEBSITE",
            "OFFLINE",
            "MOBILE_APP",
        }:
            yield "action_source is not WEB, OFFLINE or MOBILE_APP"
        user = _mapping(event, "user_data")
        if str(event.get("action_source")).lower() in {"web", "website"}:
            yield from _required(event, "event_source_url")
        if not (event.get("event_id") or _mapping(event, "custom_data").get("event_id")):
            yield "event_id is missing"
        yield from _hashed(user, person.hashes(plus=False), email="em", phone="ph")


def _linkedin(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    yield from _bearer(request)
    if not re.fullmatch(r"\d{6}", request.headers.get("linkedin-version", "")):
        yield "the header LinkedIn-Version is not a month such as 202601"
    if request.headers.get("x-restli-protocol-version") != "2.0.0":
        yield "the header X-Restli-Protocol-Version is not 2.0.0"
    elements = request.body.get("elements")
    for event in elements if isinstance(elements, list) else [request.body]:
        yield from _required(event, "conversion", "conversionHappenedAt", "eventId")
        yield from _pattern(event, "conversion", r"urn:lla:llaPartnerConversion:\d+")
        at = event.get("conversionHappenedAt")
        if not isinstance(at, int) or not 10**12 <= at < 10**13:
            yield "conversionHappenedAt is not a time in milliseconds"
        value = event.get("conversionValue")
        if value is not None:
            yield from _required(value, "currencyCode", "amount")
            if not isinstance(value.get("amount"), str):
                yield "conversionValue.amount is not a string"
        ids = _mapping(event, "user").get("userIds") or []
        info = _mapping(event, "user").get("userInfo") or {}
        if not ids and not (info.get("firstName") and info.get("lastName")):
            yield "user has neither userIds nor a first and last name"
        expected = person.hashes(plus=False).get("email")
        emails = [found.get("idValue") for found in ids if found.get("idType") == "SHA256_EMAIL"]
        if expected and expected not in emails:
            yield "userIds has no SHA256_EMAIL of the person's email"


def _events(body: Mapping[str, Any], name: str = "data") -> list[dict[str, Any]]:
    found = body.get(name)
    return [event for event in found if isinstance(event, dict)] if isinstance(found, list) else []


def _mapping(tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def _required(tree: Mapping[str, Any], *names: str) -> Iterator[str]:
    yield from (f"{name} is missing" for name in names if tree.get(name) in (None, "", [], {}))


def _seconds(at: object, *, days: int) -> Iterator[str]:
    if not isinstance(at, int) or at >= 10**11:
        yield "event_time is not a whole number of seconds"
    elif not time.time() - days * 86_400 <= at <= time.time() + 600:
        yield f"event_time is in the future, or more than {days} days ago"


def _values(tree: Mapping[str, Any], name: str) -> list[Any]:
    found = tree.get(name)
    every = found if isinstance(found, list) else [found]
    return [value for value in every if value not in (None, "")]


def _digests(tree: Mapping[str, Any], name: str) -> Iterator[str]:
    for value in _values(tree, name):
        if not isinstance(value, str) or not _DIGEST.fullmatch(value):
            yield f"{name} is not a SHA-256 in lower-case hexadecimal digits"


def _hashed(
    user: Mapping[str, Any], expected: Mapping[str, str], *, email: str, phone: str
) -> Iterator[str]:
    for name, key in (("email", email), ("phone", phone)):
        yield from _digests(user, key)
        if name in expected and expected[name] not in _values(user, key):
            yield f"{key} is not the hash of the person's {name}"


def _pattern(tree: Mapping[str, Any], name: str, pattern: str) -> Iterator[str]:
    value = tree.get(name)
    if value not in (None, "") and not re.fullmatch(pattern, str(value)):
        yield f"{name} does not have the form {pattern}"


def _money(tree: Mapping[str, Any], value: str, currency: str) -> Iterator[str]:
    if not re.fullmatch(r"\d+(\.\d+)?", str(tree.get(value, ""))):
        yield f"{value} is not a number"
    if not re.fullmatch(r"[A-Z]{3}", str(tree.get(currency, ""))):
        yield f"{currency} is not an ISO 4217 code"


def _bearer(request: VendorRequest) -> Iterator[str]:
    if not re.fullmatch(r"Bearer \S+", request.headers.get("authorization", "")):
        yield "the header Authorization is not a bearer token"


def query_of(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PINTEREST_EVENTS: Final = frozenset(
    {"add_payment_info", "add_to_cart", "add_to_wishlist", "app_install", "app_open", "checkout",
     "contact", "custom", "customize_product", "find_location", "initiate_checkout", "lead",
     "page_visit", "schedule", "search", "signup", "start_trial", "submit_application", "subscribe",
     "view_category", "view_content", "watch_video"}
)  # fmt: skip
_X_ANSWER: Final = {"request": {}, "data": {"conversions_processed": 1, "debug_id": "stub"}}
VENDORS: Final = (
    VendorRules(
        name="X",
        hosts=frozenset({"ads-api.x.com", "ads-api.twitter.com"}),
        path=re.compile(r"/\d+/measurement/conversions/[0-9a-z]+"),
        judge=_x,
        answer=_X_ANSWER,
    ),
    VendorRules(
        name="X, through Stape's auth proxy",
        hosts=frozenset(),  # any domain: the tag reads the domain from headers
        path=re.compile(r"/stape-api/[^/]*/v1/twitter/auth-proxy"),
        judge=_stape,
        answer=_X_ANSWER,
    ),
    VendorRules(
        name="Meta",
        hosts=frozenset({"graph.facebook.com"}),
        path=re.compile(r"/v\d+\.\d+/\d+/events"),
        judge=_meta,
        answer={"events_received": 1, "messages": [], "fbtrace_id": "stub"},
    ),
    VendorRules(
        name="TikTok",
        hosts=frozenset({"business-api.tiktok.com"}),
        path=re.compile(r"/open_api/v1\.3/event/track/"),
        judge=_tiktok,
        answer={"code": 0, "message": "OK", "request_id": "stub", "data": {}},
    ),
    VendorRules(
        name="Pinterest",
        hosts=frozenset({"api.pinterest.com"}),
        path=re.compile(r"/v5/ad_accounts/\d+/events"),
        judge=_pinterest,
        answer={
            "num_events_received": 1,
            "num_events_processed": 1,
            "events": [{"status": "processed"}],
        },
    ),
    VendorRules(
        name="Snapchat",
        hosts=frozenset({"tr.snapchat.com"}),
        path=re.compile(r"/v3/[0-9a-zA-Z-]+/events(/validate)?"),
        judge=_snapchat,
        answer={"status": "OK", "reason": "All events processed."},
    ),
    VendorRules(
        name="LinkedIn",
        hosts=frozenset({"api.linkedin.com"}),
        path=re.compile(r"/rest/conversionEvents"),
        judge=_linkedin,
        status=201,
    ),
)
