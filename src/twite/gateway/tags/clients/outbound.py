"""Outbound requests of client templates: HTTP requests, and calls of Google's services.

Requests to X are queued for delivery by Twite, like those of tags.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twite.domain.submission import Endpoint
from twite.gateway.ports.transport import NoResponse
from twite.gateway.ports.web import Web, WebRequest
from twite.gateway.tags.clients.clients import TemplateClient
from twite.gateway.tags.google.calls import Came, GoogleCalls, Says
from twite.gateway.tags.google.insert_ids import InsertIds
from twite.gateway.tags.google.requests import GoogleClient, GoogleRequestDenied
from twite.gateway.tags.run.template_run import told
from twite.gateway.tags.run.to_x import ToX
from twite.gtm.google_requests.request import GoogleRequest
from twite.gtm.template.effects import HttpEffect, Service
from twite.gtm.template.sandbox import EffectAnswer

_LONGEST: Final = 15_000  # milliseconds, Google's own default


class ClientOutbound:
    """See gateway.clients.WayOut."""

    def __init__(self, web: Web, to_x: ToX, google: GoogleClient) -> None:
        self._web = web
        self._to_x = to_x
        self._google = google

    async def fetch(
        self, request: HttpEffect, *, client: TemplateClient, says: Says
    ) -> EffectAnswer:
        """Send a request."""
        if request.authorization is None:
            taken = await self._to_x.take(
                request, source=client.source.name, endpoint=Endpoint.CLIENT
            )
            if taken is not None:
                return told(request.id, taken)
        asked = WebRequest(
            url=request.url,
            method=request.method,
            headers=request.headers,
            body=(request.body or "").encode("utf-8", "replace"),
            timeout=min(request.timeout, _LONGEST) or _LONGEST,
            allow_hosts=client.allow_hosts,
        )
        came = await self._google.send(asked, scopes=request.authorization, by=self._web.ask)
        if isinstance(came, GoogleRequestDenied):
            says(f"getGoogleAuth: {came.why}")
            return EffectAnswer(id=request.id, reason="failed")
        if request.authorization is not None:
            _tell_of(came, says)
        return told(request.id, came)

    def calls(self, *, says: Says, mark: bytes) -> Callable[[Service], Awaitable[EffectAnswer]]:
        """Return what performs the calls of one run."""

        async def ask(asking: GoogleRequest) -> Came:
            asked = WebRequest(
                url=asking.url,
                method=asking.method,
                headers=asking.headers,
                body=asking.body,
                timeout=asking.timeout or _LONGEST,
            )
            scopes = asking.scopes or None
            came = await self._google.send(asked, scopes=scopes, by=self._web.ask, own=True)
            _tell_of(came, says)
            return came

        return GoogleCalls(self._google, sends=ask, says=says, marks=InsertIds(mark)).perform


def _tell_of(came: Came, says: Says) -> None:
    """Tell why there is no answer of Google's: a client leaves no record of its tries."""
    if isinstance(came, NoResponse):
        says(f"Google gave no answer: {came.reason}")
