"""An ASGI request → what templates may read of it."""

from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from twite.gtm.template.sandbox import Incoming
from twite.http.addresses import Network, comes_from

# Where tags find the container, its domain and its key (Stape's set them, and Google's
# preview). A visitor who chose them would choose where other tags post to.
_OF_THE_CONTAINER: Final = b"x-gtm-"


def incoming_of(
    scope: Scope, body: bytes, *, address: str | None = None, trusted: Iterable[Network] = ()
) -> Incoming:
    """Return it. `address` is the visitor's, as far as proxies vouch for it.

    `x-gtm-…` headers are left out unless a proxy in `trusted` has sent the request.
    """
    believed = comes_from(scope, trusted)
    return Incoming(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if believed or not name.startswith(_OF_THE_CONTAINER)
        ),
        body=body.decode("utf-8", "replace") if body else None,
        remote_address=address or "",
    )
