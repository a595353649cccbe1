"""An ASGI request → what templates may read of it."""

from starlette.types import Scope

from twite.sgtm.sandbox import Incoming


def incoming_of(scope: Scope, body: bytes, *, address: str | None = None) -> Incoming:
    """Return it. `address` is the visitor's, as far as trusted proxies vouch for it."""
    return Incoming(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ),
        body=body.decode("utf-8", "replace") if body else None,
        remote_address=address or "",
    )
