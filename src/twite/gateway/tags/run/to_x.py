"""Queue requests of templates to X, or to Stape's proxy for X, for delivery by Twite.

The template gets a response like X's after the commit. Its conversions then use batches, dedup
keys, retries and the pixel's own credentials, not those of the template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import msgspec

from twite.domain.delivery import XComplaint
from twite.domain.destination import Destination, Source
from twite.domain.errors import LedgerFull, TransientError
from twite.domain.submission import Endpoint
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.receipts import XAcceptReceipt, XAcceptRefusal
from twite.gateway.ingest.stape_proxy import StapeProxy
from twite.gateway.ports.transport import Response
from twite.gtm.template.effects import HttpEffect
from twite.x import spec

_HOSTS: Final = frozenset({"ads-api.x.com", "ads-api.twitter.com"})
_CONVERSIONS: Final = re.compile(
    r"/[0-9]{1,3}/measurement/conversions/([0-9a-z]{1,32})/?", re.ASCII
)
_PROXY: Final = re.compile(r"/stape-api/[^/]*/v1/twitter/auth-proxy/?")


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ToX:
    """Accepts requests to X. `api_url` is from the settings; it may be an emulator's."""

    accept: Accept
    proxy: StapeProxy
    destinations: Mapping[str, Destination]
    api_url: str
    _api: str = field(init=False)

    def __post_init__(self) -> None:
        self._api = urlsplit(self.api_url).netloc

    async def take(
        self, request: HttpEffect, *, source: str, endpoint: Endpoint = Endpoint.TAG
    ) -> Response | None:
        """Accept a request for a configured pixel; None for any other request.

        `source` is the name in the counts, `endpoint` the endpoint of the original request.
        """
        if request.method != "POST":
            return None
        parts = urlsplit(request.url)
        body = (request.body or "").encode("utf-8", "replace")
        found = _CONVERSIONS.fullmatch(parts.path)
        if found is not None and (parts.hostname in _HOSTS or parts.netloc == self._api):
            destination = self.destinations.get(found[1])
            if destination is None:
                return None
            return await self._to(destination, body, source=source, endpoint=endpoint)
        # Stape's proxy may have any domain; the tag reads the domain from a header.
        if _PROXY.fullmatch(parts.path) and self.destinations:
            return await self._by_proxy(body, source)
        return None

    async def _to(
        self, destination: Destination, body: bytes, *, source: str, endpoint: Endpoint
    ) -> Response:
        try:
            receipt = await self.accept.from_x(
                destination=destination, body=body, source=source, endpoint=endpoint
            )
        except XAcceptRefusal as refused:
            return _refused(refused.status, refused.complaints)
        except TransientError as passing:
            return _passing(passing)
        return _taken(receipt, destination.account)

    async def _by_proxy(self, body: bytes, source: str) -> Response:
        pixels = frozenset(self.destinations)
        # Credentials in the body are not used, because the pixel has its own.
        asking = Source(name=source, key=None, pixel=min(pixels), pixels=pixels)
        try:
            receipt, account = await self.proxy.take(source=asking, body=body)
        except XAcceptRefusal as refused:
            return _refused(refused.status, refused.complaints)
        except TransientError as passing:
            return _passing(passing)
        return _taken(receipt, account)


def _taken(receipt: XAcceptReceipt, account: str | None) -> Response:
    return _answer(
        200,
        {
            "request": {"params": {"account_id": account}},
            "data": {"conversions_processed": receipt.processed, "debug_id": receipt.receipt},
        },
    )


def _refused(status: int, complaints: tuple[XComplaint, ...]) -> Response:
    errors = [
        {"code": complaint.code, "message": complaint.message, "parameter": complaint.parameter}
        for complaint in complaints
    ]
    return _answer(status, {"errors": errors, "request": {"params": {}}})


def _passing(passing: TransientError) -> Response:
    if isinstance(passing, LedgerFull):
        status, code, message = 429, spec.TOO_MANY_REQUESTS, "Too many requests"
    else:
        status, code, message = 503, spec.SERVICE_UNAVAILABLE, "The conversions could not be stored"
    return _refused(status, (XComplaint(code=code, message=message),))


def _answer(status: int, body: Mapping[str, object]) -> Response:
    return Response(
        status=status,
        headers={"content-type": "application/json"},
        body=msgspec.json.encode(body),
    )
