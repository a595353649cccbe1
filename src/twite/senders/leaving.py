"""Whether a request has left: what fails before it does has reached nobody."""

from types import SimpleNamespace

import aiohttp


class Leaving:
    """Whether the first byte of one request is about to leave, or has left.

    What fails before (no such name, refused, TLS, no connection in time) has not arrived. To be
    given as `trace_request_ctx`.
    """

    def __init__(self) -> None:
        self.began = False


def watching_what_leaves() -> aiohttp.TraceConfig:
    """Return what tells each request's Leaving."""

    async def begins(
        _: aiohttp.ClientSession,
        monitoring: SimpleNamespace,
        __: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        monitoring.trace_request_ctx.began = True

    watch = aiohttp.TraceConfig()
    watch.on_request_headers_sent.append(begins)
    return watch
