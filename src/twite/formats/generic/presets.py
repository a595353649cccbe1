"""Presets: settings of `[[webhook]]` for senders without a format of their own.

A preset is a row of settings. A `[[webhook]]` of this kind has these values, unless the file has
others; tables such as `map` are joined key by key.

To add a preset, write it here with its source, add a row to `KINDS`, show it in
docs/how-to/receive-generic-webhooks.md and docs/reference/webhooks.md, name the kind in
docs/reference/configuration.md, and test a message in tests/formats/test_messages_of_presets.py.
"""

from collections.abc import Mapping
from typing import Final

# The event and the person, as PostHog's HTTP destination sends them by default, signed by Standard
# Webhooks. [seen PostHog/posthog, template-webhook] The names of properties are those of users.
POSTHOG: Final[Mapping[str, object]] = {
    "message": "event.event",
    "map": {
        "conversion_id": "event.properties.order_id || event.uuid",
        "time": "event.timestamp",
        "value": "event.properties.total || event.properties.value || event.properties.revenue",
        "currency": "event.properties.currency",
        "email": "person.properties.email || event.properties.email",
        "phone": "person.properties.phone || event.properties.phone",
        "twclid": 'event.properties.twclid || person.properties."$initial_twclid"',
        "ip": 'event.properties."$ip"',
        "user_agent": 'event.properties."$raw_user_agent"',
        "url": 'event.properties."$current_url"',
    },
}
# A workflow posts the object as its API returns it, or chosen properties. [doc
# developers.hubspot.com, webhooks in workflows] In a contact and a deal of the old API, each
# property is an object with its `value`. [guess] An app's subscriptions post a list of changes
# without data. [doc]
HUBSPOT: Final[Mapping[str, object]] = {
    "signature": {
        "header": "X-HubSpot-Signature-v3",
        "encoding": "base64",
        "signed": "{method}{url}{body}{timestamp}",
        "timestamp_header": "X-HubSpot-Request-Timestamp",
    },
    "ignore": {"no_data": "type(@) == 'array'"},
    "message": "'workflow'",
    "map": {
        "conversion_id": "hs_object_id || objectId || vid",
        "time": "properties.closedate.value || closedate",
        "value": "properties.amount.value || amount",
        "currency": "properties.deal_currency_code.value || deal_currency_code",
        "email": "properties.email.value || email",
        "phone": "properties.phone.value || phone",
        "twclid": "properties.twclid.value || twclid",
    },
}
# A lead form of Google Ads. [doc developers.google.com/google-ads/webhook] It signs nothing: the
# URL contains the secret, and `google_key` is not read.
GOOGLE_LEAD_FORM: Final[Mapping[str, object]] = {
    "event": "lead",
    "authentication": "path",
    "ignore": {"test": "is_test"},
    "message": "'lead'",
    "map": {
        "conversion_id": "lead_id",
        "email": "user_column_data[?column_id=='EMAIL'].string_value | [0]",
        "phone": "user_column_data[?column_id=='PHONE_NUMBER'].string_value | [0]",
    },
}
