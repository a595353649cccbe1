"""Transport port: sends a request to X and returns the response."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from twite.domain.secret import Masked


class Response(Masked, frozen=True, kw_only=True):
    """A response. `whole` is False if `body` was truncated.

    Names in `headers` are lower-case, and repeated headers are joined with a comma. `cookies`
    contains the Set-Cookie headers, which cannot be joined.
    """

    in_repr = ("status",)
    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...] = ()
    body: bytes
    whole: bool = True


class NoResponse(msgspec.Struct, frozen=True, kw_only=True):
    """There was no response. `left` is whether the request may have reached X.

    `is_late` is whether the time for a response has passed.
    """

    reason: str
    left: bool
    is_late: bool = False


def always() -> bool:
    """Allow a request to be sent at any time."""
    return True


class OutboundRequest(Masked, frozen=True, kw_only=True):
    """A request to X. Its headers hold credentials, so its repr is masked.

    `may_send` is called just before the first byte is sent, because connecting takes time. If it
    returns False, nothing is sent, and the reason of NoResponse is LEASE_IS_OVER.
    """

    in_repr = ("url",)
    url: str
    headers: Mapping[str, str]
    body: bytes
    may_send: Callable[[], bool] = always


class Transport(Protocol):
    """Sends requests to X: no retries, no redirects."""

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """Send a request. Raises only CancelledError: a failure is a NoResponse."""
