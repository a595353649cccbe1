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
from twite.http.routes.reports import MOST_TOLD, RejectionList

_SCRIPT: Final[Json] = {"text/javascript": {"schema": {"type": "string"}}}
_VERDICT: Final[Json] = {
    "Twite-Verdict": {
        "description": "`final`: the gateway's response; a retry would get the same. "
        "Responses of 400, 413 and 415 also have it.",
        "schema": {"type": "string"},
    }
}
_NO_MORE: Final[Json] = {}
_FOR_THE_IMAGE: Final = {
    "event": "Our name of the event.",
    "conversion_id": "Lets X drop the second copy.",
    "value": "The paid amount.",
    "currency": "ISO 4217.",
    "twclid": "X's click id.",
    "url": "The page; else it is that of `Referer`.",
}


def beacon() -> Json:
    return {
        "operationId": "beacon",
        "summary": "Messages of the first-party script. The response follows the commit.",
        "description": (
            "JSON sent as text, so that browsers need no preflight request. `Origin` must be one "
            "of the source's."
        ),
        "parameters": [SOURCE_PARAMETER],
        "requestBody": {
            "required": True,
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        "responses": {
            "200": _kept(
                "On disk, except for the conversions that are named.",
                {"application/json": {"schema": ref("SomeRejected")}},
                headers=_VERDICT,
            ),
            "204": _kept("On disk, if there was anything to store.", headers=_VERDICT),
            **errors("400", "403", "408", "413", "415", "429", "431", "500", "503"),
        },
    }


def image() -> Json:
    return {
        "operationId": "image",
        "summary": "The image of a page without JavaScript: one conversion.",
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
            "200": _kept("A GIF of one dot.", {"image/gif": {"schema": {"type": "string"}}}),
            **errors("403", "408", "429", "431", "500", "503"),
        },
    }


def preflight() -> Json:
    return {
        "operationId": "preflight",
        "summary": "The preflight request of a browser.",
        "parameters": [SOURCE_PARAMETER],
        "responses": {
            "204": {"description": "Pages of this origin may post."},
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
            "304": {"description": "The browser has it already."},
            **errors("404", "408", "431", "500"),
        },
    }


def script_alone() -> Json:
    return {
        "operationId": "script_alone",
        "summary": "The first-party script alone, at a URL whose content never changes.",
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
            "304": {"description": "The browser has it already."},
            **errors("404", "408", "431", "500"),
        },
    }


def overlap() -> Json:
    return {
        "operationId": "overlap",
        "summary": "How conversion ids reached X: by its pixel, by the gateway, or by both.",
        "description": "Of the pixels that this source may submit for, by event and day of UTC.",
        "security": KEYS,
        "parameters": [
            {
                "name": "days",
                "in": "query",
                "description": "How many days, up to today.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_DAYS,
                    "default": DEFAULT_DAYS,
                },
            }
        ],
        "responses": {
            "200": json_answer("The counts, with advice for each.", PathCountsBy),
            **errors("400", "401", "403", "408", "431", "500", "503"),
        },
    }


def rejections() -> Json:
    return {
        "operationId": "rejections",
        "summary": "Conversions rejected at intake in the last seven days, with their errors.",
        "description": (
            "A source sees its own, an API key those of its pixels; the latest first, at most "
            f"{MOST_TOLD:,}."
        ),
        "security": KEYS,
        "parameters": [
            {
                "name": "since",
                "in": "query",
                "description": "From this moment on.",
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
                "description": "Of this conversion id, or of the request with this receipt.",
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
