"""Convert one native conversion to event data for tag templates.

| ours | common event data |
|---|---|
| `event`, `time` | `event_name`, `conversion_time` |
| `conversion_id` | `transaction_id` and `event_id` |
| `value`, `currency`, `contents` | `value` (a number), `currency`, `items` |
| `email`, `phone`, their hashes | `user_data.email_address`, `.phone_number`, and `sha256_…` |
| `url`, `ip`, `user_agent`, `twclid` | `page_location`, `ip_override`, `user_agent`, `twclid` |
| `search`, `description`, `consent` | `search_term`, `description`, `consent_state`, `x-ga-gcs` |
"""

from typing import Final

import msgspec

from twite.formats.native.values import amount_in
from twite.formats.parsed_request import Native, NativeContent

_GCS: Final = ("gcs", "gcd", "npa")  # Google's consent strings, and their names in event data


def event_of(native: Native) -> dict[str, object]:
    """Return the event data. Absent fields are left out. It contains personal data."""
    fields: dict[str, object | None] = {
        "event_name": native.event,
        "transaction_id": _text(native.conversion_id),
        "event_id": _text(native.conversion_id),
        "conversion_time": native.time,
        "value": _number(native.value, "value"),
        "currency": native.currency,
        "page_location": native.url,
        "ip_override": native.ip,
        "user_agent": native.user_agent,
        "twclid": native.twclid,
        "_twpid": native.twpid,
        "search_term": native.search,
        "description": native.description,
        "items": [_item(content) for content in native.contents or ()] or None,
        "user_data": _persons(native) or None,
        **_consent(native),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _persons(native: Native) -> dict[str, str]:
    fields = {
        "email_address": native.email or native.email_sha256,
        "sha256_email_address": native.email_sha256,
        "phone_number": native.phone or native.phone_sha256,
        "sha256_phone_number": native.phone_sha256,
    }
    return {name: text for name, text in fields.items() if text}


def _consent(native: Native) -> dict[str, object]:
    given = dict(native.consent or {})
    found: dict[str, object] = {
        f"x-ga-{name}": given.pop(name) for name in _GCS if given.get(name) is not None
    }
    if given:
        found["consent_state"] = given
    return found


def _item(content: NativeContent) -> dict[str, object]:
    fields: dict[str, object | None] = {
        "item_id": _text(content.id),
        "item_name": content.name,
        "price": _number(content.price, "price"),
        "quantity": content.quantity,
        "item_category": _text(content.group),
        "item_category2": content.type,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _number(raw: msgspec.Raw, path: str) -> float | int | None:
    """Return an amount as a JavaScript number; None if it is not an amount."""
    read = amount_in(raw, path=path)
    if not isinstance(read, str):
        return None
    number = float(read)
    return int(number) if number.is_integer() else number


def _text(given: str | int | None) -> str | None:
    return None if given is None else str(given)
