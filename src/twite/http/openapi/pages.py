"""OpenAPI: the browser routes (beacon, script, consent) and the deduplication report."""

from typing import Final

from twite.domain.fault import CODES
from twite.domain.stats.sightings import MOST_DAYS
from twite.gateway.operations.dedup_report import DEFAULT_DAYS, PathCountsBy
from twite.http.openapi.schemas import (
    CLICK_COOKIE,
    KEYS,
    SOURCE_PARAMETER,
    Json,
    errors,
    json_answer,
    ref,
)
from twite.http.routes.reports import MOST_LISTED, RejectionList

_SCRIPT: Final[Json] = {"text/javascript": {"schema": {"type": "string"}}}
_VERDICT: Final[Json] = {
    "Twite-Verdict": {
        "description": "`final`: the response is the gateway's own, and a retry would get the "
        "same response. Responses 400, 413 and 415 contain it, too.",
        "schema": {"type": "string"},
    }
}
_NO_MORE: Final[Json] = {}
_FOR_THE_IMAGE: Final = {
    "event": "The event's name in the configuration.",
    "conversion_id": "Lets X drop the second copy.",
    "value": "The amount paid.",
    "currency": "ISO 4217.",
    "twclid": "X's click id.",
    "url": "The page's URL; default: `Referer`.",
}


def beacon() -> Json:
    return {
        "operationId": "beacon",
        "summary": "Beacon of the first-party script. The response is sent once it is on disk.",
        "description": (
            "JSON sent as text, so that browsers need no preflight request. `Origin` must be one "
            "of the origins allowed for the source."
        ),
        "parameters": [SOURCE_PARAMETER],
        "requestBody": {
            "required": True,
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        "responses": {
            "200": _kept(
                "The conversions are on disk, except for those listed in the response.",
                {"application/json": {"schema": ref("SomeRejected")}},
                headers=_VERDICT,
            ),
            "204": _kept("The conversions, if any, are on disk.", headers=_VERDICT),
            **errors("400", "403", "408", "413", "415", "429", "431", "500", "503"),
        },
    }


def image() -> Json:
    return {
        "operationId": "image",
        "summary": "Image for pages without JavaScript: one conversion per request.",
        "parameters": [
            SOURCE_PARAMETER,
            *(
                {
                    "name": name,
                    "in": "query",
                    "description": description,
                    "schema": {"type": "string"},
                }
                for name, description in _FOR_THE_IMAGE.items()
            ),
        ],
        "responses": {
            "200": _kept("A GIF of one pixel.", {"image/gif": {"schema": {"type": "string"}}}),
            **errors("403", "408", "429", "431", "500", "503"),
        },
    }


def preflight() -> Json:
    return {
        "operationId": "preflight",
        "summary": "A browser's CORS preflight request.",
        "parameters": [SOURCE_PARAMETER],
        "responses": {
            "204": {"description": "Pages from this origin may post."},
            **errors("403", "408", "431", "500"),
        },
    }


def script_of_source() -> Json:
    return {
        "operationId": "script",
        "summary": "The first-party script with the settings of a source.",
        "parameters": [SOURCE_PARAMETER | {"required": True}],
        "responses": {
            "200": {"description": "The script.", "content": _SCRIPT},
            "304": {"description": "The browser's copy is current."},
            **errors("404", "408", "431", "500"),
        },
    }


def script_alone() -> Json:
    return {
        "operationId": "script_alone",
        "summary": "The first-party script without settings, at an address whose content never "
        "changes.",
        "parameters": [
            {
                "name": "hash",
                "in": "path",
                "required": True,
                "description": "16 hexadecimal digits of its SHA-256.",
                "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            }
        ],
        "responses": {
            "200": {"description": "The script.", "content": _SCRIPT},
            "304": {"description": "The browser's copy is current."},
            **errors("404", "408", "431", "500"),
        },
    }


def overlap() -> Json:
    return {
        "operationId": "overlap",
        "summary": "Count conversion ids by their path to X: pixel, gateway or both.",
        "description": "Covers the pixels that this source may submit for, by event and UTC day.",
        "security": KEYS,
        "parameters": [
            {
                "name": "days",
                "in": "query",
                "description": "The number of days up to today.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_DAYS,
                    "default": DEFAULT_DAYS,
                },
            }
        ],
        "responses": {
            "200": json_answer("The counts, with advice on each.", PathCountsBy),
            **errors("400", "401", "403", "408", "431", "500", "503"),
        },
    }


def rejections() -> Json:
    return {
        "operationId": "rejections",
        "summary": "Conversions rejected at intake in the last seven days, with their errors.",
        "description": (
            "A source sees its own rejected conversions, an API key those of its pixels: latest "
            f"first, at most {MOST_LISTED:,}."
        ),
        "security": KEYS,
        "parameters": [
            {
                "name": "since",
                "in": "query",
                "description": "Only conversions rejected since this time.",
                "schema": {"type": "string", "format": "date-time"},
            },
            {
                "name": "code",
                "in": "query",
                "description": "Only conversions with this error code.",
                "schema": {"type": "string", "enum": sorted(CODES)},
            },
            {
                "name": "conversion_id",
                "in": "query",
                "description": "Only this conversion id, or the request with this receipt.",
                "schema": {"type": "string"},
            },
        ],
        "responses": {
            "200": json_answer("The rejected conversions.", RejectionList),
            **errors("400", "401", "403", "408", "431", "500", "503"),
        },
    }


def _kept(description: str, content: Json | None = None, headers: Json = _NO_MORE) -> Json:
    answer: Json = {
        "description": description,
        "headers": {**CLICK_COOKIE, **headers},
    }
    return answer if content is None else answer | {"content": content}
