"""OpenAPI: the tag routes (GA4, Measurement Protocol, Stape's Data Tag and auth proxy)."""

from typing import Final

from twite.formats.native.answers import NativeReceipt
from twite.http.openapi.schemas import (
    CLICK_COOKIE,
    KEYS,
    SOURCE_PARAMETER,
    VERSION_HEADER,
    Json,
    errors,
    in_path,
    json_answer,
    json_body,
    ref,
    retry_header,
)
from twite.http.routes.x_api import XErrors, XSuccess

_REFUSALS: Final = ("400", "401", "403", "408", "413", "415", "422", "429", "431", "500", "503")
_X_REFUSALS: Final = {
    "400": "Refused as X would refuse the request, with X's error message.",
    "401": "No source has this key.",
    "404": "The pixel does not belong to the source, or the event does not belong to the pixel.",
    "408": "The request did not arrive in time. The connection is closed.",
    "413": "The body is larger than 1 MiB.",
    "415": "Unsupported encoding.",
    "429": "Too fast.",
    "431": "The headers are too large. The connection is closed.",
    "500": "Internal error in Twite.",
    "503": "The commit failed; nothing was stored.",
}
# Decided before the route is known, in the common error format.
_BEFORE: Final = ("408", "431")
_WHOSE: Final[list[Json]] = [
    SOURCE_PARAMETER,
    {
        "name": "api_secret",
        "in": "query",
        "description": (
            "A source's key, for requests from servers. Twite identifies pages by their origin."
        ),
        "schema": {"type": "string"},
    },
]
_NAMED: Final[Json] = {
    "type": "object",
    "properties": {"timestamp": {"type": "integer"}, "unique_event_id": {"type": "string"}},
    "required": ["timestamp", "unique_event_id"],
}
_MESSAGES: Final[Json] = {
    "type": "object",
    "properties": {
        "validationMessages": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    name: {"type": "string"}
                    for name in ("fieldPath", "description", "validationCode")
                },
            },
        }
    },
    "required": ["validationMessages"],
}
_SGTM: Final[Json] = {
    "type": "object",
    "properties": {
        "version": {"description": "The version of the tag's template."},
        "event": {"type": "object", "description": "The container's event data."},
        "pixel": {
            "type": ["string", "null"],
            "description": "The pixel to use instead of the source's default.",
        },
    },
    "required": ["event"],
}
_SGTM_REFUSED: Final[Json] = {"anyOf": [ref("Receipted"), ref("Errors")]}
# The fields of all versions of the tag. Other values are corrected, or refused with X's errors.
_PROXIED: Final[Json] = {
    "type": "object",
    "properties": {
        "pixel_id": {"type": "string", "minLength": 1},
        "conversions": {"type": "array"},
        "auth": {"description": "OAuth 1.0a credentials; see `stape_credentials`."},
    },
    "required": ["pixel_id", "conversions"],
}


def ga4(method: str) -> Json:
    posts = method == "post"
    description = "One event per line, as a query string." if posts else "The query string is the "
    "event."
    known = [
        _in_query("v", "The protocol's version.", required=True, enum=["2"]),
        _in_query("tid", "The measurement id.", required=True, minLength=1),
        _in_query("en", "The event's name."),
        *_WHOSE,
    ]
    route: Json = {
        "operationId": f"ga4_{method}",
        "summary": "Hits of GA4 tags.",
        "description": description + " The parameters of the URL apply to all events.",
        "parameters": known,
        "responses": {
            "200": {
                "description": "The events are on disk, or counted as ignored.",
                "headers": CLICK_COOKIE,
                "content": {"text/plain": {"schema": {"type": "string", "maxLength": 0}}},
            },
            **errors(*_REFUSALS),
        },
    }
    return route | {"requestBody": _any_body("text/plain")} if posts else route


def measurement_protocol() -> Json:
    return {
        "operationId": "measurement_protocol",
        "summary": "Events in the JSON of Google's Measurement Protocol.",
        "parameters": [
            _in_query(
                "measurement_id", "The GA4 measurement id, which identifies the data stream."
            ),
            *_WHOSE,
        ],
        "requestBody": _any_body("application/json"),
        "responses": {
            "204": {
                "description": "The events are on disk, or counted as ignored.",
                "headers": CLICK_COOKIE,
            },
            **errors(*_REFUSALS),
        },
    }


def debug() -> Json:
    return {
        "operationId": "measurement_protocol_debug",
        "summary": ("Validates events of the Measurement Protocol without storing them."),
        "parameters": _WHOSE,
        "requestBody": _any_body("application/json"),
        "responses": {
            "200": {
                "description": "The errors, and the events that would be ignored or not sent.",
                "content": {"application/json": {"schema": _MESSAGES}},
            },
            **errors("401", "403", "408", "413", "415", "429", "431", "500", "503"),
        },
    }


def data_tag(method: str) -> Json:
    posts = method == "post"
    schema: Json = {"anyOf": [_NAMED, {"type": "array", "items": _NAMED}]}
    answer = "application/json" if posts else "image/gif"
    route: Json = {
        "operationId": f"data_tag_{method}",
        "summary": "Events of Stape's Data Tag.",
        "description": (
            "The event name is `event` in the query or in the body; the body takes precedence."
        ),
        "parameters": [_in_query("event", "The event's name."), *_WHOSE],
        "responses": {
            "200": {
                "description": "The events are on disk, or counted as ignored.",
                "headers": CLICK_COOKIE,
                "content": {answer: {"schema": schema if posts else {"type": "string"}}},
            },
            **errors(*_REFUSALS),
        },
    }
    return route | {"requestBody": _any_body("text/plain")} if posts else route


def proxy() -> Json:
    refusals = {
        status: json_answer(why, XErrors, headers=VERSION_HEADER | retry_header(status))
        for status, why in _X_REFUSALS.items()
        if status not in _BEFORE
    }
    return {
        "operationId": "stape_auth_proxy",
        "summary": "Requests from Stape's X tag in OAuth mode. Responses have X's format.",
        "parameters": [
            in_path("source_key"),
            {
                "name": "x-twitter-api-version",
                "in": "header",
                "description": "11 or 12; default: 12.",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": json_body(_PROXIED),
        "responses": {
            "200": json_answer("On disk.", XSuccess, headers=VERSION_HEADER),
            **refusals,
            **errors(*_BEFORE),
        },
    }


def sgtm() -> Json:
    return {
        "operationId": "sgtm",
        "summary": "Events of Twite's own tag in Google's server container.",
        "security": KEYS,
        "requestBody": json_body(_SGTM),
        "responses": {
            "202": json_answer("The events are on disk, or counted as ignored.", NativeReceipt),
            "422": {
                "description": "All of its conversions were rejected, or the pixel is unknown.",
                "content": {"application/json": {"schema": _SGTM_REFUSED}},
            },
            **errors("400", "401", "408", "413", "415", "429", "431", "500", "503"),
        },
    }


def preflight(name: str) -> Json:
    return {
        "operationId": f"{name}_preflight",
        "summary": "A browser's CORS preflight request.",
        "parameters": [SOURCE_PARAMETER],
        "responses": {
            "204": {"description": "Pages from this origin may post."},
            **errors("403", "408", "431", "500"),
        },
    }


def _any_body(kind: str) -> Json:
    return {"required": False, "content": {kind: {"schema": {}}}}


def _in_query(name: str, description: str, *, required: bool = False, **schema: object) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "required": required,
        "schema": {"type": "string", **schema},
    }
