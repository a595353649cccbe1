"""Stape's auth proxy, on our side: whose pixel, mended, accepted in X's format."""

from collections.abc import Mapping
from typing import Final

from twite.domain.destination import Destination, Source
from twite.domain.errors import Malformed
from twite.domain.outcome import Complaint
from twite.domain.submission import Door
from twite.gateway.accept import Accept, XReceipt, XRefused
from twite.gateway.lent import PASSING, STORED, Lent, TooManyPixels
from twite.gateway.ports import Clock
from twite.intake import stape
from twite.intake.stape import Proxied
from twite.x import spec

_NO_MORE: Final = "The gateway keeps the credentials of no further pixel"


class Proxy:
    """Takes what Stape's X tag posts. Without `lent`, credentials in a body are never used."""

    def __init__(
        self,
        *,
        accept: Accept,
        clock: Clock,
        salt: bytes,
        destinations: Mapping[str, Destination],
        lent: Lent | None = None,
    ) -> None:
        self._accept = accept
        self._clock = clock
        self._salt = salt
        self._destinations = destinations
        self._lent = lent

    async def take(self, *, source: Source, body: bytes) -> tuple[XReceipt, str | None]:
        """Accept a request; return the receipt, and the account that X would name.

        Raises XRefused in X's words, LedgerFull, LedgerUnavailable; nothing of it was kept then.
        """
        try:
            proxied = stape.read(body, now=self._clock.now(), salt=self._salt)
        except Malformed as wrong:
            said = f"Invalid request body: {wrong.message}"
            raise _refused(400, spec.INVALID_PARAMETER, said, wrong.path) from None
        destination = await self._destination(source, proxied)
        receipt = await self._accept.from_x(
            destination=destination, body=proxied.body, source=source.name, door=Door.STAPE
        )
        return receipt, destination.account

    async def _destination(self, source: Source, proxied: Proxied) -> Destination:
        pixel = proxied.pixel
        if source.stape_credentials in {STORED, PASSING} and self._lent is not None:
            try:
                found = await self._lent.destination(pixel, source=source, brought=proxied.keys)
            except TooManyPixels:
                raise _refused(400, spec.INVALID_PARAMETER, _NO_MORE, "pixel_id") from None
        else:
            found = self._destinations.get(pixel) if pixel in source.pixels else None
        if found is None:
            said = f"pixel_id ({_shown(pixel)}) was not found"
            raise _refused(404, spec.NOT_FOUND, said, "pixel_id")
        return found


def _refused(status: int, code: str, message: str, parameter: str = "") -> XRefused:
    complaint = Complaint(code=code, message=message, parameter=parameter)
    return XRefused(status=status, complaints=(complaint,))


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:64])
