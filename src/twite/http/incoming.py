"""Turn an ASGI request into the request that client templates read."""

from collections.abc import Collection, Iterable
from typing import Final

from starlette.types import Scope

from twite.gtm.template.sandbox import Incoming
from twite.http.addresses import Network, comes_from

# Stape's hosts and Google's preview tell tags by these headers where the container, its domain and
# its key are. A visitor who set them would choose where other tags post to.
_OF_THE_CONTAINER: Final = "x-gtm-"


def incoming_of(
    scope: Scope,
    body: bytes,
    *,
    address: str | None = None,
    trusted: Iterable[Network],
    container_headers: Collection[str],
) -> Incoming:
    """Return it. `address` is the visitor's, as far as trusted proxies vouch for it.

    `x-gtm-…` headers are left out, but for `container_headers` of a request that a proxy in
    `trusted` has sent: that proxy sets or clears them itself. Others it passes on from visitors.
    """
    believed = container_headers if container_headers and comes_from(scope, trusted) else ()
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
    ]
    return Incoming(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=tuple(
            (name, value)
            for name, value in headers
            if not name.startswith(_OF_THE_CONTAINER) or name in believed
        ),
        body=body.decode("utf-8", "replace") if body else None,
        remote_address=address or "",
    )
