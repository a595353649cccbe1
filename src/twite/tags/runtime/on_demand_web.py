"""A client for templates' requests that opens at their first request, like OnDemandTransport."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from twite.gateway.ports.transport import NoResponse, Response
from twite.tags.ports.web import WebRequest

if TYPE_CHECKING:
    from twite.tags.runtime.public_web import PublicWeb


class OnDemandWeb:
    """Implements Web by PublicWeb."""

    def __init__(self) -> None:
        self._web: PublicWeb | None = None

    async def ask(self, request: WebRequest) -> Response | NoResponse:
        """See Web."""
        if self._web is None:
            # On another thread, so that the event loop is not blocked.
            await asyncio.to_thread(import_module, "twite.tags.runtime.public_web")
        return await self._opened().ask(request)

    def _opened(self) -> "PublicWeb":
        from twite.tags.runtime.public_web import PublicWeb  # noqa: PLC0415  # imported by now

        self._web = self._web or PublicWeb()
        return self._web

    async def stop(self) -> None:
        """Close the pools."""
        if self._web is not None:
            await self._web.stop()
