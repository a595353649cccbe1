"""Limits of the HTTP layer: sizes, times and counts that bound what a client can use up."""

import msgspec


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds.

    `body` counts after decompression. `requests` is how many authenticated requests are processed
    at once, and `in_hand` how large their bodies may be together: beyond that a request is refused
    with 429. `page_body`, `page_requests` and `page_in_hand` are the same for browser requests,
    which carry no key. `discarded` is how much of a refused body is read, so that the client sees
    the response before it is cut off. `tell_seconds` is how often the log reports too many
    connections.
    """

    body: int = 1024 * 1024
    headers: int = 16 * 1024
    headers_seconds: float = 5.0
    body_seconds: float = 15.0
    idle_seconds: float = 75.0
    closing_seconds: float = 5.0
    connections: int = 4_096
    requests: int = 1_024
    in_hand: int = 64 * 1024 * 1024
    page_body: int = 64 * 1024  # as much as browsers let sendBeacon carry
    page_requests: int = 512
    page_in_hand: int = 16 * 1024 * 1024
    discarded: int = 8 * 1024 * 1024
    stop_seconds: float = 10.0
    sweep_seconds: float = 0.5
    tell_seconds: float = 60.0


class Crowd:
    """Counts connections closed to make room and connections refused, since the last report."""

    def __init__(self) -> None:
        self.closed = 0
        self.refused = 0

    def told(self) -> str | None:
        """Return a sentence about what happened since the last report, None if nothing did."""
        closed, refused = self.closed, self.refused
        self.closed = self.refused = 0
        if not closed and not refused:
            return None
        return (
            f"the connection limit is reached: {closed} idle ones were closed, "
            f"{refused} new ones were answered 503"
        )
