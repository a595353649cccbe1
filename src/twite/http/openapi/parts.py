"""OpenAPI: the schemas and responses that several routes share."""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.formats.native.answers import ErrorBody
from twite.http.openapi.bodies import Json
from twite.http.openapi.shapes import COMPONENT, NAMES

KEYS: Final[list[Json]] = [{"source key": []}]

_WHY: Final = {
    "400": "Not JSON, or not this shape; or a body that does not match its Content-Encoding.",
    "403": "Not a page of one of the source's origins, or a key that is for something else.",
    "401": "No key, or an unknown one.",
    "404": "Not found, or not visible to this source.",
    "408": "The request did not arrive in time. The connection is closed.",
    "413": "More than 1 MiB after decompression, or more than 1,000 conversions.",
    "415": "Not declared as JSON, or an unsupported encoding.",
    "409": "A different request had this Idempotency-Key.",
    "422": "Well-formed but invalid: the codes say why.",
    "429": "Too many requests, or the queue for the disk is full.",
    "431": "The headers are too large. The connection is closed.",
    "500": "A fault of Twite's own.",
    "503": "Cannot commit (disk full, store gone, stopping); nothing of it was stored.",
}
_RETRY: Final = frozenset({"429", "503"})


def errors(*statuses: str) -> Json:
    """Return error responses of these statuses, in the shape that all errors have."""
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
