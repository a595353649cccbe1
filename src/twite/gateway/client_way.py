"""What leaves for clients: their own requests, and the calls of Google's services they make.

What is for X goes through our own delivery, as what tags send does.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twite.domain.submission import Door
from twite.gateway.clients import Client
from twite.gateway.google.calls import Calls, Came, Says
from twite.gateway.google.google import Barred, Google
from twite.gateway.google.marks import Marks
from twite.gateway.ports import NoAnswer
from twite.gateway.tags.template_run import told
from twite.gateway.tags.to_x import ToX
from twite.gateway.tags.web import Asked, Web
from twite.sgtm.effects import Request, Service
from twite.sgtm.google.asking import Asking
from twite.sgtm.sandbox import Answer

_LONGEST: Final = 15_000  # milliseconds, Google's own default


class ClientWay:
    """See gateway.clients.WayOut."""

    def __init__(self, web: Web, to_x: ToX, google: Google) -> None:
        self._web = web
        self._to_x = to_x
        self._google = google

    async def fetch(self, request: Request, *, client: Client, says: Says) -> Answer:
        """Send a request."""
        if request.authorization is None:
            taken = await self._to_x.take(request, source=client.source.name, door=Door.CLIENT)
            if taken is not None:
                return told(request.id, taken)
        asked = Asked(
            url=request.url,
            method=request.method,
            headers=request.headers,
            body=(request.body or "").encode("utf-8", "replace"),
            timeout=min(request.timeout, _LONGEST) or _LONGEST,
            allow_hosts=client.allow_hosts,
        )
        came = await self._google.send(asked, scopes=request.authorization, by=self._web.ask)
        if isinstance(came, Barred):
            says(f"getGoogleAuth: {came.why}")
            return Answer(id=request.id, reason="failed")
        if request.authorization is not None:
            _tell_of(came, says)
        return told(request.id, came)

    def calls(self, *, says: Says, mark: bytes) -> Callable[[Service], Awaitable[Answer]]:
        """Return what performs the calls of one run."""

        async def ask(asking: Asking) -> Came:
            asked = Asked(
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

        return Calls(self._google, sends=ask, says=says, marks=Marks(mark)).perform


def _tell_of(came: Came, says: Says) -> None:
    """Tell why there is no answer of Google's: a client leaves no record of its tries."""
    if isinstance(came, NoAnswer):
        says(f"Google gave no answer: {came.reason}")
