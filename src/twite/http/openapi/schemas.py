"""OpenAPI: request bodies, response schemas, and the parts that several routes share.

Request bodies are written by hand, since some fields are read from their JSON text and each needs a
description; a test compares the names with the fields that are read.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from twite.domain.delivery import State
from twite.domain.fault import MaskedFault, ReportedFault
from twite.domain.people.users import AuditEvent, Result
from twite.formats.consent_choice import ConsentChoice
from twite.formats.native.answers import (
    ErrorBody,
    ErrorDetail,
    IdentifierWarning,
    NativeReceipt,
    RejectedItem,
    Suppressed,
)
from twite.gateway.operations.control import ControlCommand, ControlResult, PreviewState
from twite.gateway.operations.dedup_report import EventPathCounts, PairOf, PathCountsBy
from twite.gateway.ports.privacy import ErasedText, EraseStore, SearchText
from twite.gateway.preview.trace import (
    PreviewedRequest,
    PreviewEvent,
    PreviewLine,
    PreviewPair,
    PreviewRun,
)
from twite.http.routes.beacon import SomeRejected
from twite.http.routes.native import ChoiceNoted
from twite.http.routes.reports import (
    AttemptView,
    BalanceBy,
    BalanceOf,
    HistoryView,
    IgnoredBy,
    RejectionList,
    RejectionView,
    TagView,
)
from twite.http.routes.x_api import XError, XErrors, XParams, XProcessed, XRequestEcho, XSuccess
from twite.x import spec

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
        "name": _text("The product's name."),
        "price": _amount(
            "The price of a unit in the conversion's currency, preferably as a decimal string."
        ),
        "quantity": _count("How many."),
        "group": _id("The product group."),
        "type": _text("Its category."),
    },
    strict=True,
)
_NATIVE: Final = _object(
    {
        "event": {
            "type": ["string", "null"],
            "description": "Required: the event's name, from the pixel's `events`.",
        },
        "conversion_id": _id("Lets X drop the browser's copy. Derived if absent."),
        "time": _text("The time of the conversion, with a zone. Default: now.", format="date-time"),
        "value": _amount("The amount paid, preferably as a decimal string."),
        "currency": _text(
            "ISO 4217, in upper or lower case; required with a value.", examples=["EUR"]
        ),
        "email": _text("In plain text: normalised and hashed in memory."),
        "email_sha256": _text("Already hashed: 64 hexadecimal digits."),
        "phone": _text(
            "In plain text, with the country code or in the national format of the source's "
            "`region`."
        ),
        "phone_sha256": _text("Already hashed, from E.164 with the plus sign."),
        "twclid": _text("X's click id, or the address or cookie that contains it."),
        "twpid": _text("The value of X's cookie `_twpid`."),
        "ip": _text("The person's IP address."),
        "user_agent": _text("The person's User-Agent."),
        "url": _text("The URL of the page."),
        "contents": _list_of("NativeContent", "The items of the order."),
        "description": _text("Free text."),
        "search": _text("The search term."),
        "consent": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "boolean"]},
            "description": "Consent signals by name: Google's consent types, `gcs`, `gcd`, `npa`, "
            "`tcf`, `gdpr_applies`, `ac`, `vendors`, `gpp`, `gpp_sid`, `usp`, "
            "`gpc`, `region`.",
        },
        "pixel": _text("The conversion's pixel; default: the source's pixel."),
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
        "content_group_id": _id("The product group."),
        "content_name": _text("The product's name."),
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
        "hashed_phone_number": _text("SHA-256 of the E.164 number with the plus sign."),
        "ip_address": _text("Only together with another identifier."),
        "user_agent": _text("Only together with another identifier."),
        "twpid": _text("The `_twpid` cookie."),
    },
    strict=False,
)
_X_CONVERSION: Final = _object(
    {
        "conversion_time": _text("ISO 8601 with a zone.", format="date-time"),
        "conversion_timestamp": _id("Replaces `conversion_time`: milliseconds since the epoch."),
        "event_id": _text("X's id in base 36, or `tw-{pixel}-{event}`."),
        "event_name": _text("Replaces `event_id`: an event name that begins with `gtm_`."),
        "identifiers": _list_of("XIdentifier", "At least one. Any single identifier is enough."),
        "conversion_id": _id("The deduplication key."),
        "value": _amount("A double, in units of the currency."),
        "price_currency": _text("ISO 4217; default: USD."),
        "number_items": _count("How many."),
        "description": _text("Free text."),
        "search_string": _text("The search term."),
        "event_source_url": _text("The URL of the page."),
        "contents": _list_of("XContent", "The items of the order."),
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


# The published name of each response schema. Generated clients have types of these names, so they
# stay when a class is renamed.
COMPONENT: Final = "#/components/schemas/{name}"
NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        NativeReceipt: "Receipted",
        RejectedItem: "Rejected",
        ReportedFault: "Fault",
        IdentifierWarning: "Remark",
        Suppressed: "Suppressed",
        SomeRejected: "SomeRejected",
        HistoryView: "ToldLife",
        State: "State",
        AttemptView: "TriedOnce",
        TagView: "ToldTag",
        BalanceBy: "BalanceBy",
        BalanceOf: "BalanceOf",
        IgnoredBy: "IgnoredBy",
        PathCountsBy: "WaysBy",
        EventPathCounts: "WaysOf",
        PairOf: "PairOf",
        XSuccess: "XSuccess",
        XRequestEcho: "XRequestEcho",
        XParams: "XParams",
        XProcessed: "XProcessed",
        XErrors: "XErrors",
        XError: "XError",
        RejectionList: "Rejections",
        RejectionView: "ToldRejection",
        MaskedFault: "MaskedFault",
        ControlCommand: "Order",
        AuditEvent: "Deed",
        EraseStore: "Erasing",
        ErasedText: "Cut",
        SearchText: "Text",
        ControlResult: "Done",
        PreviewState: "PreviewState",
        PreviewedRequest: "PreviewedRequest",
        PreviewEvent: "PreviewEvent",
        PreviewRun: "PreviewRun",
        PreviewLine: "PreviewLine",
        PreviewPair: "PreviewPair",
        Result: "AccountResult",
        ChoiceNoted: "Noted",
        ConsentChoice: "Choice",
        ErrorBody: "Errors",
        ErrorDetail: "Wrong",
    }
)


def component_schemas() -> dict[str, Any]:
    """Return the schema of each shape, by its published name."""
    _, found = msgspec.json.schema_components(NAMES, ref_template=COMPONENT)
    published = {shape.__name__: name for shape, name in NAMES.items()}
    renamed = re.sub(
        COMPONENT.format(name=r"(\w+)"),
        lambda match: COMPONENT.format(name=published[match[1]]),
        msgspec.json.encode(found).decode(),
    )
    schemas = msgspec.json.decode(renamed, type=dict[str, Any])
    return {
        published[class_name]: schema | {"title": published[class_name]}
        for class_name, schema in schemas.items()
    }


SOURCE_PARAMETER: Final[Json] = {
    "name": "s",
    "in": "query",
    "description": "The source's name; required if several sources have the page's origin.",
    "schema": {"type": "string"},
}
CLICK_COOKIE: Final[Json] = {
    "Set-Cookie": {
        "description": "Stores the click id, if the person consents.",
        "schema": {"type": "string"},
    }
}
VERSION_HEADER: Final[Json] = {spec.CURRENT_VERSION_HEADER: {"schema": {"type": "string"}}}
KEYS: Final[list[Json]] = [{"source key": []}]

_WHY: Final = {
    "400": "The body is not JSON, or does not match the schema or its Content-Encoding.",
    "403": "The origin is not allowed for the source, or the key does not have the scope.",
    "401": "The key is missing or unknown.",
    "404": "Not found, or not visible to this source.",
    "408": "The request did not arrive in time. The connection is closed.",
    "413": "More than 1 MiB after decompression, or more than 1,000 conversions.",
    "415": "The Content-Type is not JSON, or the encoding is not supported.",
    "409": "A different request had this Idempotency-Key.",
    "422": "Well-formed but invalid; the error codes give the reasons.",
    "429": "Too many requests, or the write queue is full.",
    "431": "The headers are too large. The connection is closed.",
    "500": "Internal error in Twite.",
    "503": "The commit failed (disk full, store missing, shutdown); nothing was stored.",
}
_RETRY: Final = frozenset({"429", "503"})


def errors(*statuses: str) -> Json:
    """Return the error responses of these statuses, in the common error format."""
    return {
        status: json_answer(_WHY[status], ErrorBody, headers=retry_header(status))
        for status in statuses
    }


def json_answer(
    description: str, shape: type[msgspec.Struct], headers: Mapping[str, object] | None = None
) -> Json:
    answer: Json = {
        "description": description,
        "content": {"application/json": {"schema": ref(NAMES[shape])}},
    }
    if headers:
        answer["headers"] = dict(headers)
    return answer


def json_body(schema: Json, example: Json | None = None) -> Json:
    content: Json = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"required": True, "content": {"application/json": content}}


def in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def retry_header(status: str) -> Json:
    if status not in _RETRY:
        return {}
    return {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}


def ref(name: str) -> Json:
    return {"$ref": COMPONENT.format(name=name)}
