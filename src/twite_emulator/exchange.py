"""Requests, responses and error texts as values, so that the checks need no socket."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from twite_emulator import spec

# Error codes and messages that X does not document, in the style of documented ones. [guess] unless
# noted: only status and code are reliable. The documented ones are in `x.spec`.
MISSING_PARAMETER: Final = "MISSING_PARAMETER"  # [doc FUND] for the code
EXCLUSIVE_PARAMETERS: Final = "EXCLUSIVE_PARAMETERS"  # [doc FUND] for the code

REQUIRED: Final = '"{parameter}" is a required parameter'
NOT_JSON: Final = "The request body is not valid JSON"
NOT_AN_ARRAY: Final = 'Expected Array, got "{value}" for {parameter}'
EMPTY_BATCH: Final = "At least one conversion must be provided"
MIXED_EVENTS: Final = "All conversions of a request must have the same event_id"
NOT_POSITIVE: Final = "{parameter} ({value}) must be greater than 0"
NOT_A_CURRENCY: Final = "{parameter} ({value}) is not a valid currency"
NOT_AN_ADDRESS: Final = "{parameter} ({value}) is not a valid IP address"
NOT_ONE_OF: Final = "{parameter} ({value}) is not one of {choices}"
UNKNOWN_FIELD: Final = "{parameter} is not a known parameter"
EVENT_NAME_REFUSED: Final = "event_name ({value}) is not accepted"
TOO_OLD: Final = "{parameter} is too old"
TOO_FAR_AHEAD: Final = "{parameter} is in the future"
UNKNOWN_PIXEL: Final = "pixel_id ({value}) was not found"
RATE_LIMITED: Final = "Too many requests"
WRONG_METHOD: Final = "The method {value} is not allowed for this resource"
BODY_TOO_LARGE: Final = "The request body is too large"
TAG_NOT_FOUND: Final = "web_event_tag ({value}) was not found"
EXCLUSIVE: Final = "{parameter} cannot be used together"
WINDOWS_CROSSED: Final = "view_through_window ({value}) must not exceed click_window ({click})"
COULD_NOT_AUTHENTICATE: Final = "Could not authenticate you."  # api.x.com, with code 32
COULD_NOT_AUTHENTICATE_CODE: Final = 32
CALLBACK_REFUSED: Final = "Callback URL not approved for this client application."
CALLBACK_REFUSED_CODE: Final = 415
JSON_TYPE = "application/json;charset=utf-8"


class EmulatorInputError(ValueError):
    """An invalid switch, fault, entry of the world or control request; the text says why."""


class XRequestReceived(Struct, frozen=True, kw_only=True):
    """One request as it arrived. Header names are lower-case; `url` has no query."""

    method: str
    url: str
    path: str
    query: str = ""
    headers: Mapping[str, str]
    body: bytes = b""

    def query_pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    def form_pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of a form body; none for other content types."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return []
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


class XAnswer(Struct, frozen=True, kw_only=True):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *headers: tuple[str, str]) -> "XAnswer":
        return msgspec.structs.replace(self, headers=self.headers + headers)


class Problem(Struct, frozen=True, omit_defaults=True):
    """One entry of X's `errors`, in X's key order."""

    code: str
    message: str
    parameter: str | None = None


class XVerdict(Struct, frozen=True, kw_only=True):
    """A response, and the details that only the control plane shows."""

    answer: XAnswer
    pixel: str | None = None
    auth: str | None = None  # pixel_token, oauth, or None if there was none
    why: str | None = None  # the reason, which X itself would not reveal
    conversions: int | None = None  # None if the body was not understood


def json_answer(status: int, document: object) -> XAnswer:
    return XAnswer(
        status=status,
        body=msgspec.json.encode(document),
        headers=(("content-type", JSON_TYPE),),
    )


def refusal(status: int, *problems: Problem, **params: object) -> XAnswer:
    """X's error shape. [doc WEB] `params` becomes `request.params`."""
    return json_answer(status, {"errors": problems, "request": {"params": params}})


def no_route() -> XAnswer:
    return refusal(404, Problem(spec.ROUTE_NOT_FOUND, spec.NO_ROUTE))


def wrong_method(method: str) -> XAnswer:
    return refusal(405, Problem(spec.METHOD_NOT_ALLOWED, WRONG_METHOD.format(value=method)))


def utc(at: float) -> str:
    """Return epoch seconds as X writes times: in UTC, with whole seconds. [doc FUND timezones]"""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def debug_id(randomness: Random) -> str:
    """Return a random UUID (version 4), as X sends for support cases."""
    return str(uuid.UUID(int=randomness.getrandbits(128), version=4))
