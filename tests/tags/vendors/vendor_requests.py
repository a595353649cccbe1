"""Documented requests to the conversion APIs of Reddit, Microsoft, OpenAI and Klaviyo."""

import hashlib
import time

from twite.tags.vendors.vendor_checks import VendorRequest


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


EMAIL, DIGITS, PLUS = sha("shopper@mail.example"), sha("442079460958"), sha("+442079460958")
NOW = int(time.time())
TOKEN = {"authorization": "Bearer token"}
OTHERS = {
    "Reddit": VendorRequest(
        host="ads-api.reddit.com",
        method="POST",
        path="/api/v3/pixels/a2_abc/conversion_events",
        query={},
        headers=TOKEN,
        body={
            "data": {
                "events": [
                    {
                        "event_at": NOW * 1000,
                        "action_source": "WEBSITE",
                        "type": {"tracking_type": "PURCHASE"},
                        "metadata": {"conversion_id": "order-1", "value": 49.9, "currency": "EUR"},
                        "user": {"email": EMAIL, "phone_number": "+442079460958"},
                    }
                ]
            }
        },
    ),
    "Microsoft": VendorRequest(
        host="capi.uet.microsoft.com",
        method="POST",
        path="/v1/12345/events",
        query={},
        headers=TOKEN,
        body={
            "data": [
                {
                    "eventType": "custom",
                    "eventName": "purchase",
                    "eventId": "order-1",
                    "eventTime": NOW,
                    "userData": {"em": EMAIL, "ph": PLUS},
                }
            ]
        },
    ),
    "OpenAI": VendorRequest(
        host="bzr.openai.com",
        method="POST",
        path="/v1/events",
        query={"pid": "pixel"},
        headers=TOKEN,
        body={
            "events": [
                {
                    "id": "order-1",
                    "type": "order_created",
                    "timestamp_ms": NOW * 1000,
                    "action_source": "web",
                    "source_url": "https://shop.example/",
                    "user": {"email_sha256": EMAIL},
                    "data": {"type": "contents"},
                }
            ]
        },
    ),
    "Klaviyo": VendorRequest(
        host="a.klaviyo.com",
        method="POST",
        path="/api/events/",
        query={},
        headers={"authorization": "Klaviyo-API-Key pk_1", "revision": "2026-10-15"},
        body={
            "data": {
                "type": "event",
                "attributes": {
                    "properties": {},
                    "metric": {"data": {"type": "metric", "attributes": {"name": "purchase"}}},
                    "profile": {
                        "data": {
                            "type": "profile",
                            "attributes": {
                                "email": "shopper@mail.example",
                                "phone_number": "+442079460958",
                            },
                        }
                    },
                },
            }
        },
    ),
}
