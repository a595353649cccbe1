"""Detect whether a request's first byte was sent: an earlier failure cannot have reached X."""

from types import SimpleNamespace

import aiohttp


class Leaving:
    """Whether the first byte of one request is about to be sent, or was sent.

    An earlier failure (DNS, refused, TLS, connection timeout) means that nothing arrived. Pass it
    as `trace_request_ctx`.
    """

    def __init__(self) -> None:
        self.began = False


def watching_what_leaves() -> aiohttp.TraceConfig:
    """Return the trace configuration that updates each request's Leaving."""

    async def begins(
        _: aiohttp.ClientSession,
        monitoring: SimpleNamespace,
        __: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        monitoring.trace_request_ctx.began = True

    watch = aiohttp.TraceConfig()
    watch.on_request_headers_sent.append(begins)
    return watch
