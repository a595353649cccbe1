"""Requests and responses as values: the judge needs no socket."""

import uuid
from collections.abc import Mapping
from random import Random
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from twite.x import spec

JSON_TYPE = "application/json;charset=utf-8"


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
        """The pairs of a form body; none for any other content type."""
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
    auth: str | None = None  # pixel_token, oauth, or None when there was none
    why: str | None = None  # the reason, which X itself would not give
    conversions: int | None = None  # None when the body was not understood


def json_answer(status: int, document: object) -> XAnswer:
    return XAnswer(
        status=status,
        body=msgspec.json.encode(document),
        headers=(("content-type", JSON_TYPE),),
    )


def refusal(status: int, *problems: Problem, **params: object) -> XAnswer:
    """X's error shape. [doc WEB] `params` is what `request.params` holds."""
    return json_answer(status, {"errors": problems, "request": {"params": params}})


def no_route() -> XAnswer:
    return refusal(404, Problem(spec.ROUTE_NOT_FOUND, spec.NO_ROUTE))


def debug_id(randomness: Random) -> str:
    """Return a random UUID (version 4), as X sends for support cases."""
    return str(uuid.UUID(int=randomness.getrandbits(128), version=4))
