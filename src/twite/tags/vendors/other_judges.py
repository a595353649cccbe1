"""What the conversion APIs of Microsoft Advertising, OpenAI and Klaviyo require.

The rules follow the vendors' reference pages of November 2026: Microsoft's guide to the UET
Conversions API, with the normalization of emails in Stape's tag [seen
stape-io/microsoft-capi-tag@285d013]; OpenAI's Conversions API; and Create Event of Klaviyo's API. A
judge yields the problems of a request.
"""

import re
from collections.abc import Iterator
from typing import Final

from twite.tags.vendors.vendor_checks import (
    KnownPerson,
    VendorRequest,
    bearer_token,
    digests,
    events_in,
    mapping_at,
    pattern,
    recent_milliseconds,
    required,
    sha256_of,
    values_at,
)

_REVISION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(\.\w+)?")
_KLAVIYO_IDS: Final = ("email", "phone_number", "external_id", "anonymous_id", "_kx")


def judge_microsoft(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    yield from bearer_token(request)
    events = events_in(request.body)
    if not events:
        yield "data is empty"
    for event in events:
        if event.get("eventType") not in {"pageLoad", "custom"}:
            yield "eventType is neither pageLoad nor custom"
        at = event.get("eventTime")
        if not isinstance(at, int) or at >= 10**11:
            yield "eventTime is not a whole number of seconds"
        user = mapping_at(event, "userData")
        for name in ("em", "ph"):
            yield from digests(user, name)
        if person.email and sha256_of(_at_microsoft(person.email)) not in values_at(user, "em"):
            yield "em is not the hash of the person's email, without dots and +… before the @"
        # Microsoft does not say whether the plus is part of the number.
        phones = {person.hashes(plus=plus).get("phone") for plus in (True, False)}
        if person.e164 and phones.isdisjoint(values_at(user, "ph")):
            yield "ph is not the hash of the person's phone"


def _at_microsoft(email: str) -> str:
    name, _, domain = email.strip().lower().rpartition("@")
    return f"{name.replace('.', '').partition('+')[0]}@{domain}"


def judge_openai(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    yield from bearer_token(request)
    if not request.query.get("pid"):
        yield "the query has no pid"
    events = events_in(request.body, "events")
    if not events:
        yield "events is empty"
    for event in events:
        yield from required(event, "id", "type", "data")
        yield from recent_milliseconds(event.get("timestamp_ms"), days=7, name="timestamp_ms")
        if event.get("type") == "custom":
            yield from required(event, "custom_event_name")
        if event.get("action_source") == "web":
            yield from required(event, "source_url")
        yield from required(mapping_at(event, "data"), "type")
        user = mapping_at(event, "user")
        for name in ("email_sha256", "external_id_sha256"):
            yield from digests(user, name)
        expected = person.hashes(plus=True).get("email")
        if expected and expected not in values_at(user, "email_sha256"):
            yield "email_sha256 is not the hash of the person's email"


def judge_klaviyo(request: VendorRequest, person: KnownPerson) -> Iterator[str]:
    """Judge an event. Klaviyo gets emails and phone numbers in plain text."""
    if not request.headers.get("authorization", "").startswith("Klaviyo-API-Key "):
        yield "the header Authorization is not a Klaviyo-API-Key"
    if not _REVISION.fullmatch(request.headers.get("revision", "")):
        yield "the header revision is not a date such as 2026-10-15"
    data = mapping_at(request.body, "data")
    if data.get("type") != "event":
        yield "data.type is not event"
    attributes = mapping_at(data, "attributes")
    metric = mapping_at(mapping_at(mapping_at(attributes, "metric"), "data"), "attributes")
    if not metric.get("name"):
        yield "the metric has no name"
    if not isinstance(attributes.get("properties"), dict):
        yield "properties is not an object"
    profile = mapping_at(mapping_at(attributes, "profile"), "data")
    user = mapping_at(profile, "attributes")
    if not profile.get("id") and not any(user.get(name) for name in _KLAVIYO_IDS):
        yield "the profile has no identifier"
    yield from pattern(user, "phone_number", r"\+[1-9]\d{6,14}")
    email = str(user.get("email") or "").strip().lower()
    if person.email and email != person.email.strip().lower():
        yield "email is not the person's email"
