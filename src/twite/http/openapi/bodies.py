"""Request bodies of the OpenAPI document, described field by field.

Written by hand, since some fields are read from their JSON text and each needs a description. A
test compares the names with the fields that are read.
"""

from typing import Final

Json = dict[str, object]


def _text(description: str, **more: object) -> Json:
    return {"type": ["string", "null"], "description": description, **more}


def _count(description: str) -> Json:
    return {"type": ["integer", "null"], "minimum": 1, "description": description}


def _id(description: str) -> Json:
    return {"type": ["string", "integer", "null"], "description": description}


def _amount(description: str) -> Json:
    return {"type": ["string", "number", "null"], "description": description}


def _list_of(component: str, description: str) -> Json:
    return {
        "type": ["array", "null"],
        "items": {"$ref": f"#/components/schemas/{component}"},
        "description": description,
    }


def _object(properties: Json, *, strict: bool, **more: object) -> Json:
    shape: Json = {"type": "object", "properties": properties, **more}
    if strict:
        shape["additionalProperties"] = False
    return shape


_NATIVE_CONTENT: Final = _object(
    {
        "id": _id("SKU or GTIN."),
        "name": _text("What it is called."),
        "price": _amount(
            "The price of a unit, in the conversion's currency; best as a decimal string."
        ),
        "quantity": _count("How many."),
        "group": _id("The group it belongs to."),
        "type": _text("Its category."),
    },
    strict=True,
)
_NATIVE: Final = _object(
    {
        "event": {
            "type": ["string", "null"],
            "description": "Required: our name of the event, from the pixel's `events`.",
        },
        "conversion_id": _id("Lets X drop the browser's copy. Derived, if absent."),
        "time": _text("When it happened, with a zone. Now, if absent.", format="date-time"),
        "value": _amount("The amount paid, best as a decimal string."),
        "currency": _text("ISO 4217, in any case; required with a value.", examples=["EUR"]),
        "email": _text("Raw: it is normalised and hashed in memory."),
        "email_sha256": _text("Already hashed: 64 hexadecimal digits."),
        "phone": _text("Raw, with the country code or in the source's region."),
        "phone_sha256": _text("Already hashed, from E.164 with the plus."),
        "twclid": _text("X's click id, or the address or cookie that contains it."),
        "twpid": _text("The value of X's cookie `_twpid`."),
        "ip": _text("The person's IP address."),
        "user_agent": _text("The person's User-Agent."),
        "url": _text("The page where it happened."),
        "contents": _list_of("NativeContent", "The lines of the basket."),
        "description": _text("A free text."),
        "search": _text("What was searched for."),
        "consent": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "boolean"]},
            "description": "The consent signals, by name: Google's words, "
            "`gcs`, `gcd`, `npa`, `tcf`, `gdpr_applies`, `ac`, `vendors`, `gpp`, `gpp_sid`, `usp`, "
            "`gpc`, `region`.",
        },
        "pixel": _text("The conversion's pixel; by default the source's own."),
    },
    strict=True,
)
_MANY: Final = _object(
    {
        "conversions": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "items": {"$ref": "#/components/schemas/Native"},
        }
    },
    strict=True,
    required=["conversions"],
)
_X_CONTENT: Final = _object(
    {
        "content_id": _id("SKU or GTIN."),
        "content_group_id": _id("The group it belongs to."),
        "content_name": _text("What it is called."),
        "content_price": _amount("A double."),
        "content_type": _text("Its category."),
        "num_items": _count("How many."),
    },
    strict=False,
)
_X_IDENTIFIER: Final = _object(
    {
        "twclid": _text("X's click id."),
        "hashed_email": _text("SHA-256 of the trimmed, lower-case address."),
        "hashed_phone_number": _text("SHA-256 of E.164 with the plus."),
        "ip_address": _text("Only together with another identifier."),
        "user_agent": _text("Only together with another identifier."),
        "twpid": _text("The `_twpid` cookie."),
    },
    strict=False,
)
_X_CONVERSION: Final = _object(
    {
        "conversion_time": _text("ISO 8601 with a zone.", format="date-time"),
        "conversion_timestamp": _id("Instead: milliseconds since the epoch."),
        "event_id": _text("X's id in base 36, or `tw-{pixel}-{event}`."),
        "event_name": _text("Instead: a name that begins with `gtm_`."),
        "identifiers": _list_of("XIdentifier", "At least one; any single one is enough."),
        "conversion_id": _id("The dedup key."),
        "value": _amount("A double, in units of the currency."),
        "price_currency": _text("ISO 4217; USD, if absent."),
        "number_items": _count("How many."),
        "description": _text("A free text."),
        "search_string": _text("What was searched for."),
        "event_source_url": _text("The page where it happened."),
        "contents": _list_of("XContent", "The lines of the basket."),
        "restricted_data_use": {
            "enum": ["restrict_optimization", "off", None],
            "description": "X's restricted data use.",
        },
    },
    strict=False,
)
_X_REQUEST: Final = _object(
    {
        "conversions": {
            "type": "array",
            "minItems": 1,
            "maxItems": 500,
            "items": {"$ref": "#/components/schemas/XConversion"},
        }
    },
    strict=False,
    required=["conversions"],
)

BODIES: Final[dict[str, Json]] = {
    "Native": _NATIVE,
    "NativeContent": _NATIVE_CONTENT,
    "Many": _MANY,
    "XRequest": _X_REQUEST,
    "XConversion": _X_CONVERSION,
    "XIdentifier": _X_IDENTIFIER,
    "XContent": _X_CONTENT,
}
