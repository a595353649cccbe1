"""Transport port: sends a request to X and returns the response."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `headers` are lower-case; `whole` is false where `body` is not all of it.

    The connection ended before the answer did, or the answer went on beyond any that X gives.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    def __repr__(self) -> str:
        return f"Answer({self.status}, body=<{len(self.body)} bytes>)"


class NoResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing came back. `left` is whether the request may have reached X whole."""

    reason: str
    left: bool


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request ready to go out. Its headers hold credentials: it does not print."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Request(url={self.url!r}, body=<{len(self.body)} bytes>)"


class Transport(Protocol):
    """The way to X: one request, one answer, no retries, no redirects."""

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """Send it. Raises nothing but CancelledError: what fails is a NoAnswer."""


class WebRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that a template may make. `timeout` is milliseconds; it holds keys and persons.

    `allow_hosts` names hosts that may have private addresses.
    """

    url: str
    method: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    timeout: int
    allow_hosts: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Asked({self.method})"


class Web(Protocol):
    """Follows no redirect, keeps no cookie, and reaches no private address but those allowed."""

    async def ask(self, asked: WebRequest) -> Response | NoResponse:
        """Send it. Raises nothing but CancelledError: what fails is a NoAnswer.

        What may not be reached is a NoAnswer that did not leave.
        """
