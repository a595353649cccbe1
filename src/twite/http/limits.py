"""How much, how long and how many. Every figure bounds memory or time that a stranger may take."""

import msgspec


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds.

    `body` counts after decompression. `requests` is how many authenticated submissions may be in
    hand at once, and `in_hand` how large their bodies may be together: above it a submission is
    told to come again; `page_requests` and `page_in_hand` are the same for those of pages, which
    show no key. `discarded` is how much of a body that was refused is read, so that the client gets
    to see the answer, before it is cut off. `tell_seconds` is how often the log hears of too many
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
    page_requests: int = 512
    page_in_hand: int = 16 * 1024 * 1024
    discarded: int = 8 * 1024 * 1024
    stop_seconds: float = 10.0
    sweep_seconds: float = 0.5
    tell_seconds: float = 60.0
