"""Stape's auth proxy: accept the requests of Stape's X tag for the pixel they name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from twite.domain.destination import Destination, Source
from twite.domain.errors import MalformedRequest
from twite.domain.outcome import XComplaint
from twite.domain.submission import Endpoint
from twite.formats.stape import read as stape
from twite.formats.stape.read import Proxied
from twite.gateway.ingest.accept import Accept, XAcceptReceipt, XAcceptRefusal
from twite.gateway.ingest.tag_credentials import PASSING, STORED, TagCredentials, TooManyPixels
from twite.gateway.ports.machine import Clock
from twite.x import spec

_NO_MORE: Final = "The gateway cannot keep the credentials of another pixel"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class StapeProxy:
    """Accepts the requests of Stape's X tag.

    Without `tag_credentials`, credentials in a body are never used.
    """

    accept: Accept
    clock: Clock
    salt: bytes
    destinations: Mapping[str, Destination]
    tag_credentials: TagCredentials | None = None

    async def take(self, *, source: Source, body: bytes) -> tuple[XAcceptReceipt, str | None]:
        """Accept a request; return the receipt, and the account that X would name.

        Raises XAcceptRefusal, LedgerFull, LedgerUnavailable; nothing is kept then.
        """
        try:
            proxied = stape.read(body, now=self.clock.now(), salt=self.salt)
        except MalformedRequest as wrong:
            message = f"Invalid request body: {wrong.message}"
            raise _refused(400, spec.INVALID_PARAMETER, message, wrong.path) from None
        destination = await self._destination(source, proxied)
        receipt = await self.accept.from_x(
            destination=destination, body=proxied.body, source=source.name, endpoint=Endpoint.STAPE
        )
        return receipt, destination.account

    async def _destination(self, source: Source, proxied: Proxied) -> Destination:
        pixel = proxied.pixel
        if source.stape_credentials in {STORED, PASSING} and self.tag_credentials is not None:
            try:
                found = await self.tag_credentials.destination(
                    pixel, source=source, brought=proxied.keys
                )
            except TooManyPixels:
                raise _refused(400, spec.INVALID_PARAMETER, _NO_MORE, "pixel_id") from None
        else:
            found = self.destinations.get(pixel) if pixel in source.pixels else None
        if found is None:
            message = f"pixel_id ({_shown(pixel)}) was not found"
            raise _refused(404, spec.NOT_FOUND, message, "pixel_id")
        return found


def _refused(status: int, code: str, message: str, parameter: str = "") -> XAcceptRefusal:
    complaint = XComplaint(code=code, message=message, parameter=parameter)
    return XAcceptRefusal(status=status, complaints=(complaint,))


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:64])
