"""Queue templates' requests to X, or to Stape's proxy for X, so that Twite delivers them.

After the commit, the template gets a response like X's. Its conversions are then delivered like all
others: with batches, dedup keys, retries, and the credentials of the pixel instead of the
template's.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import msgspec

from twite.domain.destination import Destination, Source
from twite.domain.errors import QueueFull, TransientError
from twite.domain.outcome import XComplaint
from twite.domain.submission import Endpoint
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.receipts import XAcceptReceipt, XAcceptRefusal
from twite.gateway.ingest.stape_proxy import StapeProxy
from twite.gateway.ports.transport import Response
from twite.tags.template.effects import HttpEffect
from twite.x import spec

_HOSTS: Final = frozenset({"ads-api.x.com", "ads-api.twitter.com"})
_CONVERSIONS: Final = re.compile(
    r"/[0-9]{1,3}/measurement/conversions/([0-9a-z]{1,32})/?", re.ASCII
)
_PROXY: Final = re.compile(r"/stape-api/[^/]*/v1/twitter/auth-proxy/?")


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ToX:
    """Accepts requests to X. `api_url` comes from the settings, and may be that of an emulator."""

    accept: Accept
    proxy: StapeProxy
    destinations: Mapping[str, Destination]
    api_url: str
    _api: str = field(init=False)

    def __post_init__(self) -> None:
        self._api = urlsplit(self.api_url).netloc

    def use(self, accept: Accept) -> None:
        """Accept requests with other settings, after a reload."""
        self.accept = accept
        self.destinations = accept.destinations
        self.proxy = dataclasses.replace(
            self.proxy, accept=accept, destinations=accept.destinations
        )

    async def take(
        self, effect: HttpEffect, *, source: str, endpoint: Endpoint = Endpoint.TAG
    ) -> Response | None:
        """Accept a request for a configured pixel; None for any other request.

        `source` is the source under which the conversions are counted, `endpoint` the endpoint of
        the original request.
        """
        try:
            taken = await self._taken(effect, source=source, endpoint=endpoint)
        except XAcceptRefusal as refused:
            return _refused(refused.status, refused.complaints)
        except QueueFull:
            complaint = XComplaint(code=spec.TOO_MANY_REQUESTS, message="Too many requests")
            return _refused(429, (complaint,))
        except TransientError:
            message = "The conversions could not be stored"
            return _refused(503, (XComplaint(code=spec.SERVICE_UNAVAILABLE, message=message),))
        if taken is None:
            return None
        receipt, account = taken
        data = {"conversions_processed": receipt.processed, "debug_id": receipt.receipt}
        return _answer(200, {"request": {"params": {"account_id": account}}, "data": data})

    async def _taken(
        self, effect: HttpEffect, *, source: str, endpoint: Endpoint
    ) -> tuple[XAcceptReceipt, str | None] | None:
        """Accept a request; return the receipt, and the account that X's response would name."""
        if effect.method != "POST":
            return None
        parts = urlsplit(effect.url)
        body = (effect.body or "").encode("utf-8", "replace")
        found = _CONVERSIONS.fullmatch(parts.path)
        if found is not None and (parts.hostname in _HOSTS or parts.netloc == self._api):
            destination = self.destinations.get(found[1])
            if destination is None:
                return None
            receipt = await self.accept.from_x(
                destination=destination, body=body, source=source, endpoint=endpoint
            )
            return receipt, destination.account
        # Stape's proxy may have any domain; the tag reads the domain from a header.
        if not _PROXY.fullmatch(parts.path) or not self.destinations:
            return None
        pixels = frozenset(self.destinations)
        # Credentials in the body are not used, because the pixel has its own.
        asking = Source(name=source, key=None, pixel=min(pixels), pixels=pixels)
        return await self.proxy.take(source=asking, body=body)


def _refused(status: int, complaints: tuple[XComplaint, ...]) -> Response:
    errors = [
        {"code": complaint.code, "message": complaint.message, "parameter": complaint.parameter}
        for complaint in complaints
    ]
    return _answer(status, {"errors": errors, "request": {"params": {}}})


def _answer(status: int, body: Mapping[str, object]) -> Response:
    return Response(
        status=status,
        headers={"content-type": "application/json"},
        body=msgspec.json.encode(body),
    )
