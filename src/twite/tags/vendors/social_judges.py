"""What the conversion APIs of social networks require.

The rules follow the vendors' reference pages of November 2026: X's web conversions, Meta's customer
information and server event parameters, TikTok's Events API 2.0 (which hashes phone numbers with
their plus), Pinterest's list of events, Snapchat's Conversions API v3, LinkedIn's Conversions API,
and Reddit's Conversions API v3, for which Stape's tag also is a source [seen
stape-io/reddit-tag@ca26b67]. A judge yields the problems of a request.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from twite.tags.vendors.vendor_checks import (
    KnownPerson,
    VendorRequest,
    bearer_token,
    digests,
    events_in,
    mapping_at,
    money,
    pattern,
    person_hashes,
    recent_milliseconds,
    recent_seconds,
    required,
    sha256_of,
    values_at,
)

_PINTEREST_EVENTS: Final = frozenset(
    {"add_payment_info", "add_to_cart", "add_to_wishlist", "app_install", "app_open", "checkout",
     "contact", "custom", "customize_product", "find_location", "initiate_checkout", "lead",
     "page_visit", "schedule", "search", "signup", "start_trial", "submit_application", "subscribe",
     "view_category", "view_content", "watch_video"}
)  # fmt: skip
_REDDIT_EVENTS: Final = frozenset(
    {"PAGE_VISIT", "VIEW_CONTENT", "SEARCH", "ADD_TO_CART", "ADD_TO_WISHLIST", "PURCHASE", "LEAD",
     "SIGN_UP", "CUSTOM"}
)  # fmt: skip


def judge_x(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not (
        request.headers.get("x-pixel-token")
        or request.headers.get("authorization", "").startswith("OAuth ")
    ):
        yield "the headers have neither X-Pixel-Token nor an OAuth signature"
    yield from _conversions_of_x(request, person)


def judge_stape(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not request.path.split("/")[2]:
        yield "the path has no key (x-gtm-api-key)"
    yield from required(request.body, "pixel_id")
    keys = ("consumer_key", "consumer_secret", "oauth_token", "oauth_token_secret")
    yield from (f"auth.{problem}" for problem in required(mapping_at(request.body, "auth"), *keys))
    yield from _conversions_of_x(request, person)


def _conversions_of_x(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    events = events_in(request.body, "conversions")
    if not events:
        yield "conversions is empty"
    for event in events:
        if not (event.get("conversion_time") or event.get("conversion_timestamp")):
            yield "conversion_time is missing"
        if not event.get("event_name"):
            yield from required(event, "event_id")
        yield from pattern(event, "event_id", r"(tw-[0-9a-z]+-)?[0-9a-z]+")
        identifiers = events_in(event, "identifiers")
        if not identifiers or not all(_suffices(each) for each in identifiers):
            yield "identifiers is empty, or one has no twclid, hash, or address with a user agent"
        user = {
            name: [value for each in identifiers for value in values_at(each, name)]
            for name in ("hashed_email", "hashed_phone_number")
        }
        expected = person.hashes(plus=True)
        yield from person_hashes(user, expected, email="hashed_email", phone="hashed_phone_number")
        if event.get("value") not in (None, ""):
            yield from money({"price_currency": "USD"} | event, "value", "price_currency")


def _suffices(identifier: Mapping[str, Any]) -> bool:
    names = ("twclid", "hashed_email", "hashed_phone_number")
    with_address = identifier.get("ip_address") and identifier.get("user_agent")
    return bool(with_address or any(identifier.get(name) for name in names))


def judge_meta(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not (request.query.get("access_token") or request.body.get("access_token")):
        yield "access_token is missing"
    for event in events_in(request.body):
        yield from required(event, "event_name", "event_time", "action_source", "event_id")
        yield from recent_seconds(event.get("event_time"), days=7)
        user = mapping_at(event, "user_data")
        if event.get("action_source") == "website":
            yield from required(event, "event_source_url")
            yield from required(user, "client_user_agent")
        yield from person_hashes(user, person.hashes(plus=False), email="em", phone="ph")
        for name in ("fn", "ln", "ct", "st", "zp", "country", "ge", "db"):
            yield from digests(user, name)
        yield from pattern(user, "fbp", r"fb\.[0-2]\.\d{13}\.\d+(\.\w+)?")
        yield from pattern(user, "fbc", r"fb\.[0-2]\.\d{13}\..+")
        if event.get("event_name") == "Purchase":
            yield from money(mapping_at(event, "custom_data"), "value", "currency")


def judge_tiktok(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not request.headers.get("access-token"):
        yield "the header Access-Token is missing"
    yield from required(request.body, "event_source", "event_source_id")
    for event in events_in(request.body):
        yield from required(event, "event", "event_time", "event_id")
        yield from recent_seconds(event.get("event_time"), days=28)
        user = mapping_at(event, "user")
        yield from person_hashes(user, person.hashes(plus=True), email="email", phone="phone")
        if request.body.get("event_source") == "web":
            yield from required(mapping_at(event, "page"), "url")
        if event.get("event") in {"CompletePayment", "Purchase"}:
            yield from money(mapping_at(event, "properties"), "value", "currency")


def judge_pinterest(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    yield from bearer_token(request)
    for event in events_in(request.body):
        yield from required(event, "event_name", "action_source", "event_time", "event_id")
        if event.get("event_name") not in _PINTEREST_EVENTS:
            yield f"event_name {event.get('event_name')!r} is not an event of Pinterest"
        yield from recent_seconds(event.get("event_time"), days=7)
        user = mapping_at(event, "user_data")
        if not (
            user.get("em")
            or user.get("hashed_maids")
            or (user.get("client_ip_address") and user.get("client_user_agent"))
        ):
            yield "user_data has neither em, hashed_maids, nor an address with a user agent"
        yield from person_hashes(user, person.hashes(plus=False), email="em", phone="ph")


def judge_snapchat(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    if not request.query.get("access_token"):
        yield from bearer_token(request)
    for event in events_in(request.body):
        yield from required(event, "event_name", "event_time", "action_source")
        if str(event.get("action_source")).upper() not in {
            "WEB",
            "WEBSITE",
            "OFFLINE",
            "MOBILE_APP",
        }:
            yield "action_source is not WEB, OFFLINE or MOBILE_APP"
        user = mapping_at(event, "user_data")
        if str(event.get("action_source")).lower() in {"web", "website"}:
            yield from required(event, "event_source_url")
        if not (event.get("event_id") or mapping_at(event, "custom_data").get("event_id")):
            yield "event_id is missing"
        yield from person_hashes(user, person.hashes(plus=False), email="em", phone="ph")


def judge_linkedin(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    yield from bearer_token(request)
    if not re.fullmatch(r"\d{6}", request.headers.get("linkedin-version", "")):
        yield "the header LinkedIn-Version is not a month such as 202601"
    if request.headers.get("x-restli-protocol-version") != "2.0.0":
        yield "the header X-Restli-Protocol-Version is not 2.0.0"
    elements = request.body.get("elements")
    for event in elements if isinstance(elements, list) else [request.body]:
        yield from required(event, "conversion", "conversionHappenedAt", "eventId")
        yield from pattern(event, "conversion", r"urn:lla:llaPartnerConversion:\d+")
        at = event.get("conversionHappenedAt")
        if not isinstance(at, int) or not 10**12 <= at < 10**13:
            yield "conversionHappenedAt is not a time in milliseconds"
        value = event.get("conversionValue")
        if value is not None:
            yield from required(value, "currencyCode", "amount")
            if not isinstance(value.get("amount"), str):
                yield "conversionValue.amount is not a string"
        ids = mapping_at(event, "user").get("userIds") or []
        info = mapping_at(event, "user").get("userInfo") or {}
        if not ids and not (info.get("firstName") and info.get("lastName")):
            yield "user has neither userIds nor a first and last name"
        expected = person.hashes(plus=False).get("email")
        emails = [found.get("idValue") for found in ids if found.get("idType") == "SHA256_EMAIL"]
        if expected and expected not in emails:
            yield "userIds has no SHA256_EMAIL of the person's email"


def judge_reddit(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    """Judge a request. Emails and phone numbers may be in plain text or hashed."""
    yield from bearer_token(request)
    events = events_in(mapping_at(request.body, "data"), "events")
    if not events:
        yield "data.events is empty"
    for event in events:
        yield from required(event, "event_at", "action_source", "type")
        yield from recent_milliseconds(event.get("event_at"), days=7, name="event_at")
        kind = mapping_at(event, "type")
        tracking = kind.get("tracking_type")
        if tracking not in _REDDIT_EVENTS:
            yield f"tracking_type {tracking!r} is not an event of Reddit"
        if tracking == "CUSTOM":
            yield from required(kind, "custom_event_name")
        if tracking == "PURCHASE":
            yield from money(mapping_at(event, "metadata"), "value", "currency")
        user = mapping_at(event, "user")
        plain = {"email": person.email.strip().lower(), "phone_number": person.e164}
        for name, text in plain.items():
            given = str(user.get(name) or "")
            if text and given.strip().lower() != text and given != sha256_of(text):
                yield f"user.{name} is neither the person's nor its hash"
