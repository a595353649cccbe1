"""The way out of the templates: one request, one answer; whatever is asked for, it is bounded."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from twite.gateway.ports.transport import NoResponse, Response


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
        ...
