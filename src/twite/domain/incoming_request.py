"""The part of a received request that features may read."""

import msgspec


class IncomingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request as tags and previews may read it. Header names are in lower case."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    remote_address: str = ""

    def __repr__(self) -> str:
        return f"IncomingRequest({self.method})"
