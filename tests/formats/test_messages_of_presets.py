"""Presets: what real-shaped messages of their senders become, and samples of every kind."""

import json

import pytest

from builders import NOW
from twite.domain.times import spelled
from twite.formats.webhook_kind import SignatureVerdict, WebhookMessage
from twite.formats.webhook_kinds import KINDS
from twite.gateway.ingest.value_rules import CurrentValueRules
from twite.gateway.ingest.webhook_preview import preview
from written import GOOD, read

EVENTS = GOOD.replace('sign_up = "tw', 'lead = "o8z6z", sign_up = "tw')
# Keys that a kind requires.
NEEDED = {
    "woocommerce": 'paid_since = "2026-01-01T00:00:00Z"',
    "standard": 'map = { conversion_id = "id", email = "mail" }',
    "generic": 'map = { conversion_id = "id", email = "mail" }\nsignature = { header = "X-Sig" }',
}
SECRET = "whsec_c2VjcmV0LXNlY3JldA=="


def configured(tmp_path, kind, more=""):
    text = (
        f'\n[[webhook]]\nname = "a"\nkind = "{kind}"\nsecret = "{SECRET}"\nsource = "shop"\n{more}'
    )
    return read(tmp_path, EVENTS + text)


def becomes(tmp_path, kind, message, more=""):
    settings = configured(tmp_path, kind, more)
    (webhook,) = settings.webhooks
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return previewed(settings, webhook.kind.read(WebhookMessage(headers={}, body=body), webhook))


def previewed(settings, reading):
    return preview(
        reading,
        source=settings.submitters[0],
        destinations={each.pixel: each for each in settings.destinations()},
        now=NOW,
        value_rules=CurrentValueRules(),
    )


def only(found):
    (conversion,) = found.conversions
    assert (conversion.verdict, conversion.errors) == ("accepted", ())
    return conversion.conversion


@pytest.mark.parametrize("kind", KINDS)
def test_sample_of_every_kind_is_genuine_and_becomes_a_conversion(tmp_path, kind):
    settings = configured(tmp_path, kind, NEEDED.get(kind, ""))
    (webhook,) = settings.webhooks
    url = "https://t.shop.example/webhooks/a"

    message = webhook.kind.sample(webhook, NOW, url)

    assert webhook.kind.verify(message, webhook, NOW) is SignatureVerdict.GENUINE
    assert only(previewed(settings, webhook.kind.read(message, webhook)))["email_sha256"]


POSTHOG = {
    "event": {
        "uuid": "0190a1b2-0000-7000-8000-000000000001",
        "event": "order_completed",
        "distinct_id": "user-1",
        "timestamp": spelled(NOW),
        "properties": {
            "order_id": 820982911946154508,
            "total": 49.90,
            "currency": "EUR",
            "$ip": "203.0.113.7",
            "$raw_user_agent": "Mozilla/5.0",
            "$current_url": "https://shop.example/thanks",
        },
    },
    "person": {
        "id": "p",
        "properties": {"email": "shopper@example.com", "$initial_twclid": "23opevjt88psuo13lu8d"},
    },
}


def test_event_of_posthog_becomes_a_conversion(tmp_path):
    found = becomes(tmp_path, "posthog", POSTHOG)

    conversion = only(found)
    assert found.message == "order_completed"
    assert conversion["conversion_id"] == "820982911946154508"
    assert (conversion["value"], conversion["currency"]) == ("49.9", "EUR")
    assert {"email_sha256", "twclid", "ip", "user_agent", "url"} <= set(conversion)


def test_event_of_posthog_without_an_amount_needs_the_field_left_out(tmp_path):
    signed_up = json.loads(json.dumps(POSTHOG))
    signed_up["event"]["properties"] = {}

    (rejected,) = becomes(tmp_path, "posthog", signed_up).conversions
    own = 'event = "sign_up"\nmap = { value = "`null`", currency = "`null`" }'
    conversion = only(becomes(tmp_path, "posthog", signed_up, own))

    assert (rejected.verdict, rejected.errors[0].path) == ("rejected", "value")
    assert conversion["conversion_id"] == POSTHOG["event"]["uuid"]


def test_contact_and_deal_of_hubspot_become_conversions(tmp_path):
    contact = {
        "vid": 51,
        "properties": {
            "email": {"value": "shopper@example.com"},
            "twclid": {"value": "23opevjt88psuo13lu8d"},
        },
    }
    deal = {
        "hs_object_id": 9007199254740993,
        "amount": "1200.50",
        "deal_currency_code": "USD",
        "closedate": NOW,
        "email": "shopper@example.com",
    }
    without = 'map = { value = "`null`" }'

    assert only(becomes(tmp_path, "hubspot", contact, without))["conversion_id"] == "51"
    found = only(becomes(tmp_path, "hubspot", deal))
    assert (found["conversion_id"], found["value"]) == ("9007199254740993", "1200.50")


def test_changes_of_hubspots_app_are_ignored_because_they_have_no_data(tmp_path):
    changes = [{"eventId": 1, "subscriptionType": "deal.propertyChange", "objectId": 5}]

    (ignored,) = becomes(tmp_path, "hubspot", changes).ignored

    assert ignored.reason == "no_data"


LEAD = {
    "lead_id": "lead-1",
    "user_column_data": [
        {"column_name": "Full Name", "string_value": "A B", "column_id": "FULL_NAME"},
        {"column_name": "User Email", "string_value": "a@example.com", "column_id": "EMAIL"},
        {"column_name": "Phone", "string_value": "+442079460958", "column_id": "PHONE_NUMBER"},
    ],
    "api_version": "1.0",
    "form_id": 40000000000,
    "google_key": "key",
}


def test_lead_of_google_becomes_a_conversion_and_a_test_does_not(tmp_path):
    conversion = only(becomes(tmp_path, "google_lead_form", LEAD))
    (ignored,) = becomes(tmp_path, "google_lead_form", LEAD | {"is_test": True}).ignored

    assert (conversion["event"], conversion["conversion_id"]) == ("lead", "lead-1")
    assert {"email_sha256", "phone_sha256"} <= set(conversion)
    assert ignored.reason == "test"
