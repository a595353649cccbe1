"""Web port: sends the requests of templates."""

from collections.abc import Callable, Mapping
from typing import Protocol

from twite.domain.secret import Masked
from twite.gateway.ports.transport import NoResponse, Response, always


class WebRequest(Masked, frozen=True, kw_only=True):
    """A request of a template. `timeout` is milliseconds; its repr is masked.

    `allow_hosts` names hosts that may have private addresses. `may_send`: see OutboundRequest.
    """

    in_repr = ("method",)
    url: str
    method: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    timeout: int
    allow_hosts: frozenset[str] = frozenset()
    may_send: Callable[[], bool] = always


class Web(Protocol):
    """Sends requests of templates: no redirects, no cookies, private addresses only if allowed."""

    async def ask(self, request: WebRequest) -> Response | NoResponse:
        """Send a request. Raises only CancelledError: a failure is a NoResponse.

        Nothing is sent to a forbidden address.
        """
