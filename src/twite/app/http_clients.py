"""HTTP clients that open at their first request, so that startup does not import their library."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response

if TYPE_CHECKING:
    from twite.senders.http import HttpTransport


class OnDemandTransport:
    """Implements Transport with an HttpTransport, and has the same parameters."""

    def __init__(self, *, timeout: int, connections: int = 0) -> None:
        self._timeout = timeout
        self._connections = connections
        self._transport: HttpTransport | None = None
        self._opening = asyncio.Lock()
        self._stopped = False

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """See Transport."""
        transport = self._transport
        if transport is None:
            transport = await self._opened()
        return await transport.post(outbound)

    async def stop(self) -> None:
        """Close the pool."""
        self._stopped = True
        if self._transport is not None:
            await self._transport.stop()

    async def _opened(self) -> "HttpTransport":
        # On another thread, so that the event loop is not blocked.
        await asyncio.to_thread(import_module, "twite.senders.http")
        from twite.senders.http import HttpTransport  # noqa: PLC0415  # imported by now

        async with self._opening:
            if self._stopped:
                raise RuntimeError("the transport was stopped")
            if self._transport is None:
                transport = HttpTransport(timeout=self._timeout, connections=self._connections)
                await transport.start()
                self._transport = transport
            return self._transport
